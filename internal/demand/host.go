package demand

import (
	"slices"

	"kip.elotl.co/api/v1beta1"
)

// hostNamespaces: a pod in the cell's network or among its processes cannot be
// kept for certain from what the cell itself reaches, such as the credentials of
// the profile that the class gives its cells. Who may name profiles may have those.
// A pod that names one itself is asked about that.
func (r *reader) hostNamespaces() {
	if r.class == nil || r.class.Spec.DefaultIAMPermissions == "" || r.pod.Annotations[v1beta1.AnnotationInstanceProfile] != "" {
		return
	}
	allowed := r.class.Spec.PodPrivileges.InstanceProfiles
	if slices.Contains(allowed, "*") || slices.Contains(allowed, r.pod.Namespace) {
		return
	}
	for _, shared := range []struct {
		field string
		set   bool
	}{{"hostNetwork", r.pod.Spec.HostNetwork}, {"hostPID", r.pod.Spec.HostPID}} {
		if shared.set {
			r.refuse(v1beta1.ReasonNotPrivileged, "spec.%s: namespace %q may not ask for it: it brings the credentials of the cells' instance profile %q "+
				"within reach, and CellClass %q does not list the namespace in spec.podPrivileges.instanceProfiles",
				shared.field, r.pod.Namespace, r.class.Spec.DefaultIAMPermissions, r.class.Name)
		}
	}
}
