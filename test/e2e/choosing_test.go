package e2e

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/testenv"
)

// TestTheNextCheapestRuns: a pod runs on the cheapest type that has what it needs. Where the three cheapest have no capacity the same
// Cell goes on to the fourth, and the next pod straight there.
func TestTheNextCheapestRuns(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := newClass(t, env, "choosing", func(c *v1beta1.CellClass) {
		c.Spec.InstanceTypes.Allowed = []v1beta1.TypePattern{"c5.*", "m5.*", "r5.*"}
		c.Spec.AWS.Subnets = c.Spec.AWS.Subnets[:1]
	})
	create(t, env, class)
	waitForNode(t, env, class)
	waitForRuntimeClass(t, env, class)
	ns := namespace(t, env)
	cheapest := runsOn(t, env, ns, "cheapest", class)
	if len(cheapest.Status.Attempts) != 1 || len(cheapest.Status.RunnersUp) != 3 || cheapest.Status.PricePerHour == "" {
		t.Fatalf("attempts %+v, price %q, runners-up %+v", cheapest.Status.Attempts, cheapest.Status.PricePerHour, cheapest.Status.RunnersUp)
	}
	next := cheapest.Status.RunnersUp
	for _, dry := range []string{cheapest.Status.InstanceType, next[0].InstanceType, next[1].InstanceType} {
		wet, err := env.RunDry(t.Context(), dry)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := wet(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	second := runsOn(t, env, ns, "second", class)
	if n := len(second.Status.Attempts); n != 4 || second.Status.InstanceType != next[2].InstanceType {
		t.Errorf("it runs on %s after the attempts %+v; want %s after three that failed", second.Status.InstanceType, second.Status.Attempts, next[2].InstanceType)
	}
	third := runsOn(t, env, ns, "third", class)
	if n := len(third.Status.Attempts); n != 1 || third.Status.InstanceType != next[2].InstanceType {
		t.Errorf("the next runs on %s after the attempts %+v; want %s at once", third.Status.InstanceType, third.Status.Attempts, next[2].InstanceType)
	}
}

// runsOn makes a pod that needs 1 CPU and 1 GiB, waits until it runs, and gives its Cell.
func runsOn(t *testing.T, env *testenv.Env, ns, name string, class *v1beta1.CellClass) *v1beta1.Cell {
	t.Helper()
	pod := newPod(env, ns, name, class, forever)
	pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi"),
	}
	create(t, env, pod)
	waitForPhase(t, env, pod, corev1.PodRunning)
	cell := &v1beta1.Cell{}
	if err := env.Get(t.Context(), client.ObjectKey{Name: v1beta1.CellNameForPod(pod.UID)}, cell); err != nil {
		t.Fatal(err)
	}
	return cell
}
