package e2e

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/testenv"
)

// waitForStandby waits until a class has so many cells without a pod, all of them Ready and as the class makes them now.
func waitForStandby(t *testing.T, env *testenv.Env, class *v1beta1.CellClass, n int) []v1beta1.Cell {
	t.Helper()
	var free []v1beta1.Cell
	testenv.Eventually(t, soon, fmt.Sprintf("%d cells of class %s on standby", n, class.Name), func(ctx context.Context) (err error) {
		free, err = cellsWhere(ctx, env, func(c *v1beta1.Cell) bool {
			return c.Spec.CellClassName == class.Name && c.Spec.PodRef == nil && c.DeletionTimestamp.IsZero()
		})
		if err != nil {
			return err
		}
		for i := range free {
			is := free[i].Status.Conditions
			if !meta.IsStatusConditionTrue(is, v1beta1.ConditionReady) || meta.IsStatusConditionTrue(is, v1beta1.ConditionDrifted) {
				return fmt.Errorf("%s: %+v", free[i].Name, is)
			}
		}
		if len(free) != n {
			return fmt.Errorf("there are %d", len(free))
		}
		return nil
	})
	return free
}

// TestStandbyCells: a pod runs on a cell that was booted before it came, and can be looked at there as on any other; another cell takes
// the place of that. After a change of the class the cells without a pod are others, and those with one stay and say that they have drifted.
func TestStandbyCells(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := newClass(t, env, "standby", func(c *v1beta1.CellClass) {
		c.Spec.StandbyCells = []v1beta1.StandbyCells{{InstanceType: "m5.large", Count: 1}}
	})
	create(t, env, class)
	waitForNode(t, env, class)
	waitForRuntimeClass(t, env, class)
	there := waitForStandby(t, env, class, 1)[0]
	ns := namespace(t, env)
	pod := newPod(env, ns, "web", class, forever)
	create(t, env, pod)
	waitForPhase(t, env, pod, corev1.PodRunning)
	cell, err := cellOf(t.Context(), env, pod)
	if err != nil || cell.UID != there.UID || cell.Status.InstanceID != there.Status.InstanceID {
		t.Fatalf("the pod runs on %+v, want %s: %v", cell, there.Name, err)
	}
	if out := (&kubectl{env: env, namespace: ns}).run(t, "exec", "web", "--", "echo", "here"); out != "here\n" {
		t.Errorf("kubectl exec: %q", out)
	}
	next := waitForStandby(t, env, class, 1)[0]
	if next.UID == there.UID {
		t.Error("no cell took its place")
	}
	before := class.DeepCopy()
	class.Spec.CloudInit = "#cloud-config\nfqdn: changed.example\n"
	if err := env.Patch(t.Context(), class, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, soon, "the cell without a pod is gone", func(ctx context.Context) error { return gone(ctx, env, &next) })
	waitForStandby(t, env, class, 1)
	if err := env.Get(t.Context(), client.ObjectKeyFromObject(cell), cell); err != nil || !meta.IsStatusConditionTrue(cell.Status.Conditions, v1beta1.ConditionDrifted) {
		t.Errorf("the pod's cell has not drifted: %+v, %v", cell.Status.Conditions, err)
	}
	if err := env.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil || pod.Status.Phase != corev1.PodRunning {
		t.Errorf("the pod is %s: %v", pod.Status.Phase, err)
	}
}
