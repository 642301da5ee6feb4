package podsupport

import (
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Changes names what differs between two versions of one pod's spec and cannot
// be changed while it runs. What may change: what asks nothing of an agent, the
// images of containers, which are started anew with them, the
// grace period and the deadline, the environment, which counts from the next start on, as
// the kubelet has it with references that resolve to something new, and resources:
// the agent says by the condition PodResizePending that those stay as they were. Ephemeral
// containers may be added. The DNS configuration is partly the class's, and counts from
// the pod's next sandbox on.
func Changes(old, new *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	was, is := lasting(old), lasting(new)
	errs := differences(was, is, path, "InitContainers", "Containers", "EphemeralContainers")
	errs = append(errs, ephemeralChanges(was.EphemeralContainers, is.EphemeralContainers, path.Child("ephemeralContainers"))...)
	errs = append(errs, containerChanges(was.InitContainers, is.InitContainers, path.Child("initContainers"))...)
	return append(errs, containerChanges(was.Containers, is.Containers, path.Child("containers"))...)
}

// ephemeralChanges allows more of them; the API server lets them come in any order.
func ephemeralChanges(was, is []corev1.EphemeralContainer, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range was {
		if !slices.ContainsFunc(is, func(one corev1.EphemeralContainer) bool { return equality.Semantic.DeepEqual(was[i], one) }) {
			errs = append(errs, field.Forbidden(path.Index(i), "cannot change on a running cell"))
		}
	}
	return errs
}

func containerChanges(was, is []corev1.Container, path *field.Path) field.ErrorList {
	if len(was) != len(is) {
		return field.ErrorList{field.Forbidden(path, "cannot change on a running cell")}
	}
	var errs field.ErrorList
	for i := range was {
		errs = append(errs, differences(&was[i], &is[i], path.Index(i))...)
	}
	return errs
}

func lasting(pod *corev1.Pod) *corev1.PodSpec {
	spec := pod.Spec.DeepCopy()
	othersBusiness(spec)
	spec.TerminationGracePeriodSeconds = nil
	spec.ActiveDeadlineSeconds = nil
	spec.Resources = nil
	spec.DNSPolicy, spec.DNSConfig = "", nil
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			containers[i].Image, containers[i].Env = "", nil
			containers[i].Resources, containers[i].ResizePolicy = corev1.ResourceRequirements{}, nil
		}
	}
	return spec
}

func differences(old, new any, path *field.Path, except ...string) field.ErrorList {
	was, is := reflect.ValueOf(old).Elem(), reflect.ValueOf(new).Elem()
	var errs field.ErrorList
	for i := range was.NumField() {
		member := was.Type().Field(i)
		if slices.Contains(except, member.Name) || equality.Semantic.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()) {
			continue
		}
		errs = append(errs, field.Forbidden(path.Child(jsonName(member)), "cannot change on a running cell"))
	}
	return errs
}
