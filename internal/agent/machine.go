package agent

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// machine decides what is to be done for the pod. It is told what the runtime
// shows and how actions ended, and answers the next actions and the status; it
// does nothing by itself and knows no clock, no goroutine and no lock.
type machine struct {
	rec *record
	obs Observation
	// containers are the init containers, then the main ones, then the ephemeral.
	containers []*containerState
	sandbox    try
	// stopped holds the sandboxes whose network is known to be taken away.
	stopped map[string]bool
	// underWay holds the stops and removals that must not be started again:
	// until they have ended, or, when they failed, until the given time.
	underWay map[string]time.Time
	// wake is the soonest time at which step has to be called again.
	wake time.Time
}

// containerState is what the machine knows of one container beside what the
// runtime shows.
type containerState struct {
	spec *corev1.Container
	role role
	// image is at hand for the next start; nil until it was looked for.
	image *Image
	pull  try
	start try
	// pulling is the name of the image that was asked for last.
	pulling string
	// stopBy is the deadline given to the stop that is under way. One that
	// failed is repeated at stopAgain.
	stopBy    time.Time
	stopAgain time.Time
	// held is set once the stop had to wait for others to end.
	held      bool
	kill      kill
	probes    map[probeKind]*probeState
	postStart hook
	// preStopped is the run whose preStop hook has been run.
	preStopped string
	// lacksTarget is set as long as the container whose processes it is to see was
	// never started.
	lacksTarget bool
	// restartAt is set while a restart is held back.
	restartAt   time.Time
	restartWait time.Duration
	// toldEnd is the run after whose end the back-off was told of last.
	toldEnd string
}

// try is something that may fail and is then tried again later.
type try struct {
	pending  bool
	problem  *problem
	backoff  backoff
	failedAt time.Time
	// told says that an event was made of the wait for the next try.
	told bool
}

// problem is why something does not go on, as a waiting reason.
type problem struct {
	reason, message string
}

// newMachine goes on from a record, be it a new one or one found after a
// restart of the agent.
func newMachine(rec *record) *machine {
	if rec.Backoff == nil {
		rec.Backoff = map[string]backoff{}
	}
	m := &machine{rec: rec, stopped: map[string]bool{}, underWay: map[string]time.Time{}}
	m.takeContainers()
	return m
}

// replacePod takes a newer version of the same pod, in which nothing changed
// that a running container depends on, but for its image. It may have more
// ephemeral containers.
func (m *machine) replacePod(pod *corev1.Pod) {
	m.rec.ResizePending = keepResources(m.rec.Pod, pod)
	m.rec.Pod = pod
	m.takeContainers()
}

// terminal pods stay so, whatever happens to their containers.
func (m *machine) terminal() bool {
	phase := m.rec.Status.Phase
	return phase == corev1.PodSucceeded || phase == corev1.PodFailed
}

// stop asks for the end by a deadline; a sooner one wins.
func (m *machine) stop(by time.Time) {
	if m.rec.StopBy.IsZero() || by.Before(m.rec.StopBy) {
		m.rec.StopBy = by
	}
}

func (m *machine) stopWanted() bool {
	return !m.rec.StopBy.IsZero()
}

// step looks at what the runtime shows and answers what is to be done now.
func (m *machine) step(now time.Time, obs Observation) []action {
	m.obs = obs
	m.wake = time.Time{}
	var actions []action
	switch {
	case m.terminal():
	case m.endWanted(now):
		actions = m.stepStop(now)
	default:
		actions = m.stepRun(now)
	}
	if !m.terminal() {
		actions = append(actions, m.probeAll(now)...)
	}
	m.rec.Status = m.status(now)
	if m.terminal() {
		actions = append(actions, m.stopSandboxes(now)...)
	}
	return append(actions, m.collect(now)...)
}

// endWanted says whether the pod is to end: somebody wants that, or it has
// nothing left to do, so that what still runs of it has its grace period.
func (m *machine) endWanted(now time.Time) bool {
	if !m.stopWanted() && (m.finished() || m.overdue(now)) {
		m.stop(now.Add(gracePeriod(m.rec.Pod)))
	}
	return m.stopWanted()
}

// stepRun brings containers up, and up again.
func (m *machine) stepRun(now time.Time) []action {
	sandbox := m.readySandbox()
	if sandbox == nil && m.anyRunning() {
		// Their sandbox died: what is left in it has lost its network.
		return m.stopSandboxes(now)
	}
	var actions []action
	sandboxWanted := false
	for _, c := range m.turn(sandbox) {
		attempt, wanted := m.wantsStart(now, c)
		if !wanted {
			actions = append(actions, m.mend(now, c)...)
			actions = append(actions, m.runPostStart(c)...)
			actions = append(actions, m.carryOut(now, c)...)
			if c.hookPending(m.latest(c.spec.Name)) {
				break // the kubelet starts one after the other
			}
			continue
		}
		sandboxWanted = true
		actions = append(actions, m.bringUp(now, c, attempt, sandbox)...)
		if hasPostStart(c.spec) && c.pull.problem == nil && c.start.problem == nil {
			break // later ones wait for the hook, unless it cannot come to that
		}
	}
	if sandbox == nil && sandboxWanted {
		actions = append(actions, m.newSandbox(now)...)
	}
	return actions
}

