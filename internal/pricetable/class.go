package pricetable

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
)

// ClassFor is the class that counts for a pod: the one that is named, if any;
// else that of its spec.runtimeClassName, else the only one. The error lists
// those that there are.
func ClassFor(pod *corev1.Pod, classes []v1beta1.CellClass, named string) (*v1beta1.CellClass, error) {
	if named == "" && pod.Spec.RuntimeClassName != nil && *pod.Spec.RuntimeClassName != "" {
		var ours bool
		if named, ours = strings.CutPrefix(*pod.Spec.RuntimeClassName, v1beta1.NodeName("")); !ours {
			return nil, fmt.Errorf("spec.runtimeClassName: %q is not of Kip: %s is right for a class; --class counts with another: %s",
				*pod.Spec.RuntimeClassName, v1beta1.NodeName("<class>"), list(classes))
		}
	}
	for i := range classes {
		if classes[i].Name == named || named == "" && len(classes) == 1 {
			return &classes[i], nil
		}
	}
	switch {
	case len(classes) == 0:
		return nil, errors.New("the cluster has no CellClass")
	case named != "":
		return nil, fmt.Errorf("CellClass %q does not exist: %s", named, list(classes))
	}
	return nil, fmt.Errorf("the pod has no spec.runtimeClassName: name the class with --class: %s", list(classes))
}

func list(classes []v1beta1.CellClass) string {
	var names []string
	for i := range classes {
		names = append(names, classes[i].Name)
	}
	if len(names) == 0 {
		return "there are none"
	}
	return "there are " + strings.Join(names, ", ")
}
