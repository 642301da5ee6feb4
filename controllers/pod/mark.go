package pod

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/internal/admission"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/crashpoint"
)

// dispatched says whether the pod may have been given to an agent. A start time
// is given by agents only. The annotation of a copy, of another UID, is none.
func dispatched(pod *corev1.Pod) bool {
	return pod.Status.StartTime != nil || cellagent.DispatchedTo(pod) != ""
}

// mark notes on the pod that it is about to be dispatched to a Cell. It updates
// pod to what was written.
func (c *Controller) mark(ctx context.Context, pod *corev1.Pod, cell string) error {
	if cellagent.DispatchedTo(pod) == cell {
		return nil
	}
	const doing = "marking the pod as dispatched"
	if cellagent.ChosenCell(pod) != "" {
		patch, err := markOfChosen(pod, cell)
		if err != nil {
			return err
		}
		return c.write(ctx, pod, patch, doing)
	}
	before := pod.DeepCopy()
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[cellagent.AnnotationDispatchedTo] = cellagent.CellNote(pod, cell)
	delete(pod.Annotations, admission.AnnotationRefusedBy)
	return c.patch(ctx, before, pod, doing)
}

// markOfChosen is the mark of a pod for which a Cell was chosen. It fails where
// another was chosen meanwhile.
func markOfChosen(pod *corev1.Pod, cell string) (client.Patch, error) {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value string `json:"value,omitempty"`
	}
	at := func(annotation string) string {
		return "/metadata/annotations/" + strings.ReplaceAll(annotation, "/", "~1")
	}
	operations := []operation{
		{"test", "/metadata/uid", string(pod.UID)},
		{"test", at(cellagent.AnnotationCell), pod.Annotations[cellagent.AnnotationCell]},
		{"add", at(cellagent.AnnotationDispatchedTo), cellagent.CellNote(pod, cell)},
	}
	if _, noted := pod.Annotations[admission.AnnotationRefusedBy]; noted {
		operations = append(operations, operation{Op: "remove", Path: at(admission.AnnotationRefusedBy)})
	}
	data, err := json.Marshal(operations)
	if err != nil {
		return nil, fmt.Errorf("encoding the mark: %w", err)
	}
	return client.RawPatch(types.JSONPatchType, data), nil
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

// patch writes what was changed in the pod, and leaves alone what others have
// changed meanwhile.
func (c *Controller) patch(ctx context.Context, before, pod *corev1.Pod, doing string) error {
	// The patch holds the UID, so that it can only be applied to this very pod.
	before.UID = ""
	return c.write(ctx, pod, client.MergeFrom(before), doing)
}

// patchSeen is patch where nobody else has changed anything of the pod meanwhile.
func (c *Controller) patchSeen(ctx context.Context, before, pod *corev1.Pod, doing string) error {
	before.UID = ""
	return c.write(ctx, pod, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), doing)
}

func (c *Controller) write(ctx context.Context, pod *corev1.Pod, patch client.Patch, doing string) error {
	crashpoint.Reach(ctx, crashpoint.PodPatchBefore, pod)
	err := c.Client.Patch(ctx, pod, patch)
	crashpoint.Reach(ctx, crashpoint.PodPatchAfter, pod)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	c.written.Note(pod)
	return nil
}
