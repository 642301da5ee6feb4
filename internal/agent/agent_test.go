package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/internal/itzo"
)

// cell is an agent with its ports, inside a bubble of testing/synctest: time
// stands still until everybody waits.
type cell struct {
	t       *testing.T
	runtime *fake.Runtime
	host    *fake.Host
	agent   *agent.Agent
	handler http.Handler
	stop    func()
	// configure changes what the next agent is made of; nil: nothing.
	configure func(*agent.Config)
	// fate is that of an agent that dies.
	fate *fate
}

// inCell runs a test with a fresh cell.
func inCell(t *testing.T, test func(t *testing.T, c *cell)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &cell{t: t, runtime: fake.NewRuntime(), host: fake.NewHost(agent.Resources{MemoryBytes: 1 << 30, CPUs: 2, BootID: "boot"})}
		c.start()
		defer func() { c.stop() }()
		test(t, c)
	})
}

// start makes an agent anew, as after its crash.
func (c *cell) start() {
	c.t.Helper()
	config := agent.Config{Version: "test", Runtime: c.runtime, Host: c.host, HostIP: netip.MustParseAddr("10.0.0.1")}
	if c.configure != nil {
		c.configure(&config)
	}
	a, err := agent.New(config)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Run(ctx)
	}()
	c.agent, c.handler = a, a.Handler()
	c.stop = func() {
		cancel()
		<-done
	}
	synctest.Wait()
}

func (c *cell) do(method, path string, body any) *httptest.ResponseRecorder {
	c.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	c.handler.ServeHTTP(recorder, httptest.NewRequest(method, path, bytes.NewReader(data)))
	return recorder
}

// update sends a pod and wants it accepted.
func (c *cell) update(pod *corev1.Pod) {
	c.t.Helper()
	c.expect(c.do(http.MethodPost, "/rest/v1/updatepod", parameters(pod)), http.StatusOK, "")
}

func (c *cell) expect(got *httptest.ResponseRecorder, code int, text string) {
	c.t.Helper()
	if got.Code != code || !strings.Contains(got.Body.String(), text) {
		c.t.Fatalf("got %d %s, want %d with %q", got.Code, got.Body, code, text)
	}
}

// status is what the agent says now, when all is at rest.
func (c *cell) status() corev1.PodStatus {
	c.t.Helper()
	synctest.Wait()
	return c.reply("").Status
}

func (c *cell) reply(query string) itzo.StatusReply {
	c.t.Helper()
	got := c.do(http.MethodGet, "/rest/v1/kip/status"+query, nil)
	var reply itzo.StatusReply
	if err := json.Unmarshal(got.Body.Bytes(), &reply); err != nil {
		c.t.Fatalf("%d %s: %v", got.Code, got.Body, err)
	}
	return reply
}

// container is the status of one container.
func (c *cell) container(name string) corev1.ContainerStatus {
	c.t.Helper()
	for _, status := range c.status().ContainerStatuses {
		if status.Name == name {
			return status
		}
	}
	c.t.Fatalf("no status of container %s", name)
	return corev1.ContainerStatus{}
}

func (c *cell) wantPhase(want corev1.PodPhase) {
	c.t.Helper()
	if got := c.status(); got.Phase != want {
		c.t.Fatalf("phase is %s, want %s: %+v", got.Phase, want, got)
	}
}

func (c *cell) sendStop(uid string, grace int64) *httptest.ResponseRecorder {
	c.t.Helper()
	return c.do(http.MethodPost, "/rest/v1/kip/stop", map[string]any{"podUID": uid, "gracePeriodSeconds": grace})
}

func parameters(pod *corev1.Pod) itzo.PodParameters {
	return itzo.PodParameters{PodName: itzo.FormatPodName(pod.Namespace, pod.Name), PodIP: "10.0.0.2", Pod: pod}
}

// newPod makes a pod with a container for each name.
func newPod(policy corev1.RestartPolicy, script string, containers ...string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "uid-1", Generation: 1},
		Spec:       corev1.PodSpec{RestartPolicy: policy},
	}
	if script != "" {
		pod.Annotations = map[string]string{fake.ScriptAnnotation: script}
	}
	for _, name := range containers {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{
			Name: name, Image: "busybox:1", ImagePullPolicy: corev1.PullIfNotPresent,
		})
	}
	return pod
}

