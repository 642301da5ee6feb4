package cell

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
)

// drifted waits until the Cell says that it has drifted, by a message with the text.
func (b *bench) drifted(cell *v1beta1.Cell, text string) *v1beta1.Cell {
	b.Helper()
	return b.wait(cell, "it has drifted", func(is *v1beta1.Cell) error {
		return wantCondition(is, v1beta1.ConditionDrifted, metav1.ConditionTrue, v1beta1.ReasonClassChanged, text)
	})
}

func (b *bench) undrifted(cell *v1beta1.Cell) {
	b.Helper()
	b.wait(cell, "it has not drifted", func(is *v1beta1.Cell) error {
		if is := meta.FindStatusCondition(is.Status.Conditions, v1beta1.ConditionDrifted); is != nil {
			return fmt.Errorf("it has: %+v", is)
		}
		return nil
	})
}

// A cell whose class would make it otherwise says so, and in what; no more when
// the class is as it was. It stays as it is.
func TestDrifted(t *testing.T) {
	b := newBench(t).start()
	class := b.class()
	cell := b.ready(b.cell(withPod))
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.CloudInit = "#cloud-config\nhostname: second\n" })
	b.drifted(cell, "spec.cloudInit")
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.AWS.Tags["team"] = "blue" })
	b.drifted(cell, "spec.cloudInit, spec.aws.tags")
	edit(b, class, func(c *v1beta1.CellClass) {
		c.Spec.CloudInit, c.Spec.AWS.Tags["team"], c.Spec.MaxPricePerHour = "#cloud-config\nhostname: first\n", "red", "5"
	})
	b.undrifted(cell)
	b.wantOneLaunch(b.ready(cell))
}

// A cell drifts with the object that its class reads its document from, also
// while no operator runs.
func TestDriftedByTheDocumentElsewhere(t *testing.T) {
	b := newBench(t).start()
	source := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: b.name}, Data: map[string]string{"user-data": "#cloud-config\nhostname: first\n"}}
	b.create(source)
	b.class(func(c *v1beta1.CellClassSpec) {
		c.CloudInit, c.CloudInitFrom = "", &v1beta1.CloudInitSource{ConfigMapKeyRef: &v1beta1.KeyReference{Name: b.name, Key: "user-data"}}
	})
	cell := b.ready(b.cell())
	write := func(text string) {
		edit(b, source, func(c *corev1.ConfigMap) { c.Data["user-data"] = text })
	}
	write("#cloud-config\nhostname: second\n")
	b.drifted(cell, "spec.cloudInit")
	write("#cloud-config\nhostname: first\n")
	b.undrifted(cell)
	b.stop()
	write("#cloud-config\nhostname: third\n")
	b.start()
	b.drifted(cell, "spec.cloudInit")
}
