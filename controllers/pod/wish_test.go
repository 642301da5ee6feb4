package pod_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
)

// openClass makes the scene's class, which allows namespaces all privileges.
func (s *scene) openClass(namespaces ...string) *v1beta1.CellClass {
	s.t.Helper()
	class := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: s.class}}
	class.Spec.BootImageSpec.Owners = "self"
	class.Spec.Itzo = v1beta1.ItzoSpec{URL: "https://agents.example", Version: "v2"}
	class.Spec.AWS.Subnets = []string{"subnet-0123456789abcdef0"}
	class.Spec.PodPrivileges = privileges(namespaces...)
	s.create(class)
	s.t.Cleanup(func() { _ = cluster.admin.Delete(context.Background(), class) })
	return class
}

func privileges(namespaces ...string) v1beta1.PodPrivileges {
	return v1beta1.PodPrivileges{SecurityGroups: namespaces, InstanceProfiles: namespaces, Routes: namespaces}
}

func annotation(name, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations[name] = value }
}

func annotationPatch(name, value string) string {
	return fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, name, value)
}

// Each annotation, and what else a pod asks for, is in its Cell's spec.
func TestWishesReachTheCell(t *testing.T) {
	s := newScene(t)
	s.openClass(s.namespace)
	s.operator()
	yes, no, seconds, size := true, false, int32(90), resource.MustParse("20Gi")
	for name, test := range map[string]struct {
		change func(*corev1.Pod)
		want   v1beta1.CellSpec
	}{
		"type":     {annotation(v1beta1.AnnotationInstanceType, "c5*"), v1beta1.CellSpec{InstanceType: "c5*"}},
		"market":   {annotation(v1beta1.AnnotationLaunchType, "spot-preferred"), v1beta1.CellSpec{LaunchType: v1beta1.LaunchSpotPreferred}},
		"private":  {annotation(v1beta1.AnnotationPrivateIPOnly, "true"), v1beta1.CellSpec{PrivateIPOnly: &yes}},
		"groups":   {annotation(v1beta1.AnnotationSecurityGroups, "sg-01234567,sg-76543210"), v1beta1.CellSpec{SecurityGroups: []string{"sg-01234567", "sg-76543210"}}},
		"profile":  {annotation(v1beta1.AnnotationInstanceProfile, "web"), v1beta1.CellSpec{InstanceProfile: "web"}},
		"patience": {annotation(v1beta1.AnnotationHealthyTimeout, "90"), v1beta1.CellSpec{HealthyTimeoutSeconds: &seconds}},
		"routes":   {annotation(v1beta1.AnnotationCloudRoute, "10.20.0.0/16 10.30.0.0/16"), v1beta1.CellSpec{Routes: []string{"10.20.0.0/16", "10.30.0.0/16"}}},
		"volume":   {annotation(v1beta1.AnnotationVolumeSize, "20Gi"), v1beta1.CellSpec{VolumeSize: &size}},
		"overlay":  {annotation(v1beta1.AnnotationImageOverlayRootfs, "false"), v1beta1.CellSpec{ImageOverlayRootfs: &no}},
		"resources": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("3Gi")}
		}, v1beta1.CellSpec{Resources: corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("3Gi")}}},
		"zone": {func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: "a"} },
			v1beta1.CellSpec{OfferingTerms: []v1beta1.OfferingTerm{{Requirements: []v1beta1.OfferingRequirement{
				{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"a"}}}}}}},
	} {
		p := s.add(name, test.change)
		got := s.cellOf(p).Spec
		test.want.CellClassName = s.class
		test.want.PodRef = &v1beta1.PodReference{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID)}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The cell of a pod that is bound to the node of a zone is in that zone, and in
// the class of the node, whatever its name could stand for besides.
func TestZoneOfTheNode(t *testing.T) {
	s := newScene(t)
	s.operator()
	node := s.node + "-us-east-1b"
	s.addNodeOf(node, "kip://"+s.class+"/us-east-1b", map[string]string{v1beta1.LabelCellClass: "edited", corev1.LabelTopologyZone: "edited"})
	p := s.add("zoned", func(p *corev1.Pod) { p.Spec.NodeName = node })
	if spec := s.cellOf(p).Spec; spec.Zone != "us-east-1b" || spec.CellClassName != s.class || len(spec.OfferingTerms) != 0 {
		t.Errorf("spec %+v", spec)
	}
	s.boot(p)
	s.running(p)
}