func sleepSeconds(seconds float64) {
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	synctest.Wait()
}

func TestPodRuns(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(newPod(corev1.RestartPolicyAlways, "", "one", "two"))
		status := c.status()
		if status.Phase != corev1.PodRunning || status.PodIP != "10.0.0.2" || status.HostIP != "10.0.0.1" || status.StartTime == nil {
			t.Errorf("got %+v", status)
		}
		for _, condition := range status.Conditions {
			if condition.Status != corev1.ConditionTrue || condition.ObservedGeneration != 1 {
				t.Errorf("condition %+v", condition)
			}
		}
		if len(status.Conditions) != 4 || len(status.ContainerStatuses) != 2 {
			t.Fatalf("got %+v", status)
		}
		for _, container := range status.ContainerStatuses {
			if container.State.Running == nil || !container.Ready || !*container.Started ||
				!strings.HasPrefix(container.ContainerID, "hollow://") {
				t.Errorf("container %+v", container)
			}
		}
	})
}

func TestPhaseAtTheEnd(t *testing.T) {
	tests := []struct {
		policy corev1.RestartPolicy
		script string
		want   corev1.PodPhase
	}{
		{corev1.RestartPolicyNever, `{"one":[{"runSeconds":1}],"two":[{"runSeconds":2}]}`, corev1.PodSucceeded},
		{corev1.RestartPolicyNever, `{"one":[{"runSeconds":1}],"two":[{"runSeconds":2,"exitCode":3}]}`, corev1.PodFailed},
		{corev1.RestartPolicyNever, `{"one":[{"runSeconds":1,"exitCode":3}]}`, corev1.PodRunning},
		{corev1.RestartPolicyOnFailure, `{"one":[{"runSeconds":1}],"two":[{"exitCode":1},{"runSeconds":1}]}`, corev1.PodSucceeded},
		{corev1.RestartPolicyOnFailure, `{"one":[{"runSeconds":1}],"two":[{"exitCode":1}]}`, corev1.PodRunning},
		{corev1.RestartPolicyAlways, `{"one":[{"runSeconds":1}],"two":[{"runSeconds":1}]}`, corev1.PodRunning},
		{corev1.RestartPolicyNever, `{"one":[{"startError":"exec: no such file"}],"two":[{}]}`, corev1.PodFailed},
	}
	for _, test := range tests {
		t.Run(string(test.policy)+test.script, func(t *testing.T) {
			inCell(t, func(t *testing.T, c *cell) {
				c.update(newPod(test.policy, test.script, "one", "two"))
				sleepSeconds(60)
				c.wantPhase(test.want)
			})
		})
	}
}

func TestExitCodeIsShown(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(newPod(corev1.RestartPolicyNever, `{"main":[{"runSeconds":1.5,"exitCode":3,"message":"no disk"}]}`, "main"))
		sleepSeconds(1.4)
		c.wantPhase(corev1.PodRunning)
		sleepSeconds(0.1)
		c.wantPhase(corev1.PodFailed)
		end := c.container("main").State.Terminated
		if end == nil || end.ExitCode != 3 || end.Reason != "Error" || end.Message != "no disk" ||
			end.FinishedAt.Sub(end.StartedAt.Time) != time.Second {
			t.Errorf("got %+v", end)
		}
	})
}

