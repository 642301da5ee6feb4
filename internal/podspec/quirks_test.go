package podspec_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
	"kip.elotl.co/internal/podsupport"
)

const (
	g11 = itzo.Generation11
	g12 = itzo.Generation12
)

func to[T any](value T) *T { return &value }

// plain is a pod that both generations run, as the API server hands it out.
func plain(change ...func(*corev1.PodSpec)) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "uid"}, Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst, SecurityContext: &corev1.PodSecurityContext{},
		TerminationGracePeriodSeconds: to(int64(30)), EnableServiceLinks: to(true), ServiceAccountName: "default",
		Volumes: []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			DefaultMode: to(int32(0o644)), Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}}}}}},
		Containers: []corev1.Container{{
			Name: "main", Image: "busybox", ImagePullPolicy: corev1.PullAlways,
			TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
			Resources:    corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}},
			Ports:        []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
			VolumeMounts: []corev1.VolumeMount{{Name: "token", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
		}},
	}}
	for _, f := range change {
		f(&pod.Spec)
	}
	return pod
}

func given() podspec.Given {
	return podspec.Given{PodIP: netip.MustParseAddr("10.0.0.2"), Host: netip.MustParseAddr("10.0.0.1")}
}

func units(t *testing.T, change ...func(*corev1.PodSpec)) *itzo.PodParameters {
	t.Helper()
	parameters, err := podspec.Units(plain(change...), given())
	if err != nil {
		t.Fatal(err)
	}
	return parameters
}

// refused says that each of the generations refuses just that path.
func refused(path string, change func(*corev1.PodSpec), by ...itzo.Generation) func(*testing.T) {
	return func(t *testing.T) {
		for _, generation := range []itzo.Generation{g11, g12} {
			var want, got []string
			if slices.Contains(by, generation) {
				want = []string{path}
			}
			for _, err := range podsupport.Unsupported(plain(change), generation.Info()) {
				got = append(got, err.Field)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("generation %s: %s", generation, diff)
			}
		}
	}
}

func liveness(handler corev1.ProbeHandler) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) { s.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: handler} }
}

func tcp(port intstr.IntOrString) corev1.ProbeHandler {
	return corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: port}}
}

func view(policy corev1.RestartPolicy) *podspec.UnitsView {
	return &podspec.UnitsView{
		Pod:   plain(func(s *corev1.PodSpec) { s.RestartPolicy = policy }),
		PodIP: given().PodIP, Host: given().Host, Now: time.Unix(1000, 0),
	}
}

