package agent

import (
	"fmt"
	"time"
)

// takeContainers makes the containers those of the pod: new ones come last,
// wherever the pod has them.
func (m *machine) takeContainers() {
	for _, spec := range allContainers(m.rec.Pod) {
		c := m.containerState(spec.Name)
		if c == nil {
			c = &containerState{role: roleOf(m.rec.Pod, spec), probes: map[probeKind]*probeState{}}
			m.containers = append(m.containers, c)
		}
		changed := c.spec != nil && c.spec.Image != spec.Image
		c.spec = spec
		if changed {
			m.forgetImage(c)
		}
	}
}

// forgetImage lets what was learned of a container's former image go: nothing of
// it says how the pod's image of now will do. A pull that is under way is
// cancelled by the next step.
func (m *machine) forgetImage(c *containerState) {
	c.image = nil
	delete(m.rec.Backoff, c.spec.Name)
	if !c.pull.pending {
		c.pull = try{}
	}
	if !c.start.pending {
		c.start = try{}
	}
}

// pulled notes how the look for an image ended; one that the pod has no more, by
// whatever end, is looked for no longer.
func (m *machine) pulled(now time.Time, c *containerState, r result) {
	if c.pulling != c.spec.Image {
		c.pull = try{}
		return
	}
	c.pull.end(now, r, backoffInitial, backoffMax)
	if r.err != nil {
		m.pullFailed(now, c, r)
		return
	}
	c.image = &r.image
}

// killChanged has a container's run ended whose image is another by now. An init
// container that is not restartable ends by itself, and an ephemeral one never
// changes. The postStart hook of the run comes first, as with the kubelet.
func (m *machine) killChanged(now time.Time, c *containerState, run *Container) {
	if c.role != mainContainer && c.role != sidecar || run == nil || run.State != ContainerRunning || c.hookPending(run) {
		return
	}
	if run.SpecImage == "" || run.SpecImage == c.spec.Image {
		return
	}
	why := fmt.Sprintf("Container %s definition changed, will be restarted", c.spec.Name)
	if c.role == sidecar {
		why = fmt.Sprintf("Init container %s definition changed", c.spec.Name)
	}
	if m.rec.Replaced == nil {
		m.rec.Replaced = map[string]string{}
	}
	m.rec.Replaced[c.spec.Name] = run.ID
	c.killRun(kill{run: run.ID, by: now.Add(gracePeriod(m.rec.Pod)), why: why})
}

// replaced says whether a container's last run was ended for its image: then it
// is started again whatever its restart policy.
func (m *machine) replaced(c *containerState) bool {
	run := m.latest(c.spec.Name)
	return run != nil && m.rec.Replaced[c.spec.Name] == run.ID
}
