package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
)

// probeKind is what a probe decides upon, as the kubelet's messages have it.
type probeKind string

const (
	startupProbe   probeKind = "Startup"
	livenessProbe  probeKind = "Liveness"
	readinessProbe probeKind = "Readiness"
)

func probeKinds() []probeKind { return []probeKind{startupProbe, livenessProbe, readinessProbe} }

func probeSpec(spec *corev1.Container, kind probeKind) *corev1.Probe {
	switch kind {
	case startupProbe:
		return spec.StartupProbe
	case livenessProbe:
		return spec.LivenessProbe
	default:
		return spec.ReadinessProbe
	}
}

// The API server's defaults of a probe's figures.
const (
	defaultProbePeriod      = 10 * time.Second
	defaultProbeTimeout     = time.Second
	defaultFailureThreshold = 3
	defaultSuccessThreshold = 1
)

// secondsOr reads a number of seconds that may not have been filled in.
func secondsOr(seconds int32, def time.Duration) time.Duration {
	return cmp.Or(time.Duration(seconds)*time.Second, def)
}

// verdict is what a probe has decided, once enough tries in a row agreed.
type verdict int

const (
	undecided verdict = iota
	passing
	failing
)

// probeState is how a container's probe stands with one of its runs.
type probeState struct {
	run     string
	next    time.Time
	pending bool
	verdict verdict
	// last is how the last tries ended, and inARow how many of them.
	last   bool
	inARow int32
}

// started says whether a run of a container counts as started: its postStart
// hook is over, and its startup probe has succeeded.
func (m *machine) started(c *containerState, run *Container) bool {
	if run.State != ContainerRunning || c.hookPending(run) {
		return false
	}
	return c.spec.StartupProbe == nil || m.probe(c, startupProbe, run).verdict == passing
}

// readyNow says whether a run of a container can serve.
func (m *machine) readyNow(c *containerState, run *Container) bool {
	if c.role == initContainer || !m.started(c, run) {
		return false
	}
	return c.spec.ReadinessProbe == nil || m.probe(c, readinessProbe, run).verdict == passing
}

// probe is the state of a probe with the given run. With the first run that an
// agent sees after its own restart it begins with what the last status said.
func (m *machine) probe(c *containerState, kind probeKind, run *Container) *probeState {
	if known := c.probes[kind]; known != nil && known.run == run.ID {
		return known
	}
	spec := probeSpec(c.spec, kind)
	state := &probeState{run: run.ID, next: run.StartedAt.Add(time.Duration(spec.InitialDelaySeconds) * time.Second)}
	if old := m.oldStatus(c.spec.Name); old != nil && old.ContainerID == run.URI && c.probes[kind] == nil {
		if kind == startupProbe && old.Started != nil && *old.Started || kind == readinessProbe && old.Ready {
			state.verdict = passing
		}
	}
	c.probes[kind] = state
	return state
}

// probeAll answers the probes that are due, and acts on none.
func (m *machine) probeAll(now time.Time) []action {
	var actions []action
	for _, c := range m.containers {
		run := m.latest(c.spec.Name)
		if run == nil || run.State != ContainerRunning || c.start.pending || c.hookPending(run) || c.killed(run) {
			continue
		}
		for _, kind := range probeKinds() {
			if probeSpec(c.spec, kind) != nil && m.probeWanted(c, kind, run) {
				actions = append(actions, m.probeDue(now, c, kind, run)...)
			}
		}
	}
	return actions
}

// probeWanted says whether a probe's answer matters now: the startup probe's
// until it has succeeded, the others' afterwards, and at the end of the pod only
// whether it can serve.
func (m *machine) probeWanted(c *containerState, kind probeKind, run *Container) bool {
	if m.stopWanted() && kind != readinessProbe {
		return false
	}
	return (kind == startupProbe) != m.started(c, run)
}

func (m *machine) probeDue(now time.Time, c *containerState, kind probeKind, run *Container) []action {
	state := m.probe(c, kind, run)
	if state.pending {
		return nil
	}
	if now.Before(state.next) {
		m.wakeAt(state.next)
		return nil
	}
	spec := probeSpec(c.spec, kind)
	state.pending, state.next = true, now.Add(secondsOr(spec.PeriodSeconds, defaultProbePeriod))
	return []action{{kind: runProbe, container: c.spec.Name, id: run.ID, probe: kind}}
}

// probed counts a probe's answer, and has the container killed that failed too
// often. An error is no answer.
func (m *machine) probed(now time.Time, c *containerState, a action, r result) {
	state, spec := c.probes[a.probe], probeSpec(c.spec, a.probe)
	if state == nil || state.run != a.id || spec == nil {
		return
	}
	state.pending = false
	m.tellProbe(now, c, a.probe, r)
	if r.err != nil {
		return
	}
	if state.last != r.passed {
		state.last, state.inARow = r.passed, 0
	}
	state.inARow++
	switch {
	case r.passed && state.inARow >= cmp.Or(spec.SuccessThreshold, defaultSuccessThreshold):
		state.verdict = passing
	case !r.passed && state.inARow >= cmp.Or(spec.FailureThreshold, defaultFailureThreshold):
		state.verdict = failing
		if a.probe != readinessProbe {
			c.killRun(kill{run: a.id, by: now.Add(probeGrace(m.rec.Pod, spec)), probe: true, why: m.whyKilled(c, a.probe)})
		}
	}
}

func (m *machine) whyKilled(c *containerState, kind probeKind) string {
	why := fmt.Sprintf("Container %s failed %s probe", c.spec.Name, strings.ToLower(string(kind)))
	if c.role == sidecar || restartsAfterProbe(m.rec.Pod, c.spec) {
		why += ", will be restarted"
	}
	return why
}

// tellProbe makes an event of an answer that is not plain success.
func (m *machine) tellProbe(now time.Time, c *containerState, kind probeKind, r result) {
	reason, text := eventUnhealthy, fmt.Sprintf("%s probe failed: %s", kind, r.said)
	switch {
	case r.err != nil:
		text = fmt.Sprintf("%s probe errored and resulted in unknown state: %v", kind, r.err)
	case r.passed && r.said == "":
		return
	case r.passed:
		reason, text = eventProbeWarning, fmt.Sprintf("%s probe warning: %s", kind, r.said)
	}
	m.tell(now, c, corev1.EventTypeWarning, reason, text)
}

func probeGrace(pod *corev1.Pod, probe *corev1.Probe) time.Duration {
	if seconds := probe.TerminationGracePeriodSeconds; seconds != nil {
		return time.Duration(*seconds) * time.Second
	}
	return gracePeriod(pod)
}

// maxProbeTries: what could not be asked at all is asked again at once, as the
// kubelet does.
const maxProbeTries = 3

func (a *Agent) runProbe(ctx context.Context, j job) result {
	spec := probeSpec(j.spec, j.probe)
	timeout := secondsOr(spec.TimeoutSeconds, defaultProbeTimeout)
	var err error
	for range maxProbeTries {
		err = a.handle(ctx, j, probeHandler(&spec.ProbeHandler), timeout)
		failed, warned := (*failure)(nil), (*warning)(nil)
		switch {
		case err == nil:
			return result{passed: true}
		case errors.As(err, &warned):
			return result{passed: true, said: warned.text}
		case errors.As(err, &failed):
			logr.FromContextOrDiscard(ctx).V(1).Info("Probe failed", "probe", j.probe, "container", j.container, "answer", failed.text)
			return result{said: failed.text}
		}
	}
	return result{err: err}
}