func TestRestartOnFailure(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(newPod(corev1.RestartPolicyOnFailure,
			`{"main":[{"runSeconds":1,"exitCode":7},{"runSeconds":1,"exitCode":8},{"runSeconds":1}]}`, "main"))
		// The first restart comes at once, the second after ten seconds.
		sleepSeconds(1)
		if got := c.container("main"); got.State.Running == nil || got.RestartCount != 1 ||
			got.LastTerminationState.Terminated.ExitCode != 7 {
			t.Errorf("after the first end: %+v", got)
		}
		sleepSeconds(1)
		got := c.container("main")
		if waiting := got.State.Waiting; waiting == nil || waiting.Reason != "CrashLoopBackOff" ||
			waiting.Message != "back-off 10s restarting failed container=main pod=web_default(uid-1)" {
			t.Errorf("after the second end: %+v", got)
		}
		if got.LastTerminationState.Terminated.ExitCode != 8 || got.Ready {
			t.Errorf("after the second end: %+v", got)
		}
		c.wantPhase(corev1.PodRunning)
		sleepSeconds(10)
		if got := c.container("main"); got.State.Running == nil || got.RestartCount != 2 {
			t.Errorf("after the delay: %+v", got)
		}
		sleepSeconds(1)
		c.wantPhase(corev1.PodSucceeded)
		if got := c.container("main"); got.RestartCount != 2 || got.State.Terminated.ExitCode != 0 {
			t.Errorf("at the end: %+v", got)
		}
	})
}

func TestBackoffGrowsAndIsReset(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		// Six short runs, then one that lasts.
		script := `{"main":[{},{},{},{},{},{},{},{"runSeconds":700},{"forever":true}]}`
		c.update(newPod(corev1.RestartPolicyAlways, script, "main"))
		for restarts, delay := range []float64{10, 20, 40, 80, 160, 300} {
			sleepSeconds(0)
			got := c.container("main")
			want := "back-off " + (time.Duration(delay) * time.Second).String() + " "
			if got.State.Waiting == nil || !strings.HasPrefix(got.State.Waiting.Message, want) || got.RestartCount != int32(restarts+1) {
				t.Fatalf("want %q after %d restarts, got %+v", want, restarts+1, got)
			}
			sleepSeconds(delay)
		}
		sleepSeconds(700)
		if got := c.container("main"); got.State.Running == nil || got.RestartCount != 8 {
			t.Errorf("a run of over ten minutes must restart at once: %+v", got)
		}
	})
}

func TestStop(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(newPod(corev1.RestartPolicyAlways, "", "main"))
		c.wantPhase(corev1.PodRunning)
		c.expect(c.sendStop("other", 30), http.StatusConflict, "409 Conflict: this cell runs pod default/web (uid-1)")
		c.expect(c.sendStop("uid-1", -1), http.StatusBadRequest, "gracePeriodSeconds")
		c.expect(c.sendStop("uid-1", 30), http.StatusOK, "")
		c.expect(c.sendStop("uid-1", 30), http.StatusOK, "")
		c.wantPhase(corev1.PodFailed)
		if end := c.container("main").State.Terminated; end == nil || end.ExitCode != 143 {
			t.Errorf("got %+v", end)
		}
		sleepSeconds(3600)
		c.wantPhase(corev1.PodFailed)
		if got := c.container("main"); got.RestartCount != 0 {
			t.Errorf("restarted after stop: %+v", got)
		}
		if obs, _ := c.runtime.List(context.Background(), "uid-1"); obs.Sandboxes[0].Ready {
			t.Error("the sandbox still runs")
		}
	})
}

func TestStopDuringBackoff(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(newPod(corev1.RestartPolicyOnFailure, `{"main":[{"exitCode":1}]}`, "main"))
		if got := c.container("main"); got.State.Waiting == nil {
			t.Fatalf("got %+v", got)
		}
		c.sendStop("uid-1", 0)
		c.wantPhase(corev1.PodFailed)
		if end := c.container("main").State.Terminated; end == nil || end.ExitCode != 1 {
			t.Errorf("got %+v", end)
		}
	})
}

func TestStopWithoutPod(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.expect(c.sendStop("uid-1", 0), http.StatusConflict, "this cell runs no pod")
	})
}

func TestAgentRestart(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(newPod(corev1.RestartPolicyOnFailure, `{"main":[{"exitCode":1},{"runSeconds":100}]}`, "main"))
		before := c.container("main")
		if before.State.Running == nil || before.RestartCount != 1 {
			t.Fatalf("got %+v", before)
		}
		epoch := c.reply("").Epoch
		c.stop()
		c.start()
		if got := c.reply(""); got.Epoch == epoch || got.PodUID != "uid-1" {
			t.Errorf("got %+v", got)
		}
		if got := c.container("main"); got.ContainerID != before.ContainerID || got.RestartCount != 1 ||
			got.LastTerminationState.Terminated == nil {
			t.Errorf("the container did not go on: %+v", got)
		}
		sleepSeconds(100)
		c.wantPhase(corev1.PodSucceeded)
		c.stop()
		c.start()
		c.wantPhase(corev1.PodSucceeded)
	})
}

