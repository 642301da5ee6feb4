package agent

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
)

func hasPostStart(spec *corev1.Container) bool {
	return spec.Lifecycle != nil && spec.Lifecycle.PostStart != nil
}

// hook is how a container's postStart hook stands.
type hook struct {
	// due is set by the start of a container that has one, running is the run
	// whose hook was begun.
	due     bool
	running string
	problem *problem
}

// hookPending says whether a run's postStart hook is still to end. As long as it
// is, the container does not count as running, and later ones are not started.
func (c *containerState) hookPending(run *Container) bool {
	return c.postStart.due || run != nil && c.postStart.running == run.ID
}

// runPostStart begins the hook of a container that was started just now.
func (m *machine) runPostStart(c *containerState) []action {
	run := m.latest(c.spec.Name)
	if !c.postStart.due || c.start.pending || run == nil {
		return nil
	}
	c.postStart.due = false
	if run.State != ContainerRunning {
		return nil
	}
	c.postStart.running = run.ID
	return []action{{kind: runHook, container: c.spec.Name, id: run.ID}}
}

// hookEnded has a container killed whose postStart hook failed.
func (m *machine) hookEnded(now time.Time, c *containerState, a action, r result) {
	if c.postStart.running != a.id {
		return
	}
	c.postStart.running = ""
	if r.err != nil {
		c.postStart.problem = &problem{reason: reasonPostStart, message: r.err.Error()}
		// Not what it said: there may be secrets in that.
		m.tell(now, c, corev1.EventTypeWarning, eventFailedPostStart, "PostStartHook failed")
		c.killRun(kill{run: a.id, by: now.Add(gracePeriod(m.rec.Pod)), why: eventFailedPostStart})
	}
}

// runPostStart runs the hook of a container that has been started; it has no
// time limit but the container's life.
func (a *Agent) runPostStart(ctx context.Context, j job) result {
	handler := j.spec.Lifecycle.PostStart
	if err := a.handle(ctx, j, hookHandler(handler), 0); err != nil {
		return result{err: hookError(j.pod, j.spec.Name, handler, err)}
	}
	return result{}
}

// hookError tells in the kubelet's words that a hook has failed.
func hookError(pod *corev1.Pod, container string, hook *corev1.LifecycleHandler, err error) error {
	kind, what := "TCP", ""
	switch {
	case hook.Exec != nil:
		kind, what = "Exec", fmt.Sprint(hook.Exec.Command)
	case hook.HTTPGet != nil:
		kind, what = "HTTP", hook.HTTPGet.Path
	case hook.Sleep != nil:
		kind, what = "Sleep", strconv.FormatInt(hook.Sleep.Seconds, 10)
	case hook.TCPSocket != nil:
		what = hook.TCPSocket.Port.String()
	}
	message := ""
	if exited := (*exitError)(nil); errors.As(err, &exited) {
		message = fmt.Sprintf(", message: %q", exited.output)
	}
	return fmt.Errorf("%s lifecycle hook (%s) for Container %q in Pod \"%s_%s(%s)\" failed - error: %w%s",
		kind, what, container, pod.Name, pod.Namespace, pod.UID, err, message)
}

// stopContainer runs the container's preStop hook, which its grace period pays
// for, and stops it in what is left, at least leastGrace.
func (a *Agent) stopContainer(ctx context.Context, j job) result {
	lifecycle := j.spec.Lifecycle
	if j.preStop && j.grace > 0 && lifecycle != nil && lifecycle.PreStop != nil {
		began := time.Now()
		bounded, cancel := context.WithTimeout(j.hooks, j.grace)
		defer cancel()
		if err := a.handle(bounded, j, hookHandler(lifecycle.PreStop), 0); err != nil {
			logr.FromContextOrDiscard(ctx).Info("The preStop hook failed", "container", j.container, "error", err.Error())
			a.tell(j.container, corev1.EventTypeWarning, eventFailedPreStop, "PreStopHook failed")
			a.poke()
		}
		j.grace = max(j.grace-time.Since(began), leastGrace)
	}
	return result{err: a.config.Runtime.StopContainer(ctx, j.id, j.grace)}
}
