package podfields_test

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/podfields"
)

func pod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-0", UID: "uid-1",
			Labels:      map[string]string{"app": "web", "app-tier": "front", "quote": `say "hi"`},
			Annotations: map[string]string{"note": "line\nbreak"},
		},
		Spec: corev1.PodSpec{NodeName: "kip-small", ServiceAccountName: "seller", Containers: []corev1.Container{
			{Name: "free"},
			{Name: "main", Resources: corev1.ResourceRequirements{
				Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m"), corev1.ResourceMemory: resource.MustParse("100Mi")},
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceEphemeralStorage: resource.MustParse("2Gi")},
			}},
		}, InitContainers: []corev1.Container{{Name: "init", Resources: corev1.ResourceRequirements{
			Limits:   corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("2.5Gi")},
			Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1000001")},
		}}}},
	}
}

func TestFields(t *testing.T) {
	addresses := podfields.Addresses{Pod: netip.MustParseAddr("10.0.0.2"), Host: netip.MustParseAddr("10.0.0.1")}
	const none = "refused"
	for path, want := range map[string]struct{ variable, file string }{
		"metadata.name":                  {"web-0", "web-0"},
		"metadata.namespace":             {"shop", "shop"},
		"metadata.uid":                   {"uid-1", "uid-1"},
		"metadata.labels['app']":         {"web", "web"},
		"metadata.labels['absent']":      {"", ""},
		"metadata.annotations['note']":   {"line\nbreak", "line\nbreak"},
		"metadata.labels['app":           {none, none},
		"metadata.labels":                {none, "app=\"web\"\napp-tier=\"front\"\nquote=\"say \\\"hi\\\"\""},
		"metadata.annotations":           {none, `note="line\nbreak"`},
		"spec.nodeName":                  {"kip-small", none},
		"spec.host":                      {"kip-small", none},
		"spec.serviceAccountName":        {"seller", none},
		"status.podIP":                   {"10.0.0.2", none},
		"status.podIPs":                  {"10.0.0.2", none},
		"status.hostIP":                  {"10.0.0.1", none},
		"status.hostIPs":                 {"10.0.0.1", none},
		"status.phase":                   {none, none},
		"spec.containers[0].image":       {none, none},
		"metadata.annotations['x']['y']": {"", ""},
	} {
		check := func(where, want, got string, err error) {
			if (err != nil) != (want == none) || err == nil && got != want {
				t.Errorf("%s in a %s: %q, %v, want %q", path, where, got, err, want)
			}
		}
		got, err := podfields.InEnvironment(pod(), path, addresses)
		check("variable", want.variable, got, err)
		got, err = podfields.InVolume(pod(), path)
		check("volume", want.file, got, err)
	}
	if got, err := podfields.InEnvironment(pod(), "status.podIP", podfields.Addresses{}); err != nil || got != "" {
		t.Errorf("an address that is not known: %q, %v", got, err)
	}
}

// The pod's own limit is that of what has none, as the kubelet has it; its
// requests are nobody's.
func TestResourcesOfThePod(t *testing.T) {
	cell := podfields.Cell{MemoryBytes: 8 << 30, CPUs: 4}
	both := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("200Mi")}
	tests := []struct{ container, resource, want string }{
		{"free", "limits.cpu", "2"}, {"free", "limits.memory", "209715200"}, {"free", "requests.cpu", "0"}, {"free", "requests.memory", "0"},
		{"init", "limits.cpu", "2"}, {"main", "limits.memory", "104857600"},
	}
	for _, test := range tests {
		p := pod()
		p.Spec.Resources = &corev1.ResourceRequirements{Limits: both, Requests: both}
		got, err := podfields.Resource(p, nil, &corev1.ResourceFieldSelector{ContainerName: test.container, Resource: test.resource}, cell)
		if err != nil || got != test.want {
			t.Errorf("%s of %q: %q, %v, want %q", test.resource, test.container, got, err, test.want)
		}
	}
	p := pod()
	p.Spec.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("0")}}
	if got, err := podfields.Resource(p, &p.Spec.Containers[0], &corev1.ResourceFieldSelector{Resource: "limits.cpu"}, cell); err != nil || got != "4" {
		t.Errorf("of a pod with no more than a limit of 0: %q, %v", got, err)
	}
}

func TestResources(t *testing.T) {
	cell := podfields.Cell{MemoryBytes: 8 << 30, CPUs: 4, StorageBytes: 20 << 30}
	tests := []struct{ container, resource, divisor, want string }{
		{"main", "limits.cpu", "", "2"}, {"main", "limits.cpu", "1m", "1500"}, {"main", "requests.cpu", "", "1"},
		{"main", "limits.memory", "", "104857600"}, {"main", "limits.memory", "1Mi", "100"}, {"main", "limits.memory", "30Mi", "4"},
		{"main", "requests.memory", "", "0"}, {"main", "requests.ephemeral-storage", "1Gi", "2"},
		{"free", "limits.cpu", "", "4"}, {"free", "limits.cpu", "1m", "4000"}, {"free", "limits.memory", "1Gi", "8"}, {"free", "requests.cpu", "", "0"},
		{"init", "requests.memory", "1M", "2"}, {"", "limits.cpu", "1m", "1500"},
		{"absent", "limits.cpu", "", ""}, {"init", "limits.ephemeral-storage", "1Gi", "3"}, {"main", "limits.ephemeral-storage", "1Gi", "20"}, {"main", "limits.hugepages-2Mi", "", ""}, {"main", "cpu", "", ""},
	}
	for _, test := range tests {
		p := pod()
		selector := &corev1.ResourceFieldSelector{ContainerName: test.container, Resource: test.resource}
		if test.divisor != "" {
			selector.Divisor = resource.MustParse(test.divisor)
		}
		got, err := podfields.Resource(p, &p.Spec.Containers[1], selector, cell)
		if (err != nil) != (test.want == "") || got != test.want {
			t.Errorf("%s of %q by %q: %q, %v, want %q", test.resource, test.container, test.divisor, got, err, test.want)
		}
	}
	if _, err := podfields.Resource(pod(), nil, &corev1.ResourceFieldSelector{Resource: "limits.cpu"}, cell); err == nil {
		t.Error("no container was needed")
	}
	if podfields.CheckResource(&corev1.ResourceFieldSelector{Resource: "limits.cpu"}) != nil || podfields.CheckResource(&corev1.ResourceFieldSelector{}) == nil {
		t.Error("the check and the values do not agree")
	}
}
