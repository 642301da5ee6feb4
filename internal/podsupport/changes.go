package podsupport

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Changes names what differs between two versions of one pod's spec and cannot
// be changed while it runs. What may change: what asks nothing of an agent, the
// grace period, and the environment, which counts from the next start on, as
// the kubelet has it with references that resolve to something new.
func Changes(old, new *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	was, is := lasting(old), lasting(new)
	errs := differences(was, is, path, "Containers")
	if len(was.Containers) != len(is.Containers) {
		return append(errs, field.Forbidden(path.Child("containers"), "cannot change on a running cell"))
	}
	for i := range was.Containers {
		errs = append(errs, differences(&was.Containers[i], &is.Containers[i], path.Child("containers").Index(i), "")...)
	}
	return errs
}

func lasting(pod *corev1.Pod) *corev1.PodSpec {
	spec := pod.Spec.DeepCopy()
	othersBusiness(spec)
	spec.TerminationGracePeriodSeconds = nil
	for i := range spec.Containers {
		spec.Containers[i].Env = nil
	}
	return spec
}

func differences(old, new any, path *field.Path, except string) field.ErrorList {
	was, is := reflect.ValueOf(old).Elem(), reflect.ValueOf(new).Elem()
	var errs field.ErrorList
	for i := range was.NumField() {
		member := was.Type().Field(i)
		if member.Name == except || equality.Semantic.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()) {
			continue
		}
		errs = append(errs, field.Forbidden(path.Child(jsonName(member)), "cannot change on a running cell"))
	}
	return errs
}