// A pod with a wish that cannot be is Pending and says why, and goes on by
// itself when the annotation is mended.
func TestMendedAnnotation(t *testing.T) {
	for name, test := range map[string]struct{ annotation, bad, good, reason, message string }{
		"type": {v1beta1.AnnotationInstanceType, "Large!", "m5.large", v1beta1.ReasonInvalidAnnotation,
			`annotation pod.elotl.co/instance-type: "Large!": must be the name of an instance type, such as m5.large, or a pattern, such as c5*`},
		"market": {v1beta1.AnnotationLaunchType, "cheap", "spot", v1beta1.ReasonInvalidAnnotation,
			`annotation pod.elotl.co/launch-type: "cheap": must be on-demand, spot or spot-preferred`},
		"volume": {v1beta1.AnnotationVolumeSize, "1Mi", "20Gi", v1beta1.ReasonInvalidAnnotation,
			`annotation pod.elotl.co/volume-size: "1Mi": must be a quantity between 1Gi and 16Ti, such as 20Gi`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.operator()
			p := s.add("web", annotation(test.annotation, test.bad))
			s.refusedWith(p, test.reason, test.message)
			s.settled()
			if cells := s.cells(); len(cells) > 0 {
				t.Errorf("a Cell was made: %v", cells)
			}
			s.update(p, annotationPatch(test.annotation, test.good))
			s.cellOf(p)
			s.unblamed(p)
			s.boot(p)
			s.running(p)
		})
	}
}

// What the class does not allow goes on by itself once it does.
func TestPrivilegeGrantedLater(t *testing.T) {
	s := newScene(t)
	class := s.openClass("other")
	s.operator()
	p := s.add("web", annotation(v1beta1.AnnotationInstanceProfile, "web"))
	s.refusedWith(p, v1beta1.ReasonNotPrivileged, fmt.Sprintf(
		`annotation pod.elotl.co/instance-profile: "web": namespace %q may not ask for it: CellClass %q does not list it in spec.podPrivileges.instanceProfiles`,
		s.namespace, s.class))
	s.settled()
	before := class.DeepCopy()
	class.Spec.PodPrivileges = privileges("other", s.namespace)
	if err := cluster.admin.Patch(t.Context(), class, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	if cell := s.cellOf(p); cell.Spec.InstanceProfile != "web" {
		t.Errorf("profile %q", cell.Spec.InstanceProfile)
	}
	s.unblamed(p)
	s.boot(p)
	s.running(p)
}

// A Cell says what is wrong in its own words: the pod's user reads the
// annotation. The Cell cannot be changed: a mended pod gets another one.
func TestCellThatCannotBe(t *testing.T) {
	for name, test := range map[string]struct{ annotation, bad, good, reason, message, want string }{
		"type": {v1beta1.AnnotationInstanceType, "m99.large", "m5.large", v1beta1.ReasonInvalidInstanceType,
			`spec.instanceType: "m99.large" is not an instance type of this region`,
			`annotation pod.elotl.co/instance-type: "m99.large" is not an instance type of this region`},
		"volume": {v1beta1.AnnotationVolumeSize, "2Gi", "8Gi", v1beta1.ReasonInvalidVolumeSize,
			"spec.volumeSize: 2Gi is smaller than the root volume of image ami-1, 4Gi",
			"annotation pod.elotl.co/volume-size: 2Gi is smaller than the root volume of image ami-1, 4Gi"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.operator()
			p := s.add("web", annotation(test.annotation, test.bad))
			cell := s.cellOf(p)
			s.setReady(cell, metav1.ConditionFalse, test.reason, test.message)
			s.refusedWith(p, test.reason, test.want)
			s.update(p, annotationPatch(test.annotation, test.good))
			s.cellEnds(cell)
			s.anotherCell(p, cell)
			s.boot(p)
			s.running(p)
		})
	}
}

// A volume that follows from the pod's requests grows with the image: its Cell
// asks for no size.
func TestEphemeralStorage(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web", func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"ephemeral-storage": resource.MustParse("1Gi")}
	})
	cell := s.cellOf(p)
	if got := cell.Spec.Resources.StorageEphemeral().String(); cell.Spec.VolumeSize != nil || got != "1Gi" {
		t.Errorf("a volume of %v with %s for the pod", cell.Spec.VolumeSize, got)
	}
}

// Before there is an instance a changed wish replaces the Cell.
func TestChangedWishBeforeTheLaunch(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web", annotation(v1beta1.AnnotationLaunchType, "spot"))
	cell := s.cellOf(p)
	s.update(p, annotationPatch(v1beta1.AnnotationLaunchType, "on-demand"))
	s.cellEnds(cell)
	s.anotherCell(p, cell)
	if next := s.cellOf(p); next.Spec.LaunchType != v1beta1.LaunchOnDemand {
		t.Errorf("launch type %s", next.Spec.LaunchType)
	}
	s.boot(p)
	s.running(p)
}

// Once it runs, nothing changes: neither by another wish, nor by one that
// cannot be.
func TestChangedWishOfARunningPod(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, cell, _ := s.start("web", annotation(v1beta1.AnnotationLaunchType, "spot"))
	for _, value := range []string{"on-demand", "cheap"} {
		s.update(p, annotationPatch(v1beta1.AnnotationLaunchType, value))
		s.settled()
		s.running(p)
		if now := s.cellOf(p); now.UID != cell.UID || !now.DeletionTimestamp.IsZero() || now.Spec.LaunchType != v1beta1.LaunchSpot {
			t.Errorf("after %s the Cell is %+v", value, now.ObjectMeta)
		}
	}
}
