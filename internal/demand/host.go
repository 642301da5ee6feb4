package demand

import (
	"slices"

	"kip.elotl.co/api/v1beta1"
)

// hostNetwork: a pod in the cell's network cannot be kept for certain from what
// the cell itself reaches there, such as the credentials of the profile that the
// class gives its cells. Who may name profiles may have those. A pod that names
// one itself is asked about that.
func (r *reader) hostNetwork() {
	if !r.pod.Spec.HostNetwork || r.class == nil || r.class.Spec.DefaultIAMPermissions == "" ||
		r.pod.Annotations[v1beta1.AnnotationInstanceProfile] != "" {
		return
	}
	allowed := r.class.Spec.PodPrivileges.InstanceProfiles
	if slices.Contains(allowed, "*") || slices.Contains(allowed, r.pod.Namespace) {
		return
	}
	r.refuse(v1beta1.ReasonNotPrivileged, "spec.hostNetwork: namespace %q may not ask for it: it brings the credentials of the cells' instance profile %q "+
		"within reach, and CellClass %q does not list the namespace in spec.podPrivileges.instanceProfiles",
		r.pod.Namespace, r.class.Spec.DefaultIAMPermissions, r.class.Name)
}