func statusOf(t *testing.T, v *podspec.UnitsView, unit itzo.UnitStatus) corev1.PodStatus {
	t.Helper()
	unit.Name = "main"
	status, err := v.Status(itzo.PodStatusReply{PodIP: "10.0.0.2", UnitStatus: []itzo.UnitStatus{unit}})
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func TestPlainPodIsNotRefused(t *testing.T) {
	refused("", func(*corev1.PodSpec) {})(t)
}

// TestQuirks goes through the defects that itzo-protocol.md §17 counts. What a
// pod cannot meet says where else it is seen to.
func TestQuirks(t *testing.T) {
	quirks := []struct {
		number    int
		checks    []func(*testing.T)
		elsewhere string
	}{
		{number: 1, checks: []func(*testing.T){refused("spec.initContainers", func(s *corev1.PodSpec) {
			s.InitContainers = []corev1.Container{{Name: "first", Image: "busybox"}}
		}, g11, g12)}}, // by 1.1 for number 3
		{number: 2, checks: []func(*testing.T){
			refused("spec.containers[0].readinessProbe", func(s *corev1.PodSpec) {
				s.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: tcp(intstr.FromInt32(80))}
			}, g12),
			refused("spec.containers[0].startupProbe", func(s *corev1.PodSpec) {
				s.Containers[0].StartupProbe = &corev1.Probe{ProbeHandler: tcp(intstr.FromInt32(80))}
			}, g12),
			func(t *testing.T) {
				v := view(corev1.RestartPolicyAlways)
				v.Before.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Unix(900, 0)}}}}
				is := statusOf(t, v, itzo.UnitStatus{State: itzo.UnitState{Running: &itzo.UnitStateRunning{}}, Ready: true}).ContainerStatuses[0]
				if is.State.Running == nil || is.State.Running.StartedAt.Unix() != 900 || !is.Ready || is.Started == nil || !*is.Started {
					t.Errorf("container is %+v", is)
				}
			},
		}},
		{number: 3, checks: []func(*testing.T){func(t *testing.T) {
			lost := itzo.UnitState{Terminated: &itzo.UnitStateTerminated{Reason: itzo.ReasonError, FinishedAt: metav1.Unix(990, 0)}}
			for policy, want := range map[corev1.RestartPolicy]corev1.PodPhase{
				corev1.RestartPolicyNever: corev1.PodFailed, corev1.RestartPolicyOnFailure: corev1.PodRunning, corev1.RestartPolicyAlways: corev1.PodRunning,
			} {
				if got := statusOf(t, view(policy), itzo.UnitStatus{State: lost}).Phase; got != want {
					t.Errorf("%s: %s, want %s", policy, got, want)
				}
			}
		}}},
		{number: 4, elsewhere: "bootstrap data is one parameter, or chunks that cmd/itzo's own reader finds"},
		{number: 5, elsewhere: "controllers/pod never sends a pod twice"},
		{number: 6, checks: []func(*testing.T){func(t *testing.T) {
			v := view(corev1.RestartPolicyAlways)
			v.Before.StartTime = to(metav1.NewTime(v.Now.Add(-podspec.StartTimeout - time.Second)))
			status := statusOf(t, v, itzo.UnitStatus{State: itzo.UnitState{Waiting: &itzo.UnitStateWaiting{Reason: itzo.ReasonPodInitializing}}})
			if status.Phase != corev1.PodFailed || status.Reason != podspec.ReasonStartTimeout {
				t.Errorf("status is %+v", status)
			}
		}}},
		{number: 7, elsewhere: "controllers/pod tells of containers that cannot be sent SIGTERM"},
		{number: 8, checks: []func(*testing.T){
			refused("spec.containers[0].stdin", func(s *corev1.PodSpec) { s.Containers[0].Stdin = true }, g11, g12),
			refused("spec.containers[0].tty", func(s *corev1.PodSpec) { s.Containers[0].TTY = true }, g11, g12),
		}},
		{number: 9, elsewhere: "internal/itzo: Exec has a deadline for every read"},
		{number: 10, elsewhere: "internal/itzo: Exec sends one message and reads"},
		{number: 11, elsewhere: "the command of controllers/pod ends by itself"},
		{number: 12, checks: []func(*testing.T){func(t *testing.T) {
			if got := units(t).Annotations; got != nil {
				t.Errorf("annotations are sent: %v", got)
			}
		}}},
		{number: 13, checks: []func(*testing.T){func(t *testing.T) {
			sent := units(t, func(s *corev1.PodSpec) { s.Hostname = "db-0" })
			if sent.PodHostname != "db-0" || sent.Spec.Hostname != "db-0" {
				t.Errorf("%q and %q", sent.PodHostname, sent.Spec.Hostname)
			}
		}}},
		{number: 14, checks: []func(*testing.T){
			refused("spec.containers[0].securityContext.capabilities.drop", func(s *corev1.PodSpec) {
				s.Containers[0].SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
			}, g11, g12),
			refused("spec.containers[0].securityContext.capabilities.add", func(s *corev1.PodSpec) {
				s.Containers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: to(int64(7)), Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"SYS_TIME"}}}
			}, g11, g12),
		}},
		{number: 15, checks: []func(*testing.T){
			func(t *testing.T) {
				pod := plain(func(s *corev1.PodSpec) { s.SecurityContext.RunAsUser = to(int64(7)) })
				unit := units(t, func(s *corev1.PodSpec) { s.SecurityContext.RunAsUser = to(int64(7)) }).Spec.Units[0]
				if diff := cmp.Diff(&itzo.SecurityContext{Capabilities: &itzo.Capabilities{Drop: []string{"ALL"}}}, unit.SecurityContext); diff != "" {
					t.Error(diff)
				}
				if owner := podspec.UnitPackageOf(pod, podspec.Package{Name: "token"}).Owner; owner.UID != 7 {
					t.Errorf("the package belongs to %v", owner)
				}
			},
			refused("spec.containers[0].volumeMounts[1]", func(s *corev1.PodSpec) {
				s.SecurityContext.RunAsUser = to(int64(7))
				s.Volumes = append(s.Volumes, corev1.Volume{Name: "work", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
				s.Containers[0].VolumeMounts = append(s.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "work", MountPath: "/work"})
			}, g11, g12),
		}},
		{number: 16, elsewhere: "start-agent.sh starts the agent; only images of the first Kip read cell_config.yaml, whose content is the class's"},
		{number: 17, checks: []func(*testing.T){func(t *testing.T) {
			for bytes, want := range map[string]int64{"1": 1, "1Mi": 1, "1048577": 2, "1Gi": 1024} {
				sent := units(t, func(s *corev1.PodSpec) {
					s.Volumes[0].VolumeSource = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: to(resource.MustParse(bytes))}}
				})
				if got := sent.Spec.Volumes[0].EmptyDir.SizeLimit; got != want {
					t.Errorf("%s became %d MiB", bytes, got)
				}
			}
		}}},
		{number: 18, elsewhere: "there are no init units (number 1)"},
		{number: 19, elsewhere: "internal/itzo looks at no content type; any answer but 200 is tried again"},
		{number: 20, checks: hostPathTypes()},
		{number: 21, checks: []func(*testing.T){
			probesAreFilledIn,
			refused("spec.containers[0].livenessProbe.exec", liveness(corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}}), g11, g12),
			refused("spec.containers[0].livenessProbe", func(s *corev1.PodSpec) {
				s.RestartPolicy = corev1.RestartPolicyOnFailure
				liveness(tcp(intstr.FromInt32(80)))(s)
			}, g11, g12),
			refused("spec.containers[0].livenessProbe.tcpSocket.port", liveness(tcp(intstr.FromString("none"))), g11, g12),
		}},
		{number: 22, elsewhere: "the log has no such line: docs/old-agents.md"},
		{number: 23, elsewhere: "internal/itzo: Logs refuses an empty name"},
		{number: 24, elsewhere: "internal/itzo: Deploy and WritePackage refuse names that are none"},
	}
	for i, quirk := range quirks {
		if quirk.number != i+1 || len(quirk.checks) == 0 && quirk.elsewhere == "" {
			t.Errorf("entry %d is number %d, with %d checks", i+1, quirk.number, len(quirk.checks))
		}
		for _, check := range quirk.checks {
			t.Run("", check)
		}
	}
}

func hostPathTypes() []func(*testing.T) {
	var checks []func(*testing.T)
	for _, kind := range []corev1.HostPathType{corev1.HostPathSocket, corev1.HostPathCharDev, corev1.HostPathBlockDev} {
		checks = append(checks, refused("spec.volumes[1].hostPath.type", func(s *corev1.PodSpec) {
			s.Volumes = append(s.Volumes, corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/x", Type: &kind}}})
		}, g11, g12))
	}
	return checks
}

func probesAreFilledIn(t *testing.T) {
	got := units(t, liveness(corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("http")}})).Spec.Units[0].LivenessProbe
	want := &itzo.Probe{
		HTTPGet:        &itzo.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080), Scheme: "HTTP"},
		TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = units(t, liveness(tcp(intstr.FromString("http")))).Spec.Units[0].LivenessProbe
	if got.TCPSocket.Port != intstr.FromInt32(8080) {
		t.Errorf("port is %v", got.TCPSocket.Port)
	}
}