// A container that the runtime has forgotten has failed; it is not taken for
// one that never ran.
func TestLostContainer(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(newPod(corev1.RestartPolicyNever, "", "main"))
		c.wantPhase(corev1.PodRunning)
		c.stop()
		c.runtime = fake.NewRuntime()
		c.start()
		c.wantPhase(corev1.PodFailed)
		if end := c.container("main").State.Terminated; end == nil || end.ExitCode != 137 || end.Reason != "ContainerStatusUnknown" {
			t.Errorf("got %+v", end)
		}
	})
}

func TestSandboxDies(t *testing.T) {
	for policy, want := range map[corev1.RestartPolicy]corev1.PodPhase{
		corev1.RestartPolicyAlways: corev1.PodRunning, corev1.RestartPolicyNever: corev1.PodFailed,
	} {
		t.Run(string(policy), func(t *testing.T) {
			inCell(t, func(t *testing.T, c *cell) {
				c.update(newPod(policy, "", "main"))
				c.wantPhase(corev1.PodRunning)
				c.runtime.FailSandbox("uid-1")
				sleepSeconds(1)
				c.wantPhase(want)
				got := c.container("main")
				if policy == corev1.RestartPolicyAlways && (got.State.Running == nil || got.RestartCount != 1) {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

func TestLongPoll(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(newPod(corev1.RestartPolicyNever, `{"main":[{"runSeconds":20}]}`, "main"))
		c.wantPhase(corev1.PodRunning)
		now := c.reply("")
		query := "?epoch=" + now.Epoch + "&after=" + strconv.FormatInt(now.Revision, 10) + "&wait="
		began := time.Now()
		if got := c.reply(query + "10"); got.Revision != now.Revision || time.Since(began) != 10*time.Second {
			t.Errorf("without a change: revision %d after %s", got.Revision, time.Since(began))
		}
		if got := c.reply(query + "300"); got.Status.Phase != corev1.PodSucceeded || time.Since(began) != 20*time.Second {
			t.Errorf("at the end: %s after %s", got.Status.Phase, time.Since(began))
		}
		began = time.Now()
		c.reply(query + "300")
		c.reply("?epoch=other&wait=300&after=" + strconv.FormatInt(c.reply("").Revision, 10))
		if time.Since(began) != 0 {
			t.Errorf("another revision or epoch must be answered at once, was after %s", time.Since(began))
		}
		for _, bad := range []string{"?wait=301", "?wait=-1", "?wait=x", "?after=x"} {
			if got := c.do(http.MethodGet, "/rest/v1/kip/status"+bad, nil); got.Code != http.StatusBadRequest {
				t.Errorf("%s: %d", bad, got.Code)
			}
		}
	})
}

func TestLongPollEndsWithItsClient(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		now := c.reply("")
		request := httptest.NewRequestWithContext(ctx, http.MethodGet,
			"/rest/v1/kip/status?wait=300&epoch="+now.Epoch+"&after="+strconv.FormatInt(now.Revision, 10), nil)
		began := time.Now()
		c.handler.ServeHTTP(httptest.NewRecorder(), request)
		if time.Since(began) != time.Second {
			t.Errorf("returned after %s", time.Since(began))
		}
	})
}

func TestMessageFromTheLog(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyNever, `{"bad":[{"exitCode":1,"log":"first\nlast words"}],"good":[{"log":"fine\n"}]}`, "bad", "good")
		for i := range pod.Spec.Containers {
			pod.Spec.Containers[i].TerminationMessagePath = "/dev/termination-log"
			pod.Spec.Containers[i].TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
		}
		c.update(pod)
		c.wantPhase(corev1.PodFailed)
		if got := c.container("bad").State.Terminated.Message; got != "first\nlast words" {
			t.Errorf("bad left %q", got)
		}
		if got := c.container("good").State.Terminated.Message; got != "" {
			t.Errorf("good left %q", got)
		}
	})
}
