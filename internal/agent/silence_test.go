package agent_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/internal/agent"
)

// power is a cell's switch; its uptime is the bubble's time, but for what a
// test makes of it.
type power struct {
	mu      sync.Mutex
	booted  time.Time
	note    []byte
	saves   int
	offs    []time.Time
	refuses error
}

func newPower() *power { return &power{booted: time.Now()} }

func (p *power) Uptime() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.booted)
}

func (p *power) LoadSilence() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.note, nil
}

func (p *power) SaveSilence(note []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note = note
	p.saves++
	return nil
}

func (p *power) Off(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offs = append(p.offs, time.Now())
	return p.refuses
}

// switchedOff is how often.
func (p *power) switchedOff() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.offs)
}

// powered gives a cell's agent, which is started anew, a switch.
func (c *cell) powered(after time.Duration) *power {
	p := newPower()
	c.stop()
	c.configure = func(config *agent.Config) { config.PowerOffAfter, config.Power = after, p }
	c.start()
	return p
}

// rebooted is a host that booted once more.
type rebooted struct{ agent.Host }

func (rebooted) Resources() agent.Resources { return agent.Resources{BootID: "another boot"} }

// deaf is a runtime that does not answer any more.
type deaf struct{ agent.Runtime }

func (deaf) List(context.Context, types.UID) (agent.Observation, error) {
	return agent.Observation{}, errors.New("no answer")
}

// also changes what the next agent is made of once more.
func (c *cell) also(change func(*agent.Config)) {
	before := c.configure
	c.configure = func(config *agent.Config) {
		before(config)
		change(config)
	}
}

func (c *cell) ping() {
	c.t.Helper()
	c.expect(c.do(http.MethodGet, "/rest/v1/ping", nil), http.StatusOK, "pong")
}

const (
	day  = 24 * time.Hour
	hour = time.Hour
)

// wantOff lets time pass and says whether the cell was switched off in it.
func (c *cell) wantOff(p *power, after time.Duration, want int) {
	c.t.Helper()
	sleepSeconds(after.Seconds())
	if got := p.switchedOff(); got != want {
		c.t.Fatalf("switched off %d times after another %s, want %d", got, after, want)
	}
}

// TestPowerOffInSilence: without a pod, after as long as is allowed since the
// operator was heard last, whatever it asked.
func TestPowerOffInSilence(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		p := c.powered(day)
		c.wantOff(p, 23*hour, 0)
		c.ping()
		c.wantOff(p, 23*hour, 0)
		c.expect(c.do(http.MethodGet, "/rest/v1/nonsense", nil), http.StatusNotFound, "")
		c.wantOff(p, day-time.Second, 0)
		c.wantOff(p, time.Second, 1)
		c.wantOff(p, time.Minute, 2) // until it is off
	})
}

func TestNoPowerOff(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		p := c.powered(0)
		c.wantOff(p, 1000*hour, 0)
		if p.saves != 0 {
			t.Errorf("%d notes were written", p.saves)
		}
	})
}

// TestPodsEndBeforePowerOff: with their grace period, and the pod says why.
func TestPodsEndBeforePowerOff(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		p := c.powered(hour)
		grace := int64(40)
		pod := newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true,"stopSeconds":25,"stopCode":0}]}`, "main")
		pod.Spec.TerminationGracePeriodSeconds = &grace
		c.update(pod)
		c.wantOff(p, hour, 0)
		c.wantOff(p, 24*time.Second, 0)
		c.wantOff(p, time.Second, 1)
		got := c.status()
		if got.Phase != corev1.PodFailed || got.Reason != agent.ReasonPoweredOff || !strings.Contains(got.Message, "1h0m0s") {
			t.Errorf("%s, %s: %s", got.Phase, got.Reason, got.Message)
		}
		if end := c.container("main").State.Terminated; end == nil || end.ExitCode != 0 {
			t.Errorf("main: %+v", end)
		}
	})
}

// TestRuntimeHangsBeforePowerOff: what does not end does not keep the cell on.
func TestRuntimeHangsBeforePowerOff(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		p := c.powered(hour)
		grace := int64(10)
		pod := newPod(corev1.RestartPolicyAlways, "", "main")
		pod.Spec.TerminationGracePeriodSeconds = &grace
		c.update(pod)
		c.wantPhase(corev1.PodRunning)
		c.stop()
		c.also(func(config *agent.Config) { config.Runtime = deaf{config.Runtime} })
		c.start()
		c.ping()
		c.wantOff(p, hour+39*time.Second, 0)
		c.wantOff(p, time.Second, 1)
	})
}

// TestOperatorComesBackInTheEnd: the pod is over, the cell stays on.
func TestOperatorComesBackInTheEnd(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		p := c.powered(hour)
		c.update(newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true,"stopSeconds":20}]}`, "main"))
		c.wantOff(p, hour+10*time.Second, 0)
		c.ping()
		c.wantOff(p, 50*time.Minute, 0)
		if got := c.status(); got.Phase != corev1.PodFailed || got.Reason != agent.ReasonPoweredOff {
			t.Errorf("%s, %s: %s", got.Phase, got.Reason, got.Message)
		}
	})
}

// TestSilenceOverRestarts: the agent's own restarts do not begin it anew, also
// when the agent was away for long; but an agent listens before it acts.
func TestSilenceOverRestarts(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		p := c.powered(day)
		for range 23 {
			c.wantOff(p, hour-time.Minute, 0)
			c.stop()
			c.wantOff(p, time.Minute, 0)
			c.start()
		}
		c.wantOff(p, hour-time.Second, 0)
		c.wantOff(p, time.Second, 1)
	})
}

func TestAgentListensFirst(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		p := c.powered(hour)
		c.stop()
		c.wantOff(p, 100*hour, 0)
		c.start()
		c.wantOff(p, 2*time.Minute-time.Second, 0)
		c.ping()
		c.wantOff(p, hour-time.Second, 0)
		c.wantOff(p, time.Second, 1)
	})
}

// TestSilenceOverReboots: what was noted before counts on, and no more than that.
func TestSilenceOverReboots(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		p := c.powered(hour)
		reboot := func() {
			c.stop()
			c.also(func(config *agent.Config) { config.Host = rebooted{config.Host} })
			p.booted = time.Now()
			c.start()
		}
		c.wantOff(p, 31*time.Minute, 0)
		reboot()
		c.wantOff(p, 30*time.Minute-time.Second, 0)
		c.wantOff(p, time.Second, 1) // the last note was written after 30 minutes
		c.ping()
		sleepSeconds(0)
		reboot()
		c.wantOff(p, hour-time.Second, 1)
		c.wantOff(p, time.Second, 2)
	})
}

// TestClocksThatJump: only the uptime counts. A boot that is not another but has
// less uptime than was noted is taken for another one.
func TestClocksThatJump(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		p := c.powered(hour)
		c.wantOff(p, 10*time.Minute, 0)
		c.stop()
		p.booted = time.Now()
		c.start()
		c.wantOff(p, 51*time.Minute-time.Second, 0) // the last note was written after 9 minutes
		c.wantOff(p, time.Second, 1)
	})
}

func TestUnreadableNote(t *testing.T) {
	for _, note := range []string{"", "nonsense", `{"silence":-1}`, `{"uptime":"x"}`} {
		inCell(t, func(t *testing.T, c *cell) {
			p := newPower()
			p.note = []byte(note)
			c.stop()
			c.configure = func(config *agent.Config) { config.PowerOffAfter, config.Power = hour, p }
			c.start()
			c.wantOff(p, hour-time.Second, 0)
			c.wantOff(p, time.Second, 1)
		})
	}
}
