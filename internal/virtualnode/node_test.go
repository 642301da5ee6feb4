package virtualnode

import (
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
)

// web is the node of the class.
var web = Identity{Class: "web"}

func class(architectures, zones []string) *v1beta1.CellClass {
	c := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: "web"}}
	for _, a := range architectures {
		c.Status.Images = append(c.Status.Images, v1beta1.ResolvedImage{Architecture: a})
	}
	for _, z := range zones {
		c.Status.Subnets = append(c.Status.Subnets, v1beta1.ResolvedSubnet{Zone: z})
	}
	return c
}

// TestLabels: only what is true of all cells of the class is said of its node.
func TestLabels(t *testing.T) {
	for name, test := range map[string]struct {
		class      *v1beta1.CellClass
		arch, zone string
	}{
		"not looked up yet": {class(nil, nil), "", ""},
		"one of each":       {class([]string{"arm64"}, []string{"a"}), "arm64", "a"},
		"two of each":       {class([]string{"amd64", "arm64"}, []string{"a", "b"}), "", ""},
		"one zone twice":    {class([]string{"amd64"}, []string{"b", "b"}), "amd64", "b"},
	} {
		want := map[string]string{"type": "virtual-kubelet", "kip.elotl.co/cell-class": "web", "kubernetes.io/os": "linux"}
		if test.arch != "" {
			want["kubernetes.io/arch"] = test.arch
		}
		if test.zone != "" {
			want["topology.kubernetes.io/zone"] = test.zone
		}
		if diff := cmp.Diff(want, Labels(test.class, web, "")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestArchitectureOfTwo: the node says what the default instance type is.
func TestArchitectureOfTwo(t *testing.T) {
	c := class([]string{"amd64", "arm64"}, nil)
	c.Status.Architecture = "arm64"
	if node := Node(c, web, About{}, metav1.Now()); node.Labels["kubernetes.io/arch"] != "arm64" || node.Status.NodeInfo.Architecture != "arm64" {
		t.Errorf("labels %v, info %+v", node.Labels, node.Status.NodeInfo)
	}
}

func TestLabelsToRemove(t *testing.T) {
	is := map[string]string{"kubernetes.io/hostname": "a", "kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": "b", "mine": "c"}
	want := map[string]string{"kubernetes.io/arch": "arm64"}
	if diff := cmp.Diff([]string{"kubernetes.io/hostname", "topology.kubernetes.io/zone"}, LabelsToRemove(is, want)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestNodeOfADeletedClass takes no more pods.
func TestNodeOfADeletedClass(t *testing.T) {
	c := class(nil, nil)
	if Node(c, web, About{}, metav1.Now()).Spec.Unschedulable {
		t.Error("the node of a class that stays is cordoned")
	}
	now := metav1.Now()
	c.DeletionTimestamp = &now
	if !Node(c, web, About{}, now).Spec.Unschedulable {
		t.Error("the node is not cordoned")
	}
}

func TestNode(t *testing.T) {
	c := class([]string{"arm64"}, []string{"a"})
	c.Spec.Capacity = corev1.ResourceList{"cpu": resource.MustParse("5")}
	now := metav1.NewTime(time.Unix(1, 0))
	node := Node(c, web, About{Kubelet: Endpoint{Address: "192.0.2.1", Port: 10250}}, now)
	if node.Name != "kip-web" || node.Spec.ProviderID != "kip://web" || node.Status.DaemonEndpoints.KubeletEndpoint.Port != 10250 {
		t.Errorf("node %+v", node)
	}
	addresses := []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}, {Type: corev1.NodeHostName, Address: "kip-web"}}
	if diff := cmp.Diff(addresses, node.Status.Addresses); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	conditions := map[corev1.NodeConditionType]corev1.ConditionStatus{}
	for _, condition := range node.Status.Conditions {
		conditions[condition.Type] = condition.Status
		if condition.LastHeartbeatTime != now || condition.LastTransitionTime != now {
			t.Errorf("times of %+v", condition)
		}
	}
	want := map[corev1.NodeConditionType]corev1.ConditionStatus{
		"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "NetworkUnavailable": "False",
	}
	if diff := cmp.Diff(want, conditions); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

// TestRuntimeClassLeadsToTheNode: what it adds to a pod is all that the pod
// needs to be bound to the node, and to no node of another class.
func TestRuntimeClassLeadsToTheNode(t *testing.T) {
	c := class(nil, nil)
	scheduling := RuntimeClass(c).Scheduling
	node := Node(c, web, About{}, metav1.Now())
	for _, taint := range node.Spec.Taints {
		tolerated := scheduling.Tolerations[0]
		if tolerated.Key != taint.Key || tolerated.Value != taint.Value || tolerated.Effect != taint.Effect || tolerated.Operator != corev1.TolerationOpEqual {
			t.Errorf("taint %s is not tolerated", taint.ToString())
		}
	}
	other := class(nil, nil)
	other.Name = "db"
	selects := func(labels map[string]string) bool {
		for key, value := range scheduling.NodeSelector {
			if labels[key] != value {
				return false
			}
		}
		return true
	}
	if !selects(node.Labels) || selects(Labels(other, Identity{Class: other.Name}, "")) {
		t.Errorf("selector %v, labels %v", scheduling.NodeSelector, node.Labels)
	}
}

// TestNodeOfAZone says its zone however many the class has.
func TestNodeOfAZone(t *testing.T) {
	c := class(nil, []string{"b", "a", "b"})
	node := Node(c, Identity{Class: "web", Zone: "b"}, About{Region: "here"}, metav1.Now())
	if node.Name != "kip-web-b" || node.Spec.ProviderID != "kip://web/b" || node.Labels["topology.kubernetes.io/zone"] != "b" || node.Labels["topology.kubernetes.io/region"] != "here" {
		t.Errorf("node %s with %s, labels %v", node.Name, node.Spec.ProviderID, node.Labels)
	}
	if diff := cmp.Diff([]string{"a", "b"}, Zones(c)); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
}

// TestNodeInfo says what is the same for all cells, and nothing else.
func TestNodeInfo(t *testing.T) {
	one, two := class([]string{"arm64"}, nil), class([]string{"amd64", "arm64"}, nil)
	one.Status.Images[0].ID, one.Status.Images[0].Name = "ami-1", "kip-cell-1"
	for name, test := range map[string]struct {
		class *v1beta1.CellClass
		about About
		want  corev1.NodeSystemInfo
	}{
		"one image": {one, About{KubeletVersion: "v1.36.3+kip.9", Runtime: "containerd v2.1.3"}, corev1.NodeSystemInfo{
			KubeletVersion: "v1.36.3+kip.9", OperatingSystem: "linux", Architecture: "arm64", OSImage: "kip-cell-1", ContainerRuntimeVersion: "containerd://2.1.3"}},
		"two images": {two, About{Runtime: "itzo"}, corev1.NodeSystemInfo{
			OperatingSystem: "linux", Architecture: runtime.GOARCH, ContainerRuntimeVersion: "kip://unknown"}},
	} {
		if diff := cmp.Diff(test.want, Node(test.class, web, test.about, metav1.Now()).Status.NodeInfo); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
