package demand_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/demand"
)

// TestHostNetwork is free for all where a cell has no credentials, and else for who may have some.
func TestHostNetwork(t *testing.T) {
	const tail = `: namespace "shop" may not ask for it: it brings the credentials of the cells' instance profile "kip-cells" within reach, ` +
		`and CellClass "default" does not list the namespace in spec.podPrivileges.instanceProfiles`
	network := corev1.PodSpec{HostNetwork: true}
	for name, test := range map[string]struct {
		spec       corev1.PodSpec
		profile    string
		namespaces v1beta1.NamespaceNames
		annotation string
		want       []string
	}{
		"no profile":           {network, "", nil, "", nil},
		"a profile":            {network, "kip-cells", nil, "", []string{"spec.hostNetwork" + tail}},
		"another is listed":    {network, "kip-cells", v1beta1.NamespaceNames{"other"}, "", []string{"spec.hostNetwork" + tail}},
		"listed":               {network, "kip-cells", v1beta1.NamespaceNames{"other", "shop"}, "", nil},
		"all are":              {network, "kip-cells", v1beta1.NamespaceNames{"*"}, "", nil},
		"a profile of its own": {network, "kip-cells", v1beta1.NamespaceNames{"shop"}, "reader", nil},
		"a network of its own": {corev1.PodSpec{HostIPC: true, HostPID: true}, "kip-cells", nil, "", nil},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Spec: test.spec}
		if test.annotation != "" {
			pod.Annotations = map[string]string{v1beta1.AnnotationInstanceProfile: test.annotation}
		}
		class := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
		class.Spec.DefaultIAMPermissions, class.Spec.PodPrivileges.InstanceProfiles = test.profile, test.namespaces
		_, refusals := demand.Of(pod, class, nil)
		var got []string
		for _, r := range refusals {
			if r.Reason != v1beta1.ReasonNotPrivileged {
				t.Errorf("%s: reason %s", name, r.Reason)
			}
			got = append(got, r.Message)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
