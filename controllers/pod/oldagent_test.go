package pod_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
	"kip.elotl.co/internal/pki"
)

func generations() []itzo.Generation { return []itzo.Generation{itzo.Generation11, itzo.Generation12} }

// eachGeneration runs a test with an operator and each generation of old agents.
func eachGeneration(t *testing.T, test func(*testing.T, *scene, itzo.Generation)) {
	for _, generation := range generations() {
		t.Run(string(generation), func(t *testing.T) {
			s := newScene(t)
			s.operator()
			test(t, s, generation)
		})
	}
}

// bootOld makes the pod's Cell ready, with an agent of the first Kip.
func (s *scene) bootOld(p *corev1.Pod, generation itzo.Generation, prepare ...func(*itzotest.OldAgent)) (*v1beta1.Cell, *itzotest.OldAgent) {
	s.t.Helper()
	cell := s.cellOf(p)
	attempt := v1beta1.LaunchAttempt{Number: 1, InstanceType: "t3.nano", SubnetID: "subnet-1", ImageID: "ami-1", Fingerprint: "x", StartTime: metav1.Now().Rfc3339Copy()}
	ip, listener := freeAddress(s.t)
	old := itzotest.NewOldAgent(generation, ip.String())
	for _, f := range prepare {
		f(old)
	}
	certificate, config := s.serverTLS(cellagent.ID(cell, &attempt))
	old.Serve(s.t, listener, certificate, config)
	cell.Status.Attempts = []v1beta1.LaunchAttempt{attempt}
	cell.Status.IP, cell.Status.InstanceID = ip.String(), "i-1"
	cell.Status.PodIP = fmt.Sprintf("10.%d.%d.%d", ip.As4()[1], ip.As4()[2], ip.As4()[3])
	s.setReady(cell, metav1.ConditionTrue, v1beta1.ReasonAgentAnswers, "the agent answers")
	return cell, old
}

// serverTLS is what the cell of that identity serves with.
func (s *scene) serverTLS(id pki.CellID) (tls.Certificate, *tls.Config) {
	s.t.Helper()
	certificate, key, err := s.ca.CellCertificate(id)
	if err != nil {
		s.t.Fatal(err)
	}
	return itzotest.Pair{Certificate: certificate, Key: key}.TLS(s.t), &tls.Config{ClientCAs: s.ca.Pool()}
}

// faultless says that the agent was asked for nothing that it does wrongly, and
// given the pod once.
func faultless(t *testing.T, old *itzotest.OldAgent) {
	t.Helper()
	if faults := old.Faults(); len(faults) > 0 {
		t.Errorf("the agent: %v", faults)
	}
	if n, _ := old.Updates(); n != 1 {
		t.Errorf("the pod was sent %d times", n)
	}
}

// twoContainers have an environment, arguments and a volume with what a
// ConfigMap and a Secret hold.
func (s *scene) twoContainers(p *corev1.Pod) {
	p.Spec.Volumes = []corev1.Volume{
		{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: object("settings")}}},
		{Name: "work", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	p.Spec.Containers[0] = corev1.Container{
		Name: "main", Image: "docker.io/busybox:1", Command: []string{"run"}, Args: []string{"--level=$(LEVEL)", "$(NONE)$$"},
		Env: []corev1.EnvVar{
			{Name: "LEVEL", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: object("settings"), Key: "level"}}},
			{Name: "USER_NAME", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: object("login"), Key: "user"}}},
			{Name: "ADDRESS", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
		},
		VolumeMounts: []corev1.VolumeMount{{Name: "settings", MountPath: "/settings", ReadOnly: true}, {Name: "work", MountPath: "/work"}},
	}
	p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "side", Image: "registry.example/side:2", VolumeMounts: []corev1.VolumeMount{{Name: "work", MountPath: "/work"}}})
}

func (s *scene) addTwoContainers(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	s.t.Helper()
	s.create(&corev1.ConfigMap{ObjectMeta: s.meta("settings"), Data: map[string]string{"level": "7", "a.conf": "a"}})
	s.create(&corev1.Secret{ObjectMeta: s.meta("login"), StringData: map[string]string{"user": "ann"}})
	return s.add(name, append([]func(*corev1.Pod){s.twoContainers}, change...)...)
}

