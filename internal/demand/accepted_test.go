package demand_test

import (
	"fmt"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/demand"
	"kip.elotl.co/test/fixture"
)

var apiServer fixture.APIServer

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

// What is made of a pod that is not refused, the API server accepts.
func TestTheAPIServerAcceptsIt(t *testing.T) {
	c := apiServer.Client(t)
	pods := map[string]*corev1.Pod{}
	for i, test := range goodAnnotations() {
		pods[fmt.Sprintf("annotation %d %s", i, test.name)] = annotated(test.name, test.value)
	}
	for name, test := range placings() {
		pods["placing "+name] = placed(test.selector, test.terms...)
	}
	for name, test := range sizings() {
		pods["sizing "+name] = podOf(test.spec)
	}
	storage := annotated()
	storage.Spec.Containers = []corev1.Container{container("ephemeral-storage=1500m", "")}
	pods["storage"] = storage
	for name, pod := range pods {
		spec, refusals := demand.Of(pod, openClass(), nodeLabels())
		if len(refusals) > 0 {
			t.Errorf("%s: %v", name, refusals)
			continue
		}
		spec.CellClassName = "default"
		cell := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{GenerateName: "cell-"}, Spec: spec}
		if err := c.Create(t.Context(), cell, client.DryRunAll); err != nil {
			t.Errorf("%s: %+v: %v", name, spec, err)
		}
	}
}
