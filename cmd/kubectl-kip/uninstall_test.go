package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/internal/castore"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/launchmark"
	"kip.elotl.co/test/fixture"
)

// installation is a namespace with what stands for an installed operator.
type installation struct {
	*bench
	namespace  string
	deployment *appsv1.Deployment
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	i := &installation{bench: newBench(t)}
	t.Setenv("AWS_ENDPOINT_URL", i.cloud.URL)
	t.Setenv("AWS_REGION", fixture.Region)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "uninstall-"}}
	i.must(i.Create(t.Context(), namespace))
	i.namespace = namespace.Name
	labels := map[string]string{"app": "kip"}
	i.deployment = &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: i.namespace, Name: "kip"}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "kip", Image: "kip", Args: []string{"--leader-elect", "--cluster-id=cluster-1"}}},
		}},
	}}
	i.must(i.Create(t.Context(), i.deployment))
	i.must(i.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: i.namespace, Name: castore.SecretName}}))
	return i
}

func (i *installation) must(err error) {
	i.Helper()
	if err != nil {
		i.Fatal(err)
	}
}

func (i *installation) check(args ...string) (stdout string, err error) {
	i.Helper()
	stdout, _, err = run(i.T, "", append([]string{"uninstall", "--check", "--kubeconfig", i.kubeconfig, "--operator-namespace", i.namespace}, args...)...)
	return stdout, err
}

// wantInOrder says that the text has the parts one after the other.
func wantInOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Errorf("lacks %q after what comes before it:\n%s", part, text)
			return
		}
		rest = after
	}
}

// TestUninstallCheck: what would stay is named in the order in which it can be
// removed; once that is done nothing would.
func TestUninstallCheck(t *testing.T) {
	i := newInstallation(t)
	class := i.readyClass("leaving")
	cell := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: "mine", Labels: map[string]string{fixture.TestLabel: i.name}}, Spec: v1beta1.CellSpec{CellClassName: class.Name}}
	i.create(cell)
	cell = fixture.WaitFor(t, i, cell, "it is launched", func(c *v1beta1.Cell) error {
		if c.Status.InstanceID == "" {
			return errors.New("it has no instance")
		}
		return nil
	})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: i.namespace, Name: "web"}, Spec: corev1.PodSpec{
		NodeName: v1beta1.NodeName(class.Name), Containers: []corev1.Container{{Name: "main", Image: "web"}},
	}}
	i.must(i.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: i.namespace, Name: "default"}}))
	i.must(i.Create(t.Context(), pod))
	orphan := i.orphan("cluster-1", nil)
	i.orphan("cluster-1", map[string]string{v1beta1.TagClusterUID: "of another cluster that was given the same ID"})
	i.orphan("cluster-2", nil)
	i.must(i.cloud.PutSecret(t.Context(), cloud.Secret{Name: "/kip/cells/i-1/config", Value: "x", Tags: map[string]string{v1beta1.TagCluster: "cluster-1"}}))

	out, err := i.check()
	if err == nil || !strings.Contains(err.Error(), "6 things would stay") {
		t.Errorf("error %v", err)
	}
	wantInOrder(t, out, "No operator of Kip's leads", "1. pods", i.namespace+"/web on node kip-leaving", "2. Cells: 1", "mine of class leaving, instance "+cell.Status.InstanceID,
		"3. CellClasses: 1", "leaving", "4. in the cloud: 3", cell.Status.InstanceID, "of Cell mine", orphan, "of no Cell", "parameter /kip/cells/i-1/config",
		"Goes with the operator's manifests", "cells.kip.elotl.co")
	if out, err := i.check("--cloud=false"); err == nil || !strings.Contains(err.Error(), "3 things") || strings.Contains(out, orphan) {
		t.Errorf("without the cloud: %v\n%s", err, out)
	}

	i.must(i.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	i.clean()
	i.must(i.cloud.Terminate(t.Context(), orphan))
	i.must(i.cloud.DeleteSecrets(t.Context(), []string{"/kip/cells/i-1/config"}))
	fixture.Eventually(t, "nothing would stay", func(context.Context) error {
		out, err = i.check()
		return err
	})
	wantInOrder(t, out, "Goes with the operator's manifests", "Secret "+i.namespace+"/kip-ca", "Nothing would stay.")

	i.must(i.Delete(t.Context(), i.deployment))
	if out, err := i.check("--cluster-id=cluster-1"); err == nil {
		t.Errorf("with kinds and Secret left:\n%s", out)
	} else {
		wantInOrder(t, out, "No operator of Kip's runs.", "1. kinds, roles and Secrets", "CustomResourceDefinition cells.kip.elotl.co", "Secret "+i.namespace+"/kip-ca")
	}
}

// orphan launches an instance of a Cell that there is none of.
func (i *installation) orphan(cluster string, more map[string]string) string {
	i.Helper()
	tags := map[string]string{v1beta1.TagCluster: cluster, v1beta1.TagCell: "no-such-cell"}
	for key, value := range more {
		tags[key] = value
	}
	instance, err := i.cloud.Launch(i.Context(), cloud.LaunchRequest{
		ClientToken: launchmark.Token("no-such-cell", int32(1+len(i.cloud.World.All()))), InstanceType: "t3.nano", ImageID: "ami-0c0ffee0000000002", SubnetID: subnetA, Tags: tags,
	})
	i.must(err)
	return instance.ID
}

// TestUninstallSaysWhatItCannotSee, and does not call that nothing.
func TestUninstallSaysWhatItCannotSee(t *testing.T) {
	i := newInstallation(t)
	i.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "DescribeVolumes", Code: "UnauthorizedOperation"}}})
	out, err := i.check()
	if err == nil || err.Error() != "not all could be looked at" {
		t.Errorf("error %v", err)
	}
	wantInOrder(t, out, "Not known: the cloud: ec2:DescribeVolumes")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	out, err = i.check()
	if err == nil || err.Error() != "not all could be looked at" {
		t.Errorf("without credentials: error %v", err)
	}
	wantInOrder(t, out, "Not known: the cloud:")
	if out, err = i.check("--cloud=false"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestUninstallKnowsTheLeader by its lease, as long as that is fresh.
func TestUninstallKnowsTheLeader(t *testing.T) {
	i := newInstallation(t)
	holder, seconds, renewed := "kip-0", int32(15), metav1.NowMicro()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: i.namespace, Name: operatorLease}, Spec: coordinationv1.LeaseSpec{
		HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &renewed,
	}}
	i.must(i.Create(t.Context(), lease))
	if out, err := i.check("--cloud=false"); err != nil || !strings.Contains(out, "kip-0 leads") {
		t.Errorf("%v\n%s", err, out)
	}
	old := metav1.NewMicroTime(time.Now().Add(-time.Minute))
	lease.Spec.RenewTime = &old
	i.must(i.Update(t.Context(), lease))
	if out, err := i.check("--cloud=false"); err != nil || !strings.Contains(out, "No operator of Kip's leads") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestUninstallOnlyLooks(t *testing.T) {
	if _, _, err := run(t, "", "uninstall"); err == nil || !strings.Contains(err.Error(), "--check") {
		t.Errorf("error %v", err)
	}
}