// A plain pod with two containers, from its creation to its end.
func TestOldAgentRunsAPod(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *scene, generation itzo.Generation) {
		p := s.addTwoContainers("web")
		cell, old := s.bootOld(p, generation)
		p = s.running(p)
		_, sent := old.Updates()
		main := sent.Spec.Units[0]
		if diff := cmp.Diff([]string{"--level=7", "$(NONE)$"}, main.Args); diff != "" || main.Image != "docker.io/library/busybox:1" {
			t.Errorf("%s: %s", main.Image, diff)
		}
		env := map[string]string{}
		for _, v := range main.Env {
			env[v.Name] = v.Value
		}
		if env["LEVEL"] != "7" || env["USER_NAME"] != "ann" || env["ADDRESS"] != cell.Status.PodIP || env["KUBERNETES_SERVICE_HOST"] == "" {
			t.Errorf("environment is %v", env)
		}
		settings, hosts := old.Package("settings"), old.Package("etchosts")
		if settings == nil || settings.Files["a.conf"] != "a" || hosts == nil || !strings.Contains(hosts.Files["etc/hosts"], cell.Status.PodIP+"\tweb\n") {
			t.Errorf("packages are %v and %v", settings, hosts)
		}
		if p.Status.PodIP != cell.Status.PodIP || p.Status.HostIP != cell.Status.IP || p.Status.StartTime == nil || !conditionIs(p, corev1.PodReady, corev1.ConditionTrue) {
			t.Errorf("status is %+v", p.Status)
		}
		for i, name := range []string{"main", "side"} {
			if is := p.Status.ContainerStatuses[i]; is.Name != name || is.State.Running == nil || !is.Ready || is.State.Running.StartedAt.IsZero() {
				t.Errorf("container is %+v", is)
			}
		}
		old.Log("main", "done")
		old.Exit("side", 0)
		old.Exit("main", 0)
		p = s.podIs(p, "succeeded", phase(corev1.PodSucceeded))
		s.cellEnds(cell)
		if log, _ := s.logs.Get(p.UID, "main"); !strings.HasSuffix(string(log), " stdout F done\n") {
			t.Errorf("the last log is %q", log)
		}
		faultless(t, old)
	})
}

// How containers end, and what of it is a failure: an exit code of 0 that comes
// with an error is none that anybody saw.
func TestOldAgentFailures(t *testing.T) {
	tests := map[string]struct {
		end    func(*itzotest.OldAgent)
		code   int32
		reason string
	}{
		"exit code":      {func(a *itzotest.OldAgent) { a.Exit("main", 3) }, 3, "Error"},
		"signal":         {func(a *itzotest.OldAgent) { a.Exit("main", -1) }, 137, "Error"},
		"lost exit code": {func(a *itzotest.OldAgent) { a.ExitLost("main") }, 137, "ContainerStatusUnknown"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			eachGeneration(t, func(t *testing.T, s *scene, generation itzo.Generation) {
				p := s.add("job")
				cell, old := s.bootOld(p, generation)
				s.running(p)
				test.end(old)
				p = s.podIs(p, "failed", phase(corev1.PodFailed))
				if end := p.Status.ContainerStatuses[0].State.Terminated; end == nil || end.ExitCode != test.code || end.Reason != test.reason {
					t.Errorf("container ended with %+v", end)
				}
				s.cellEnds(cell)
				faultless(t, old)
			})
		})
	}
}

// What restarts is shown as far as the generation shows it; a success whose code
// was lost runs again with OnFailure.
func TestOldAgentRestarts(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *scene, generation itzo.Generation) {
		p := s.add("job", policy(corev1.RestartPolicyOnFailure))
		_, old := s.bootOld(p, generation)
		s.running(p)
		old.ExitLost("main")
		if generation == itzo.Generation11 {
			s.podIs(p, "restarted", func(p *corev1.Pod) bool { return p.Status.ContainerStatuses[0].RestartCount == 1 })
		}
		old.Exit("main", 0)
		s.podIs(p, "succeeded", phase(corev1.PodSucceeded))
	})
}