// bringUp goes on with the start of a container: first its image, then the
// container in its sandbox, which is nil as long as there is none.
func (m *machine) bringUp(now time.Time, c *containerState, attempt uint32, sandbox *Sandbox) []action {
	if c.image == nil {
		return m.pullImage(now, c)
	}
	target, found := m.target(now, c)
	if sandbox == nil || !found || !m.ready(now, &c.start) {
		return nil
	}
	m.noteRestart(now, c)
	c.start.pending = true
	c.kill, c.stopBy, c.postStart = kill{}, time.Time{}, hook{due: hasPostStart(c.spec)}
	return []action{{kind: startContainer, container: c.spec.Name, attempt: attempt, sandbox: *sandbox, image: *c.image, target: target}}
}

// wantsStart says whether a container is to be started now, and as which
// attempt.
func (m *machine) wantsStart(now time.Time, c *containerState) (attempt uint32, wanted bool) {
	c.restartAt = time.Time{}
	if c.start.pending {
		return 0, false
	}
	end, attempt, ended := m.ended(c)
	if !ended {
		return 0, m.latest(c.spec.Name) == nil
	}
	if !m.again(c, end) {
		return 0, false
	}
	backoff := m.rec.Backoff[c.spec.Name]
	event, counts := m.restartEvent(c, end)
	if at := backoff.wait(event); counts && now.Before(at) {
		c.restartAt, c.restartWait = at, backoff.Delay
		m.startBacksOff(now, c, end)
		m.wakeAt(at)
		return 0, false
	}
	return attempt + 1, true
}

// noteRestart lets the next restart wait longer than this one.
func (m *machine) noteRestart(now time.Time, c *containerState) {
	end, _, ended := m.ended(c)
	if !ended {
		return
	}
	if event, counts := m.restartEvent(c, end); counts {
		m.rec.Backoff[c.spec.Name] = m.rec.Backoff[c.spec.Name].next(event, now)
	}
}

// mend ends what is neither running nor ended: a container that was created
// but never started, because the agent died in between, or one that the runtime
// has lost track of.
func (m *machine) mend(now time.Time, c *containerState) []action {
	latest := m.latest(c.spec.Name)
	if latest == nil || c.start.pending {
		return nil
	}
	switch latest.State {
	case ContainerCreated:
		return m.once(now, action{kind: removeContainer, container: c.spec.Name, id: latest.ID})
	case ContainerUnknown:
		return m.once(now, action{kind: stopContainer, container: c.spec.Name, id: latest.ID})
	}
	return nil
}

func (m *machine) pullImage(now time.Time, c *containerState) []action {
	if c.pull.pending && c.pulling != c.spec.Image {
		return []action{{kind: cancelPull, container: c.spec.Name}}
	}
	if !m.ready(now, &c.pull) {
		shownUntil := c.pull.failedAt.Add(pullErrorShown)
		switch {
		case c.pull.pending:
		case now.Before(shownUntil):
			m.wakeAt(shownUntil)
		default:
			m.pullBacksOff(now, c)
		}
		return nil
	}
	c.pull.pending, c.pulling = true, c.spec.Image
	return []action{{kind: pullImage, container: c.spec.Name}}
}

// newSandbox makes the pod's first sandbox, or another when it died.
func (m *machine) newSandbox(now time.Time) []action {
	if !m.ready(now, &m.sandbox) {
		return nil
	}
	if actions := m.stopSandboxes(now); len(m.obs.Sandboxes) > m.stoppedSandboxes() {
		return actions
	}
	attempt := uint32(0)
	for _, old := range m.obs.Sandboxes {
		attempt = max(attempt, old.Attempt+1)
	}
	if attempt > 0 {
		m.rec.tell(now, "", corev1.EventTypeNormal, eventSandboxChanged, "Pod sandbox changed, it will be killed and re-created.")
	}
	m.sandbox.pending = true
	return []action{{kind: runSandbox, attempt: attempt}}
}

// collect removes runs of containers older than the last but one, whose end is
// still shown, and sandboxes that nothing refers to any more.
func (m *machine) collect(now time.Time) []action {
	var actions []action
	used := map[string]bool{}
	for _, container := range m.obs.Containers {
		latest := m.latest(container.Name)
		if container.State == ContainerExited && container.Attempt+1 < latest.Attempt {
			actions = append(actions, m.once(now,
				action{kind: removeContainer, container: container.Name, id: container.ID})...)
			continue
		}
		used[container.SandboxID] = true
	}
	newest := m.newestSandbox()
	for _, sandbox := range m.obs.Sandboxes {
		if !sandbox.Ready && !used[sandbox.ID] && sandbox.ID != newest {
			actions = append(actions, m.once(now, action{kind: removeSandbox, id: sandbox.ID})...)
		}
	}
	return actions
}

// once answers the action unless it is under way, or has failed just now.
func (m *machine) once(now time.Time, a action) []action {
	if until, underWay := m.underWay[a.id]; underWay {
		if until.IsZero() {
			return nil
		}
		if now.Before(until) {
			m.wakeAt(until)
			return nil
		}
	}
	m.underWay[a.id] = time.Time{}
	return []action{a}
}

// ready says whether something may be tried now, and sees to it that it will
// be tried when it may.
func (m *machine) ready(now time.Time, t *try) bool {
	if t.pending {
		return false
	}
	if t.problem == nil {
		return true
	}
	if at := t.failedAt.Add(t.backoff.Delay); now.Before(at) {
		m.wakeAt(at)
		return false
	}
	return true
}

func (m *machine) wakeAt(at time.Time) {
	if m.wake.IsZero() || at.Before(m.wake) {
		m.wake = at
	}
}
