package pod

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/admission"
	"kip.elotl.co/internal/crashpoint"
)

// annotationDispatchedTo is written to a pod before it is given to the agent of
// the Cell that it names, so that a pod whose containers may have run is known
// as such, whoever looks after it then.
const annotationDispatchedTo = "kip.elotl.co/dispatched-to"

// dispatched says whether the pod may have been given to an agent. A start time
// is given by agents only. The annotation of a copy, of another UID, is none.
func dispatched(pod *corev1.Pod) bool { return pod.Status.StartTime != nil || marked(pod) }

func marked(pod *corev1.Pod) bool {
	return pod.Annotations[annotationDispatchedTo] == v1beta1.CellNameForPod(pod.UID)
}

// mark notes on the pod that it is about to be dispatched. It updates pod to
// what was written.
func (c *Controller) mark(ctx context.Context, pod *corev1.Pod) error {
	if marked(pod) {
		return nil
	}
	before := pod.DeepCopy()
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[annotationDispatchedTo] = v1beta1.CellNameForPod(pod.UID)
	delete(pod.Annotations, admission.AnnotationRefusedBy)
	return c.patch(ctx, before, pod, "marking the pod as dispatched")
}

// bearOutages clears the time limits of the tolerations that the API server
// gives every pod that names no RuntimeClass of ours, so that an outage of the
// operator, which makes the virtual node look unreachable, evicts no pod:
// neither one that runs nor one that waits for its cell. It updates pod to what
// was written.
func (c *Controller) bearOutages(ctx context.Context, pod *corev1.Pod) error {
	before := pod.DeepCopy()
	for i := range pod.Spec.Tolerations {
		t := &pod.Spec.Tolerations[i]
		if t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable {
			t.TolerationSeconds = nil
		}
	}
	if equality.Semantic.DeepEqual(before.Spec.Tolerations, pod.Spec.Tolerations) {
		return nil
	}
	return c.patch(ctx, before, pod, "clearing the pod's tolerationSeconds")
}

func (c *Controller) patch(ctx context.Context, before, pod *corev1.Pod, doing string) error {
	// The patch holds the UID, so that it can only be applied to this very pod.
	before.UID = ""
	crashpoint.Reach(ctx, crashpoint.PodPatchBefore, pod)
	err := c.Client.Patch(ctx, pod, client.MergeFrom(before))
	crashpoint.Reach(ctx, crashpoint.PodPatchAfter, pod)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	c.written.Note(pod)
	return nil
}
