package agent

import (
	"time"
)

// actionKind says what an action does.
type actionKind string

const (
	runSandbox      actionKind = "run sandbox"
	stopSandbox     actionKind = "stop sandbox"
	removeSandbox   actionKind = "remove sandbox"
	pullImage       actionKind = "pull image"
	cancelPull      actionKind = "cancel pull"
	startContainer  actionKind = "start container"
	stopContainer   actionKind = "stop container"
	removeContainer actionKind = "remove container"
	runProbe        actionKind = "run probe"
	runHook         actionKind = "run postStart hook"
	cancelHook      actionKind = "cancel postStart hook"
)

// action is one thing to be done, by somebody other than the machine.
type action struct {
	kind actionKind
	// container is the container's name in the pod.
	container string
	// attempt of the sandbox or container to be made.
	attempt uint32
	// id of what is to be stopped or removed.
	id      string
	grace   time.Duration
	sandbox Sandbox
	image   Image
	// target is the container whose processes are to be seen.
	target string
	probe  probeKind
	// preStop has the hook of that name run before a stop.
	preStop bool
}

// result is how an action ended.
type result struct {
	image Image
	// passed is a probe's answer, said what it said beside.
	passed bool
	said   string
	err    error
	// reason is the waiting reason that belongs to err.
	reason string
}

// retryStop is when a stop or removal that failed is repeated.
const retryStop = time.Second

// done tells the machine how an action ended.
func (m *machine) done(now time.Time, a action, r result) {
	c := m.containerState(a.container)
	switch a.kind {
	case runSandbox:
		m.sandbox.end(now, r, time.Second, 30*time.Second)
		if r.err != nil && r.reason != reasonMount && !m.stopWanted() {
			m.sandboxFailed(now, r.err)
		}
	case pullImage:
		m.pulled(now, c, r)
	case startContainer:
		c.start.end(now, r, backoffInitial, backoffMax)
		// The next start looks for its image again, as the pull policy wants.
		c.image = nil
		c.postStart.due = c.postStart.due && r.err == nil
	case runHook:
		m.hookEnded(now, c, a, r)
	case runProbe:
		m.probed(now, c, a, r)
	case stopContainer:
		if r.err != nil {
			c.stopBy, c.stopAgain = time.Time{}, now.Add(retryStop)
		}
		m.release(now, a, r)
	case stopSandbox:
		m.stopped[a.id] = r.err == nil
		m.release(now, a, r)
	case removeContainer, removeSandbox:
		m.release(now, a, r)
	}
}

// release lets an action be repeated: at once when it is needed again, later
// when it failed.
func (m *machine) release(now time.Time, a action, r result) {
	delete(m.underWay, a.id)
	if r.err != nil {
		m.underWay[a.id] = now.Add(retryStop)
	}
}

func (m *machine) containerState(name string) *containerState {
	for _, c := range m.containers {
		if c.spec.Name == name {
			return c
		}
	}
	return nil
}

// end notes how a try ended. After a failure the next one waits, from initial
// doubling to longest.
func (t *try) end(now time.Time, r result, initial, longest time.Duration) {
	t.pending, t.told = false, false
	if r.err == nil {
		t.problem, t.backoff = nil, backoff{}
		return
	}
	t.problem = &problem{reason: r.reason, message: r.err.Error()}
	t.failedAt = now
	t.backoff.Delay = min(max(2*t.backoff.Delay, initial), longest)
}