// What such an agent would run wrongly it is not given.
func TestOldAgentRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*corev1.Pod)
		path   string
		only   itzo.Generation // empty: both
	}{
		"init container": {func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "first", Image: "registry.example/busybox:1"}}
		}, "spec.initContainers: ", ""},
		"memory limit": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: *mebi(64)}
		}, "spec.containers[0].resources.limits[memory]: ", ""},
		"preStop hook": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"x"}}}}
		}, "spec.containers[0].lifecycle: ", ""},
		"readiness": {func(p *corev1.Pod) {
			p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: number(80)}}}
		}, "spec.containers[0].readinessProbe: ", itzo.Generation12},
	}
	for name, test := range tests {
		for _, generation := range generations() {
			if test.only != "" && test.only != generation {
				continue
			}
			t.Run(name+"/"+string(generation), func(t *testing.T) {
				s := newScene(t)
				s.operator()
				p := s.add("web", test.change)
				cell, old := s.bootOld(p, generation)
				p = s.podIs(p, "refused", func(p *corev1.Pod) bool { return p.Status.Reason == v1beta1.ReasonUnsupportedField })
				if !strings.HasPrefix(p.Status.Message, test.path) || !strings.Contains(p.Status.Message, "agent itzo "+string(generation)) {
					t.Errorf("message is %q, want one that begins with %q", p.Status.Message, test.path)
				}
				s.refusedWith(p, v1beta1.ReasonUnsupportedField, p.Status.Message)
				s.cellEnds(cell)
				s.cellless(p)
				if n, _ := old.Updates(); n > 0 || old.Package("etchosts") != nil {
					t.Error("the agent was given something of it")
				}
				s.delete(p)
				s.podGone(p)
			})
		}
	}
}

// A deletion sends SIGTERM to the containers' processes, waits for their end,
// and is not misled by the agent's starting them again.
func TestOldAgentStops(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *scene, generation itzo.Generation) {
		p := s.addTwoContainers("web", policy(corev1.RestartPolicyAlways), grace(600))
		cell, old := s.bootOld(p, generation)
		s.running(p)
		s.delete(p)
		s.podGone(p)
		s.cellEnds(cell)
		for _, unit := range []string{"main", "side"} {
			if terms, _ := old.Terms(unit); terms != 1 {
				t.Errorf("%s was sent SIGTERM %d times", unit, terms)
			}
		}
		faultless(t, old)
	})
}

// A process that ignores SIGTERM has its grace period; the cell ends after that.
func TestOldAgentStopIgnored(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web", grace(2))
	cell, old := s.bootOld(p, itzo.Generation12)
	s.running(p)
	old.Deafen("main", false)
	s.delete(p)
	s.podGone(p)
	s.cellEnds(cell)
	if terms, _ := old.Terms("main"); terms != 1 {
		t.Errorf("it was sent SIGTERM %d times", terms)
	}
}

func TestOldAgentStopWithoutShell(t *testing.T) {
	s := newScene(t)
	s.operator()
	p := s.add("web", grace(600))
	cell, old := s.bootOld(p, itzo.Generation11)
	s.running(p)
	old.Deafen("main", true)
	s.delete(p)
	s.event(p, "GracefulStopFailed", "containers that could not be sent SIGTERM")
	s.podGone(p)
	s.cellEnds(cell)
}

// Such agents do not try again what has failed; the pod fails, so that its
// controller makes another.
func TestOldAgentCannotStart(t *testing.T) {
	why := map[itzo.Generation]string{
		itzo.Generation11: "Error pulling image for unit main: exit status 1\nmanifest unknown",
		itzo.Generation12: "Bad image spec for unit main: pulling image registry.example/busybox:1: manifest unknown",
	}
	eachGeneration(t, func(t *testing.T, s *scene, generation itzo.Generation) {
		p := s.add("web", policy(corev1.RestartPolicyAlways))
		cell, _ := s.bootOld(p, generation, func(a *itzotest.OldAgent) { a.Break("main", why[generation]) })
		p = s.podIs(p, "failed", phase(corev1.PodFailed))
		if p.Status.Reason != "StartFailed" || p.Status.Message != "container main: "+why[generation] {
			t.Errorf("%s: %s", p.Status.Reason, p.Status.Message)
		}
		if end := p.Status.ContainerStatuses[0].State.Terminated; end == nil || end.Reason != "StartError" || end.ExitCode != 128 {
			t.Errorf("container is %+v", p.Status.ContainerStatuses[0])
		}
		s.event(p, "Failed", "Error: "+why[generation])
		s.cellEnds(cell)
	})
}

// What never starts, and never says why, is given up.
func TestOldAgentStartTimeout(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *scene, generation itzo.Generation) {
		p := s.add("web")
		cell, _ := s.bootOld(p, generation, (*itzotest.OldAgent).Hold)
		p = s.podIs(p, "waiting for its containers", func(p *corev1.Pod) bool { return p.Status.StartTime != nil })
		if p.Status.Phase != corev1.PodPending || p.Status.ContainerStatuses[0].State.Waiting == nil {
			t.Errorf("status is %+v", p.Status)
		}
		s.clock.shift(16 * time.Minute)
		p = s.podIs(p, "failed", phase(corev1.PodFailed))
		if p.Status.Reason != "StartTimeout" {
			t.Errorf("%s: %s", p.Status.Reason, p.Status.Message)
		}
		s.cellEnds(cell)
	})
}

