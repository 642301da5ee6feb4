package podspec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/podspec"
)

func TestWithDNS(t *testing.T) {
	five, two := "5", "2"
	cluster := &podspec.ClusterDNS{Servers: []string{"10.96.0.10", "fd00::a"}, Domain: "corp.example"}
	own := &corev1.PodDNSConfig{Nameservers: []string{"10.9.9.9", "10.9.9.8"}, Searches: []string{"mine"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &two}}}
	clusters := &corev1.PodDNSConfig{Nameservers: []string{"10.96.0.10", "fd00::a"}, Searches: []string{"team.svc.corp.example", "svc.corp.example", "corp.example"},
		Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &five}}}
	both := &corev1.PodDNSConfig{Nameservers: []string{"10.96.0.10", "fd00::a", "10.9.9.9", "10.9.9.8"}, Searches: append(clusters.Searches[:3:3], "mine"),
		Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &two}}}
	const first, hostNet, standard, none = corev1.DNSClusterFirst, corev1.DNSClusterFirstWithHostNet, corev1.DNSDefault, corev1.DNSNone
	for _, test := range []struct {
		policy      corev1.DNSPolicy
		hostNetwork bool
		own         *corev1.PodDNSConfig
		cluster     *podspec.ClusterDNS
		wantPolicy  corev1.DNSPolicy
		want        *corev1.PodDNSConfig
	}{
		{first, false, nil, cluster, first, clusters},
		{first, false, own, cluster, first, both},
		{"", false, own, cluster, "", both},
		{first, true, nil, cluster, first, nil},
		{first, true, own, cluster, standard, own},
		{hostNet, true, nil, cluster, hostNet, clusters},
		{hostNet, false, own, cluster, hostNet, both},
		{standard, false, nil, cluster, standard, nil},
		{standard, false, own, cluster, standard, own},
		{none, false, own, cluster, none, own},
		{first, false, nil, nil, first, nil},
		{first, false, own, nil, standard, own},
		{hostNet, true, own, nil, standard, own},
		{none, true, own, nil, none, own},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "team"},
			Spec: corev1.PodSpec{DNSPolicy: test.policy, HostNetwork: test.hostNetwork, DNSConfig: test.own}}
		before := pod.DeepCopy()
		got := podspec.WithDNS(pod, test.cluster)
		if diff := cmp.Diff(test.want, got.Spec.DNSConfig); diff != "" || got.Spec.DNSPolicy != test.wantPolicy {
			t.Errorf("%s, hostNetwork %t, own %t, cluster's %t: policy %s, %s", test.policy, test.hostNetwork, test.own != nil, test.cluster != nil, got.Spec.DNSPolicy, diff)
		}
		if diff := cmp.Diff(before, pod); diff != "" {
			t.Errorf("the pod itself was changed: %s", diff)
		}
	}
}
