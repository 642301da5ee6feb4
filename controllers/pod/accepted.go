package pod

import (
	"context"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/crashpoint"
	"kip.elotl.co/internal/itzo"
)

// accepted is what a pod's agent took last of what the API server lets be
// changed in a running pod and an agent may refuse.
type accepted struct {
	images    map[string]string // by container
	ephemeral sets.Set[string]  // names
}

func acceptedOf(pod *corev1.Pod) *accepted {
	a := &accepted{images: map[string]string{}, ephemeral: sets.Set[string]{}}
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		a.images[container.Name] = container.Image
	}
	for i := range pod.Spec.EphemeralContainers {
		a.ephemeral.Insert(pod.Spec.EphemeralContainers[i].Name)
	}
	return a
}

// acceptedBefore is that of an agent which another operator gave the pod, as far
// as its status shows it: of an image it has the runtime's name.
func acceptedBefore(pod *corev1.Pod) *accepted {
	a := &accepted{images: map[string]string{}, ephemeral: sets.Set[string]{}}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		a.images[status.Name] = status.Image
	}
	for i := range pod.Status.EphemeralContainerStatuses {
		a.ephemeral.Insert(pod.Status.EphemeralContainerStatuses[i].Name)
	}
	return a
}

// keepImages gives the pod the images that were accepted, and answers which
// those are.
func (a *accepted) keepImages(pod *corev1.Pod) field.ErrorList {
	var changed field.ErrorList
	keep := func(containers []corev1.Container, path *field.Path) {
		for i := range containers {
			if image := a.images[containers[i].Name]; image != "" && image != containers[i].Image {
				containers[i].Image = image
				changed = append(changed, field.Forbidden(path.Index(i).Child("image"), "cannot change on this cell, whose agent is of an older release"))
			}
		}
	}
	keep(pod.Spec.InitContainers, field.NewPath("spec", "initContainers"))
	keep(pod.Spec.Containers, field.NewPath("spec", "containers"))
	return changed
}

// keepEphemeral takes the ephemeral containers out of the pod that were not
// accepted, and answers which those are.
func (a *accepted) keepEphemeral(pod *corev1.Pod) field.ErrorList {
	var taken field.ErrorList
	var kept []corev1.EphemeralContainer
	for i := range pod.Spec.EphemeralContainers {
		container := &pod.Spec.EphemeralContainers[i]
		if a.ephemeral.Has(container.Name) {
			kept = append(kept, *container)
			continue
		}
		taken = append(taken, field.Forbidden(field.NewPath("spec", "ephemeralContainers").Index(i), "the cell's agent refuses it"))
	}
	pod.Spec.EphemeralContainers = kept
	return taken
}

// updateAllThatGoes sends the pod. Of one that the agent refuses it sends what is
// left when what may be the cause stays as it was accepted: neither what the pod
// refers to nor its other changes may have to wait for that.
func (c *Controller) updateAllThatGoes(ctx context.Context, d delivery, parameters *itzo.PodParameters) error {
	err := updatePod(ctx, d, parameters)
	if !itzo.IsCode(err, http.StatusBadRequest) {
		return err
	}
	was := d.given.accepted
	if was == nil {
		was = acceptedBefore(d.pod)
	}
	refused := field.ErrorList{field.Forbidden(field.NewPath("spec"), "the cell's agent refuses what has been changed")}
	for _, keep := range []func(*corev1.Pod) field.ErrorList{
		was.keepImages, was.keepEphemeral,
		func(pod *corev1.Pod) field.ErrorList { return append(was.keepImages(pod), was.keepEphemeral(pod)...) },
	} {
		less := *parameters
		less.Pod = parameters.Pod.DeepCopy()
		kept := keep(less.Pod)
		if len(kept) == 0 {
			continue
		}
		crashpoint.Reach(ctx, crashpoint.DispatchBefore, d.pod)
		err := d.agent.UpdatePod(ctx, &less)
		crashpoint.Reach(ctx, crashpoint.DispatchAfter, d.pod)
		if err == nil {
			d.given.accepted, refused = acceptedOf(less.Pod), kept
			break
		}
		if !itzo.IsCode(err, http.StatusBadRequest) {
			d.given.parameters = digest{} // so that all is tried again
			return err
		}
	}
	c.tellRefused(d, refused)
	return nil
}

// tellRefused makes an event, once for each version of a pod, of what its agent
// does not take up.
func (c *Controller) tellRefused(d delivery, errs field.ErrorList) {
	if len(errs) == 0 || d.given.told == d.pod.Generation {
		return
	}
	d.given.told = d.pod.Generation
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	c.warn(d.pod, v1beta1.ReasonUnsupportedField, strings.Join(texts, ", ")+"; its containers go on as they were, a new pod gets the change")
}
