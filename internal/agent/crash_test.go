package agent_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/itzo"
)

// errDead is what a dead agent's calls end with, which nobody hears.
var errDead = errors.New("the agent is dead")

// fate kills an agent at one of its deeds: whatever it changes on the cell.
type fate struct {
	mu sync.Mutex
	// deeds counts those that were begun.
	deeds int
	// at is the deed before which the agent dies, or after which, before it hears of
	// its end; 0: never.
	at    int
	after bool
	what  string
	dead  chan struct{}
	// followed says that another agent has taken its place.
	followed bool
	// starts counts the containers that were started, by name.
	starts map[string]int
}

func (f *fate) isDead() bool {
	select {
	case <-f.dead:
		return true
	default:
		return false
	}
}

// do is one deed.
func (f *fate) do(what string, deed func() error) error {
	f.mu.Lock()
	f.deeds++
	mine := f.deeds == f.at
	gone := f.isDead()
	if mine && !gone && !f.after {
		f.die(what)
	}
	f.mu.Unlock()
	if gone || mine && !f.after {
		return errDead
	}
	err := deed()
	f.mu.Lock()
	defer f.mu.Unlock()
	if mine && f.after && !f.isDead() {
		f.die(what)
		return errDead
	}
	return err
}

// die is called with the lock held.
func (f *fate) die(what string) {
	f.what = what
	close(f.dead)
}

// doomedRuntime is a runtime in the hands of an agent that may die.
type doomedRuntime struct {
	agent.Runtime
	fate *fate
}

func (r *doomedRuntime) RunSandbox(ctx context.Context, spec agent.SandboxSpec) (id string, err error) {
	return id, r.fate.do("run sandbox", func() error { id, err = r.Runtime.RunSandbox(ctx, spec); return err })
}

func (r *doomedRuntime) StopSandbox(ctx context.Context, id string) error {
	return r.fate.do("stop sandbox", func() error { return r.Runtime.StopSandbox(ctx, id) })
}

func (r *doomedRuntime) RemoveSandbox(ctx context.Context, id string) error {
	return r.fate.do("remove sandbox", func() error { return r.Runtime.RemoveSandbox(ctx, id) })
}

func (r *doomedRuntime) PullImage(ctx context.Context, name string, c *itzo.RegistryCredentials) (image agent.Image, err error) {
	return image, r.fate.do("pull image", func() error { image, err = r.Runtime.PullImage(ctx, name, c); return err })
}

func (r *doomedRuntime) CreateContainer(ctx context.Context, spec agent.ContainerSpec) (id string, err error) {
	return id, r.fate.do("create container "+spec.Container.Name, func() error { id, err = r.Runtime.CreateContainer(ctx, spec); return err })
}

func (r *doomedRuntime) StartContainer(ctx context.Context, id string) error {
	return r.fate.do("start container "+id, func() error {
		err := r.Runtime.StartContainer(ctx, id)
		r.fate.mu.Lock()
		defer r.fate.mu.Unlock()
		r.fate.starts[containerOf(id)]++
		return err
	})
}

func (r *doomedRuntime) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	return r.fate.do("stop container "+id, func() error { return r.Runtime.StopContainer(ctx, id, grace) })
}

func (r *doomedRuntime) RemoveContainer(ctx context.Context, id string) error {
	return r.fate.do("remove container "+id, func() error { return r.Runtime.RemoveContainer(ctx, id) })
}

func (r *doomedRuntime) Exec(ctx context.Context, id string, command []string, timeout time.Duration) (said []byte, code int32, err error) {
	return said, code, r.fate.do("exec", func() error { said, code, err = r.Runtime.Exec(ctx, id, command, timeout); return err })
}

// containerOf is the name in an ID of the fake runtime, name-number.
func containerOf(id string) string {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i] == '-' {
			return id[:i]
		}
	}
	return id
}

// doomedHost keeps what its agent had saved before it died.
type doomedHost struct {
	agent.Host
	fate *fate
}

func (h *doomedHost) Save(state []byte) error {
	return h.fate.do("save", func() error { return h.Host.Save(state) })
}

// crashes runs a pod's life once for each deed of its agent, which dies just
// before that deed, or just after it; the next agent has to bring the life to the
// same end. It checks that there were as many lives as it takes to see some.
func crashes(t *testing.T, life func(c *cell), check func(t *testing.T, c *cell, f *fate)) {
	t.Helper()
	const least, most = 20, 500
	for at := range most {
		died := false
		for _, after := range []bool{false, true} {
			t.Run(strconv.Itoa(at)+map[bool]string{false: "-before", true: "-after"}[after], func(t *testing.T) {
				f := &fate{at: at, after: after, dead: make(chan struct{}), starts: map[string]int{}}
				inCell(t, func(t *testing.T, c *cell) {
					c.doom(f)
					life(c)
					died = died || f.isDead()
					check(t, c, f)
				})
				if t.Failed() {
					t.Logf("the agent died at %q", f.what)
				}
			})
		}
		if at > 0 && !died {
			if at < least {
				t.Errorf("a life has only %d deeds", at)
			}
			return
		}
	}
	t.Errorf("a life has more than %d deeds", most)
}

