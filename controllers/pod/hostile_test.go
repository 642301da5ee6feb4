package pod_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
)

// liar stands before an agent and, once it is told to, answers itself whenever
// it is asked for the pod's status.
type liar struct {
	agent http.Handler
	lie   atomic.Pointer[func(http.ResponseWriter)]
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if lie := l.lie.Load(); lie != nil && strings.HasSuffix(r.URL.Path, "status") {
		(*lie)(w)
		return
	}
	l.agent.ServeHTTP(w, r)
}

// bootLiar makes the pod's Cell ready, with an agent of which the test has the answers.
func (s *scene) bootLiar(p *corev1.Pod, agent http.Handler) *v1beta1.Cell {
	s.t.Helper()
	cell := s.cellOf(p)
	attempt := v1beta1.LaunchAttempt{Number: 1, InstanceType: "t3.nano", SubnetID: "subnet-1", ImageID: "ami-1", Fingerprint: "x", StartTime: metav1.Now().Rfc3339Copy()}
	ip, listener := freeAddress(s.t)
	certificate, config := s.serverTLS(cellagent.ID(cell, &attempt))
	itzotest.Serve(s.t, listener, agent, certificate, config)
	cell.Status.Attempts = []v1beta1.LaunchAttempt{attempt}
	cell.Status.IP, cell.Status.InstanceID = ip.String(), "i-1"
	s.setReady(cell, metav1.ConditionTrue, v1beta1.ReasonAgentAnswers, "the agent answers")
	return cell
}

const lies = "hunter2"

// answersOf is what an agent of ours may answer of the pod in bad faith.
func answersOf(uid types.UID) map[string]itzo.StatusReply {
	reply := func(change func(*itzo.StatusReply)) itzo.StatusReply {
		r := itzo.StatusReply{Epoch: "e", Revision: 9, PodUID: uid, Status: corev1.PodStatus{
			Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Image: lies}}}}
		change(&r)
		return r
	}
	return map[string]itzo.StatusReply{
		"another pod's":     reply(func(r *itzo.StatusReply) { r.PodUID = lies }),
		"no phase":          reply(func(r *itzo.StatusReply) { r.Status.Phase = lies }),
		"another container": reply(func(r *itzo.StatusReply) { r.Status.ContainerStatuses[0].Name = lies }),
		"a container twice": reply(func(r *itzo.StatusReply) {
			r.Status.ContainerStatuses = append(r.Status.ContainerStatuses, r.Status.ContainerStatuses[0])
		}),
		"an ephemeral container with the name of another": reply(func(r *itzo.StatusReply) {
			r.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "main"}}
		}),
		"an ephemeral container twice": reply(func(r *itzo.StatusReply) {
			r.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "debugger"}, {Name: "debugger"}}
		}),
		"too long": reply(func(r *itzo.StatusReply) { r.Status.Message = strings.Repeat(lies, 100000) }),
	}
}

// An agent that answers what cannot be is taken for one that does not answer:
// what is known of the pod stands, and after a while it is not ready any more.
func TestHostileAgents(t *testing.T) {
	text := func(answer string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { _, _ = io.WriteString(w, answer) }
	}
	tests := map[string]func(types.UID) func(http.ResponseWriter){
		"garbage": func(types.UID) func(http.ResponseWriter) { return text("{" + lies) },
		"other types": func(types.UID) func(http.ResponseWriter) {
			return text(`{"podUID":{"` + lies + `":1},"unitStatus":"` + lies + `"}`)
		},
		"endless": func(types.UID) func(http.ResponseWriter) {
			return func(w http.ResponseWriter) {
				for {
					if _, err := io.WriteString(w, strings.Repeat(lies, 1000)); err != nil {
						return
					}
				}
			}
		},
		"headers": func(types.UID) func(http.ResponseWriter) {
			return func(w http.ResponseWriter) { w.Header().Set("X-Long", strings.Repeat(lies, 100000)) }
		},
	}
	for name := range answersOf("") {
		tests[name] = func(uid types.UID) func(http.ResponseWriter) {
			data, err := json.Marshal(answersOf(uid)[name])
			if err != nil {
				panic(err)
			}
			return text(string(data))
		}
	}
	for name, lie := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.operator()
			p := s.add("web")
			first := itzo.StatusReply{Epoch: "e", Revision: 1, PodUID: p.UID, Status: corev1.PodStatus{
				Phase: corev1.PodRunning, StartTime: &metav1.Time{Time: time.Now().Truncate(time.Second)},
				ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Ready: true, ContainerID: "c://1", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
				Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}, {Type: corev1.ContainersReady, Status: corev1.ConditionTrue}},
			}}
			agent := &liar{agent: http.HandlerFunc(http.NotFound)}
			data, err := json.Marshal(first)
			if err != nil {
				t.Fatal(err)
			}
			truth := text(string(data))
			agent.lie.Store(&truth)
			s.bootLiar(p, agent)
			s.running(p)
			answer := lie(p.UID)
			agent.lie.Store(&answer)
			s.becomesSilent(p)
			agent.lie.Store(&truth)
			s.podIs(p, "ready again", func(p *corev1.Pod) bool { return conditionIs(p, corev1.PodReady, corev1.ConditionTrue) })
		})
	}
}

// becomesSilent waits until the pod is not ready because its agent does not
// answer, and looks whether anything of what was answered is to be seen.
func (s *scene) becomesSilent(p *corev1.Pod) {
	s.t.Helper()
	var silent *corev1.Pod
	s.eventually("the agent is taken for silent", func() error {
		s.clock.shift(15 * time.Second)
		s.poke(p)
		found, err := s.get(p)
		if err != nil {
			return err
		}
		if found.Status.Reason != v1beta1.ReasonAgentSilent {
			return errors.New("it is not")
		}
		silent = found
		return nil
	})
	if silent.Status.Phase != corev1.PodRunning || !conditionIs(silent, corev1.PodReady, corev1.ConditionFalse) {
		s.t.Errorf("status is %+v", silent.Status)
	}
	written, err := json.Marshal(silent.Status)
	if err != nil {
		s.t.Fatal(err)
	}
	if strings.Contains(string(written), lies) {
		s.t.Errorf("what it answered is in the status: %.1000s", written)
	}
}

// The same of agents of the first Kip.
func TestHostileOldAgents(t *testing.T) {
	tests := map[string]string{
		"garbage":      "{" + lies,
		"other types":  `{"unitStatus":{"` + lies + `":1}}`,
		"a bad time":   `{"podIP":"10.0.0.1","unitStatus":[{"name":"main","state":{"running":{"startedAt":"` + lies + `"}}}]}`,
		"another unit": `{"podIP":"10.0.0.1","unitStatus":[{"name":"` + lies + `","state":{}}]}`,
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			eachGeneration(t, func(t *testing.T, s *scene, generation itzo.Generation) {
				p := s.add("web")
				agent := &liar{agent: itzotest.NewOldAgent(generation, "10.0.0.1").Handler()}
				s.bootLiar(p, askedOfOurs(agent))
				s.running(p)
				lie := func(w http.ResponseWriter) { _, _ = io.WriteString(w, answer) }
				agent.lie.Store(&lie)
				s.becomesSilent(p)
				agent.lie.Store(nil)
				s.podIs(p, "ready again", func(p *corev1.Pod) bool { return conditionIs(p, corev1.PodReady, corev1.ConditionTrue) })
			})
		})
	}
}

// askedOfOurs keeps the lies from the questions that only agents of ours know.
func askedOfOurs(l *liar) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/kip/") {
			http.NotFound(w, r)
			return
		}
		l.ServeHTTP(w, r)
	})
}
