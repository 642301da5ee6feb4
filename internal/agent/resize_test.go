package agent_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func cpu(amount string) corev1.ResourceRequirements {
	list := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(amount)}
	return corev1.ResourceRequirements{Limits: list, Requests: list}
}

// A resize is infeasible: the container goes on with what it was allocated, also
// over a restart of the agent, until nobody wants the resize any more.
func TestResizeIsInfeasible(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		version := func(generation int64, amount string) *corev1.Pod {
			pod := newPod(corev1.RestartPolicyAlways, "", "main")
			pod.Generation = generation
			pod.Spec.Containers[0].Resources = cpu(amount)
			return pod
		}
		c.update(version(1, "1"))
		before := c.container("main")
		if before.AllocatedResources.Cpu().String() != "1" || before.Resources.Limits.Cpu().String() != "1" {
			t.Errorf("before: %+v", before)
		}
		c.update(version(2, "2"))
		c.stop()
		c.start()
		after, status := c.container("main"), c.status()
		if after.ContainerID != before.ContainerID || after.AllocatedResources.Cpu().String() != "1" || after.Resources.Limits.Cpu().String() != "1" {
			t.Errorf("after: %+v", after)
		}
		pending := resizePending(&status)
		if pending == nil || pending.Status != corev1.ConditionTrue || pending.Reason != corev1.PodReasonInfeasible || pending.Message == "" ||
			pending.ObservedGeneration != 2 || status.ObservedGeneration != 2 || pending.LastTransitionTime.IsZero() {
			t.Errorf("status: %+v", status)
		}
		c.update(version(3, "1"))
		if status := c.status(); resizePending(&status) != nil || status.ObservedGeneration != 3 {
			t.Errorf("without the resize: %+v", status)
		}
	})
}

func resizePending(status *corev1.PodStatus) *corev1.PodCondition {
	for i := range status.Conditions {
		if status.Conditions[i].Type == corev1.PodResizePending {
			return &status.Conditions[i]
		}
	}
	return nil
}

// A container that was never made has no resources yet.
func TestResourcesOfWaitingContainer(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, "", "main")
		pod.Spec.Containers[0].Resources, pod.Spec.Containers[0].ImagePullPolicy = cpu("1"), corev1.PullNever
		c.update(pod)
		if got := c.container("main"); got.Resources != nil || got.AllocatedResources != nil {
			t.Errorf("got %+v", got)
		}
	})
}