// Pulling takes its time, during which 1.2 says nothing at all.
func TestOldAgentPullsSlowly(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *scene, generation itzo.Generation) {
		p := s.add("web")
		_, old := s.bootOld(p, generation, (*itzotest.OldAgent).Hold)
		s.podIs(p, "waiting for its containers", func(p *corev1.Pod) bool { return p.Status.StartTime != nil })
		old.Release()
		s.running(p)
		faultless(t, old)
	})
}

func TestOldAgentWithoutMetadata(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *scene, generation itzo.Generation) {
		p := s.add("web")
		_, old := s.bootOld(p, generation, func(a *itzotest.OldAgent) { a.WithoutMetadata(true) })
		s.podIs(p, "told why", func(p *corev1.Pod) bool {
			return p.Status.Reason == v1beta1.ReasonDispatchFailed && strings.Contains(p.Status.Message, "unable to identify cloud platform")
		})
		old.WithoutMetadata(false)
		s.running(p)
		faultless(t, old)
	})
}

// An agent that was started anew has forgotten the pod, and can run it no more.
func TestOldAgentStartedAnew(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *scene, generation itzo.Generation) {
		p := s.add("web")
		cell, old := s.bootOld(p, generation)
		s.running(p)
		old.Restart()
		p = s.podIs(p, "failed", phase(corev1.PodFailed))
		if end := p.Status.ContainerStatuses[0].State.Terminated; p.Status.Reason != "AgentLostPod" || end == nil || end.ExitCode != 137 {
			t.Errorf("status is %+v", p.Status)
		}
		s.cellEnds(cell)
		faultless(t, old)
	})
}

func TestOldAgentAndOperatorRestarted(t *testing.T) {
	for _, generation := range generations() {
		t.Run(string(generation), func(t *testing.T) {
			s := newScene(t)
			stop := s.operator()
			p := s.add("web")
			_, old := s.bootOld(p, generation)
			before := s.running(p).Status.ContainerStatuses[0]
			stop()
			s.update(p, `{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`, "status")
			s.operator()
			after := s.running(p).Status.ContainerStatuses[0]
			if diff := cmp.Diff(before, after); diff != "" {
				t.Error(diff)
			}
			faultless(t, old)
		})
	}
}

// What volumes hold follows ConfigMaps and Secrets; the pod is not sent again.
func TestOldAgentFollowsVolumes(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *scene, generation itzo.Generation) {
		p := s.addTwoContainers("web")
		_, old := s.bootOld(p, generation)
		s.running(p)
		s.change(&corev1.ConfigMap{ObjectMeta: s.meta("settings"), Data: map[string]string{"level": "8", "a.conf": "b"}})
		s.eventually("the change is on the cell", func() error {
			s.clock.shift(time.Minute)
			s.poke(p)
			if old.Package("settings").Files["a.conf"] != "b" {
				return errors.New("it is not")
			}
			return nil
		})
		faultless(t, old)
	})
}

// A container that lacks what its environment refers to is not started without.
func TestOldAgentAwaitsObjects(t *testing.T) {
	eachGeneration(t, func(t *testing.T, s *scene, generation itzo.Generation) {
		p := s.add("web", func(p *corev1.Pod) {
			p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: object("late")}}}
		})
		_, old := s.bootOld(p, generation)
		s.refusedWith(p, "FailedMount", `spec.containers[0].envFrom[0].configMapRef: ConfigMap "late" does not exist`)
		s.create(&corev1.ConfigMap{ObjectMeta: s.meta("late"), Data: map[string]string{"KEY": "value"}})
		s.running(p)
		_, sent := old.Updates()
		if !slices.Contains(sent.Spec.Units[0].Env, itzo.EnvVar{Name: "KEY", Value: "value"}) {
			t.Errorf("environment is %v", sent.Spec.Units[0].Env)
		}
	})
}

func mebi(n int64) *resource.Quantity { return resource.NewQuantity(n<<20, resource.BinarySI) }

func number(port int) intstr.IntOrString { return intstr.FromInt(port) }
