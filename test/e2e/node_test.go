package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/testenv"
)

// TestSpreadOverZones: with a node for each zone the scheduler spreads pods over three zones, and their cells are where it put them. A class
// that is deleted under a running pod waits for it, says so, and then goes with all that stands for it.
func TestSpreadOverZones(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := newClass(t, env, "zoned", func(c *v1beta1.CellClass) { c.Spec.NodePerZone = true })
	create(t, env, class)
	nodes := zoneNodes(t, env, class, 3)
	waitForRuntimeClass(t, env, class)
	ns := namespace(t, env)
	spread := func(p *corev1.Pod) {
		p.Labels = map[string]string{"spread": "yes"}
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule,
			LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels},
		}}
	}
	zones := map[string]*corev1.Pod{}
	for i := range len(nodes) {
		pod := newPod(env, ns, fmt.Sprint("spread-", i), class, forever, spread)
		create(t, env, pod)
		waitForPhase(t, env, pod, corev1.PodRunning)
		zone := zoneOfCell(t, env, pod)
		if nodes[pod.Spec.NodeName] != zone {
			t.Errorf("pod %s is on node %s and in %s", pod.Name, pod.Spec.NodeName, zone)
		}
		zones[zone] = pod
	}
	if len(zones) != len(nodes) {
		t.Errorf("%d pods are in %d zones", len(nodes), len(zones))
	}
	if err := env.Delete(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, soon, "the class says what it waits for", func(ctx context.Context) error {
		return errors.Join(waitsForPods(ctx, env, class, zones), cordoned(ctx, env, nodes))
	})
	for _, pod := range zones {
		waitForPhase(t, env, pod, corev1.PodRunning)
		if err := env.Delete(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	left := []client.Object{class, &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.NodeName(class.Name)}}}
	for name := range nodes {
		left = append(left, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	for _, object := range left {
		testenv.Eventually(t, soon, object.GetName()+" is gone", func(ctx context.Context) error { return gone(ctx, env, object) })
	}
}

// zoneNodes waits until a class has so many Ready nodes, and gives their zones by their names.
func zoneNodes(t *testing.T, env *testenv.Env, class *v1beta1.CellClass, n int) map[string]string {
	t.Helper()
	zones := map[string]string{}
	testenv.Eventually(t, soon, "the nodes of class "+class.Name, func(ctx context.Context) error {
		clear(zones)
		var nodes corev1.NodeList
		if err := env.List(ctx, &nodes, client.MatchingLabels{v1beta1.LabelCellClass: class.Name}); err != nil {
			return err
		}
		for _, node := range nodes.Items {
			for _, c := range node.Status.Conditions {
				if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
					zones[node.Name] = node.Labels[corev1.LabelTopologyZone]
				}
			}
		}
		if len(zones) != n {
			return fmt.Errorf("there are %v", zones)
		}
		return nil
	})
	return zones
}

func zoneOfCell(t *testing.T, env *testenv.Env, pod *corev1.Pod) string {
	t.Helper()
	cell := &v1beta1.Cell{}
	if err := env.Get(t.Context(), client.ObjectKey{Name: v1beta1.CellNameForPod(pod.UID)}, cell); err != nil {
		t.Fatal(err)
	}
	if cell.Status.Node != pod.Spec.NodeName {
		t.Errorf("the Cell of a pod on node %s says %s", pod.Spec.NodeName, cell.Status.Node)
	}
	return cell.Status.Attempts[len(cell.Status.Attempts)-1].Zone
}

func waitsForPods(ctx context.Context, env *testenv.Env, class *v1beta1.CellClass, pods map[string]*corev1.Pod) error {
	if err := env.Get(ctx, client.ObjectKeyFromObject(class), class); err != nil {
		return err
	}
	inUse := meta.FindStatusCondition(class.Status.Conditions, v1beta1.ConditionInUse)
	if inUse == nil {
		return errors.New("it says nothing")
	}
	for _, pod := range pods {
		if !strings.Contains(inUse.Message, pod.Namespace+"/"+pod.Name) {
			return fmt.Errorf("it says %q", inUse.Message)
		}
	}
	return nil
}

func cordoned(ctx context.Context, env *testenv.Env, nodes map[string]string) error {
	for name := range nodes {
		node := &corev1.Node{}
		if err := env.Get(ctx, client.ObjectKey{Name: name}, node); err != nil {
			return err
		}
		if !node.Spec.Unschedulable {
			return fmt.Errorf("node %s takes pods", name)
		}
	}
	return nil
}