// doom replaces the cell's agent by one that dies, and is followed by one that
// does not, a second later.
func (c *cell) doom(f *fate) {
	c.stop()
	c.fate = f
	c.configure = func(config *agent.Config) {
		if !f.isDead() {
			config.Runtime, config.Host = &doomedRuntime{config.Runtime, f}, &doomedHost{config.Host, f}
		} else {
			config.Runtime = &doomedRuntime{config.Runtime, &fate{dead: make(chan struct{}), starts: f.starts}}
		}
	}
	c.start()
}

// pass lets time go by; where the agent dies in it, another one is started.
func (c *cell) pass(seconds int) {
	for range seconds {
		sleepSeconds(1)
		if c.fate.isDead() && !c.fate.followed {
			c.fate.followed = true
			c.stop()
			c.start()
		}
	}
}

// TestAgentDiesAtAnyDeed of a pod's whole life: no container runs more often than
// it has to, none is forgotten, and the end is the same.
func TestAgentDiesAtAnyDeed(t *testing.T) {
	const script = `{"one":[{"runSeconds":2}],"side":[{"forever":true,"stopSeconds":1}],
		"main":[{"runSeconds":3,"exitCode":1},{"runSeconds":4}],"hooked":[{"runSeconds":2}]}`
	crashes(t, func(c *cell) {
		pod := withInit(newPod(corev1.RestartPolicyOnFailure, script, "main", "hooked"), "one", "side")
		hook := &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"begin"}}}
		pod.Spec.Containers[1].Lifecycle = &corev1.Lifecycle{PostStart: hook}
		c.insist(func() int { return c.do("POST", "/rest/v1/updatepod", parameters(pod)).Code })
		c.pass(90)
	}, func(t *testing.T, c *cell, f *fate) {
		c.wantPhase(corev1.PodSucceeded)
		for name, want := range map[string]int{"one": 1, "side": 1, "main": 2, "hooked": 1} {
			if f.starts[name] != want {
				t.Errorf("%s was started %d times, want %d", name, f.starts[name], want)
			}
		}
		if got := c.container("main"); got.RestartCount != 1 || got.State.Terminated == nil || got.State.Terminated.ExitCode != 0 {
			t.Errorf("main: %+v", got)
		}
		c.wantNothingLeft(t)
	})
}

// TestAgentDiesAtAnyDeedOfAStop: what was to end ends, and nothing is started
// any more.
func TestAgentDiesAtAnyDeedOfAStop(t *testing.T) {
	const script = `{"side":[{"forever":true,"stopSeconds":1}],"main":[{"forever":true,"stopSeconds":2,"stopCode":0}]}`
	crashes(t, func(c *cell) {
		pod := withInit(newPod(corev1.RestartPolicyAlways, script, "main", "other"), "side")
		hook := &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"bye"}}}
		pod.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: hook}
		c.insist(func() int { return c.do("POST", "/rest/v1/updatepod", parameters(pod)).Code })
		c.pass(5)
		c.insist(func() int { return c.sendStop("uid-1", 10).Code })
		c.pass(40)
	}, func(t *testing.T, c *cell, f *fate) {
		c.wantPhase(corev1.PodFailed)
		for name, most := range map[string]int{"side": 1, "main": 1, "other": 1} {
			if f.starts[name] > most {
				t.Errorf("%s was started %d times", name, f.starts[name])
			}
		}
		c.wantNothingLeft(t)
	})
}

// TestAgentDiesAtAnyDeedOfOneRun: with restartPolicy Never each container runs
// once at most.
func TestAgentDiesAtAnyDeedOfOneRun(t *testing.T) {
	const script = `{"setup":[{"runSeconds":1}],"main":[{"runSeconds":3,"exitCode":7}],"other":[{"runSeconds":5}]}`
	crashes(t, func(c *cell) {
		c.insist(func() int {
			return c.do("POST", "/rest/v1/updatepod", parameters(withInit(newPod(corev1.RestartPolicyNever, script, "main", "other"), "setup"))).Code
		})
		c.pass(60)
	}, func(t *testing.T, c *cell, f *fate) {
		c.wantPhase(corev1.PodFailed)
		for _, name := range []string{"setup", "main", "other"} {
			if f.starts[name] != 1 {
				t.Errorf("%s was started %d times", name, f.starts[name])
			}
		}
		if got := c.container("main"); got.RestartCount != 0 || got.State.Terminated == nil || got.State.Terminated.ExitCode != 7 {
			t.Errorf("main: %+v", got)
		}
		c.wantNothingLeft(t)
	})
}

// insist asks until the agent says yes, as the operator does.
func (c *cell) insist(ask func() int) {
	c.t.Helper()
	for range 10 {
		if ask() == 200 {
			return
		}
		c.pass(1)
	}
	c.t.Fatal("the agent does not say yes")
}

// wantNothingLeft looks for what still runs.
func (c *cell) wantNothingLeft(t *testing.T) {
	t.Helper()
	obs, err := c.runtime.List(t.Context(), "uid-1")
	if err != nil {
		t.Fatal(err)
	}
	for _, container := range obs.Containers {
		if container.State != agent.ContainerExited {
			t.Errorf("container %s is in state %d", container.ID, container.State)
		}
	}
	for _, sandbox := range obs.Sandboxes {
		if sandbox.Ready {
			t.Errorf("sandbox %s is left", sandbox.ID)
		}
	}
}
