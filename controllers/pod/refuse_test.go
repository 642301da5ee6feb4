package pod_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
)

// refusedWith waits until the pod is Pending with the reason, on the status
// and on its readiness.
func (s *scene) refusedWith(p *corev1.Pod, reason, message string) *corev1.Pod {
	s.t.Helper()
	found := s.podIs(p, "refused", func(p *corev1.Pod) bool {
		ready := condition(p, corev1.PodReady)
		return p.Status.Phase == corev1.PodPending && p.Status.Reason == reason && ready != nil && ready.Reason == reason && ready.Status == corev1.ConditionFalse
	})
	if found.Status.Message != message {
		s.t.Errorf("message is %q, want %q", found.Status.Message, message)
	}
	s.event(p, reason, message)
	return found
}

func TestUnsupportedField(t *testing.T) {
	tests := map[string]struct {
		change  func(*corev1.Pod)
		message string
	}{
		"user namespace": {func(p *corev1.Pod) { p.Spec.HostUsers = new(bool) }, "spec.hostUsers: "},
		"volume": {func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "files.example", Path: "/"}}}}
		}, "spec.volumes[0].nfs: "},
		"content of a volume": {func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{
				Path: "cpu", ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "main", Resource: "limits.hugepages-2Mi"},
			}}}}}}
		}, "spec.volumes[0].downwardAPI.items[0].resourceFieldRef.resource: "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.operator()
			p := s.add("web", test.change)
			p = s.podIs(p, "refused", func(p *corev1.Pod) bool { return p.Status.Reason == v1beta1.ReasonUnsupportedField })
			if !strings.HasPrefix(p.Status.Message, test.message) {
				t.Errorf("message is %q, want one that begins with %q", p.Status.Message, test.message)
			}
			s.refusedWith(p, v1beta1.ReasonUnsupportedField, p.Status.Message)
			s.settled()
			if cells := s.cells(); len(cells) > 0 {
				t.Errorf("a Cell was made: %v", cells)
			}
			s.delete(p)
			s.podGone(p)
		})
	}
}

func TestOtherOperatingSystem(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web", func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} })
	p = s.podIs(p, "failed", phase(corev1.PodFailed))
	const message = `spec.os.name: "windows": cells run linux`
	if p.Status.Reason != "PodOSNotSupported" || p.Status.Message != message {
		t.Errorf("%s: %s", p.Status.Reason, p.Status.Message)
	}
	s.event(p, "PodOSNotSupported", message)
	s.settled()
	if cells := s.cells(); len(cells) > 0 {
		t.Errorf("a Cell was made: %v", cells)
	}
}

// unblamed waits until nothing on the pod tells of a problem any more.
func (s *scene) unblamed(p *corev1.Pod) {
	s.t.Helper()
	s.podIs(p, "waiting for its cell", func(p *corev1.Pod) bool {
		for _, c := range p.Status.Conditions {
			if !unproblematic(c.Reason) {
				return false
			}
		}
		return p.Status.Phase == corev1.PodPending && unproblematic(p.Status.Reason)
	})
}

func unproblematic(reason string) bool {
	return slices.Contains([]string{"", v1beta1.ReasonCellPending, v1beta1.ReasonLaunching, v1beta1.ReasonWaitingForAgent}, reason)
}

// What keeps the cell from being made is seen on the pod, as long as it does.
func TestProblemOfTheClass(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web")
	cell := s.cellOf(p)
	for _, problem := range []struct{ reason, message string }{
		{v1beta1.ReasonClassNotReady, "spec.aws.subnets: subnet-1 does not exist"},
		{v1beta1.ReasonNoCapacity, "t3.nano: InsufficientInstanceCapacity in eu-1a"},
	} {
		s.setReady(cell, metav1.ConditionFalse, problem.reason, problem.message)
		s.refusedWith(p, problem.reason, problem.message)
	}
	s.setReady(cell, metav1.ConditionFalse, v1beta1.ReasonLaunching, "launching t3.nano")
	s.unblamed(p)
	s.boot(p)
	s.running(p)
}

// What the cloud knows nothing of is shown as the annotation that names it.
func TestProblemOfAnAnnotation(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web")
	cell := s.cellOf(p)
	for _, problem := range []struct{ reason, message, shown string }{
		{v1beta1.ReasonGroupNotFound, `spec.securityGroups: "sg-01234567": no security group of this ID in VPC vpc-1`,
			`annotation pod.elotl.co/security-groups: "sg-01234567": no security group of this ID in VPC vpc-1`},
		{v1beta1.ReasonProfileNotFound, `spec.instanceProfile: "nobodys": no instance profile of this name or ARN`,
			`annotation pod.elotl.co/instance-profile: "nobodys": no instance profile of this name or ARN`},
	} {
		s.setReady(cell, metav1.ConditionFalse, problem.reason, problem.message)
		s.refusedWith(p, problem.reason, problem.shown)
	}
}

// A pod whose wish is spoiled while its cell boots does not keep the cell.
func TestRefusedPodKeepsNoCell(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web")
	cell := s.cellOf(p)
	s.update(p, `{"metadata":{"annotations":{"pod.elotl.co/instance-type":"large"}}}`)
	s.refusedWith(p, v1beta1.ReasonInvalidAnnotation,
		`annotation pod.elotl.co/instance-type: "large": must be the name of an instance type, such as m5.large, or a pattern, such as c5*`)
	s.cellEnds(cell)
}

// What takes long says why, also when nothing is wrong.
func TestLongWaitHasAReason(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web")
	cell := s.cellOf(p)
	s.setReady(cell, metav1.ConditionFalse, v1beta1.ReasonWaitingForAgent, "instance i-1 is launched, its agent has not answered yet")
	s.clock.shift(time.Minute)
	s.poke(p)
	p = s.podIs(p, "saying what it waits for", func(p *corev1.Pod) bool { return p.Status.Reason == v1beta1.ReasonWaitingForAgent })
	if p.Status.Message != "instance i-1 is launched, its agent has not answered yet" {
		t.Errorf("message is %q", p.Status.Message)
	}
	s.boot(p)
	if p = s.running(p); p.Status.Reason != "" {
		t.Errorf("reason is still %s", p.Status.Reason)
	}
}
