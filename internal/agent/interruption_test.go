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

// teller plays the metadata service.
type teller struct {
	mu    sync.Mutex
	told  itzo.Notices
	err   error
	slow  time.Duration
	asked int
}

func (t *teller) set(change func(*teller)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(t)
}

func (t *teller) ask(ctx context.Context) (itzo.Notices, error) {
	t.mu.Lock()
	t.asked++
	told, err, slow := t.told, t.err, t.slow
	told.Interruption, told.Rebalance = again(told.Interruption), again(told.Rebalance) // as if read anew
	t.mu.Unlock()
	select {
	case <-time.After(slow):
		return told, err
	case <-ctx.Done():
		return itzo.Notices{}, ctx.Err()
	}
}

func again[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}

// told gives a cell's agent, which is started anew, somebody who tells it of its end.
func (c *cell) told() *teller {
	t := &teller{}
	c.stop()
	c.configure = func(config *agent.Config) { config.Notices = t.ask }
	c.start()
	return t
}

func interruptedIn(d time.Duration) func(*teller) {
	at := time.Now().Add(d)
	return func(t *teller) { t.told.Interruption = &itzo.Interruption{Action: "terminate", Time: at} }
}

func conditionOf(status corev1.PodStatus, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range status.Conditions {
		if status.Conditions[i].Type == kind {
			return &status.Conditions[i]
		}
	}
	return nil
}

// wantDisrupted: the pod has failed in a kubelet's words.
func (c *cell) wantDisrupted() {
	c.t.Helper()
	status := c.status()
	if status.Phase != corev1.PodFailed || status.Reason != "Terminated" || status.Message != "Pod was terminated in response to imminent node shutdown." {
		c.t.Errorf("phase %s, reason %s: %s", status.Phase, status.Reason, status.Message)
	}
	target := conditionOf(status, corev1.DisruptionTarget)
	if target == nil || target.Status != corev1.ConditionTrue || target.Reason != corev1.PodReasonTerminationByKubelet {
		c.t.Errorf("condition %+v", target)
	}
}

// TestInterrupted: the pod is stopped within its grace period, and fails though
// its container ends well; the operator is told at once.
func TestInterrupted(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		cloud := c.told()
		pod := newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true,"stopSeconds":3,"stopCode":0}]}`, "main")
		pod.Spec.TerminationGracePeriodSeconds = new(int64(20))
		c.update(pod)
		c.wantPhase(corev1.PodRunning)
		now := c.reply("")
		if now.Notices == nil || !now.Notices.Empty() {
			t.Errorf("notices %+v", now.Notices)
		}
		cloud.set(interruptedIn(2 * time.Minute))
		began := time.Now()
		reply := c.reply("?wait=300&epoch=" + now.Epoch + "&after=" + strconv.FormatInt(now.Revision, 10))
		if reply.Notices == nil || reply.Notices.Interruption == nil || reply.Notices.Interruption.Action != "terminate" {
			t.Errorf("notices %+v", reply.Notices)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("told after %s", took)
		}
		sleepSeconds(1)
		c.wantPhase(corev1.PodRunning)
		if conditionOf(c.status(), corev1.DisruptionTarget) == nil {
			t.Error("no condition while it is stopped")
		}
		sleepSeconds(3)
		c.wantDisrupted()
		if end := c.container("main").State.Terminated; end == nil || end.ExitCode != 0 || c.container("main").RestartCount != 0 {
			t.Errorf("container %+v", c.container("main"))
		}
		c.stop()
		c.start()
		c.wantDisrupted()
	})
}

// TestInterruptedSoon: a grace period longer than the time that is left is cut,
// so that the end is told before the instance goes; also where the cell's clock is
// wrong.
func TestInterruptedSoon(t *testing.T) {
	for name, test := range map[string]struct {
		in          time.Duration
		runs, ended float64 // seconds after the notice
	}{
		"clock right":  {2 * time.Minute, 100, 112},
		"clock behind": {20 * time.Minute, 100, 116},
		"clock ahead":  {-20 * time.Minute, 0, 8},
	} {
		t.Run(name, func(t *testing.T) {
			inCell(t, func(t *testing.T, c *cell) {
				cloud := c.told()
				pod := newPod(corev1.RestartPolicyNever, `{"main":[{"forever":true,"stopSeconds":3600}]}`, "main")
				pod.Spec.TerminationGracePeriodSeconds = new(int64(3600))
				c.update(pod)
				c.wantPhase(corev1.PodRunning)
				cloud.set(interruptedIn(test.in))
				sleepSeconds(test.runs)
				c.wantPhase(corev1.PodRunning)
				sleepSeconds(test.ended - test.runs)
				c.wantDisrupted()
				if end := c.container("main").State.Terminated; end == nil || end.ExitCode != 137 {
					t.Errorf("container %+v", c.container("main"))
				}
			})
		})
	}
}

// TestInterruptedAndKilled: an agent that dies while it ends the pod goes on with
// that, also where nobody tells it again.
func TestInterruptedAndKilled(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		cloud := c.told()
		c.update(newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true,"stopSeconds":20,"stopCode":0}]}`, "main"))
		c.wantPhase(corev1.PodRunning)
		cloud.set(interruptedIn(2 * time.Minute))
		sleepSeconds(6)
		c.stop()
		cloud.set(func(t *teller) { t.err = errors.New("no answer") })
		c.start()
		sleepSeconds(30)
		c.wantDisrupted()
	})
}

// TestRebalanceAndMaintenance: they are told, and the pod runs on; but an event
// that ends the instance ends the pod in time.
func TestRebalanceAndMaintenance(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		cloud, at := c.told(), time.Now()
		c.update(newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true,"stopSeconds":1,"stopCode":0}]}`, "main"))
		cloud.set(func(t *teller) {
			t.told = itzo.Notices{Rebalance: &at, Maintenance: []itzo.Maintenance{
				{Code: "system-reboot", NotBefore: at.Add(time.Hour)}, {Code: "instance-retirement", NotBefore: at.Add(2 * time.Hour)},
			}}
		})
		sleepSeconds(6)
		if told := c.reply("").Notices; told == nil || told.Rebalance == nil || !told.Rebalance.Equal(at) || len(told.Maintenance) != 2 {
			t.Errorf("notices %+v", told)
		}
		sleepSeconds(7000)
		c.wantPhase(corev1.PodRunning)
		if conditionOf(c.status(), corev1.DisruptionTarget) != nil {
			t.Error("the pod is marked")
		}
		sleepSeconds(180)
		c.wantDisrupted()
	})
}

// TestSlowMetadata: metadata that answers late, or not at all, is asked less
// often, and holds up nothing.
func TestSlowMetadata(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		cloud := c.told()
		cloud.set(func(t *teller) { t.slow = time.Hour })
		sleepSeconds(600)
		cloud.set(func(t *teller) { t.asked = 0 })
		c.update(newPod(corev1.RestartPolicyNever, `{"main":[{"runSeconds":10}]}`, "main"))
		c.wantPhase(corev1.PodRunning)
		sleepSeconds(10)
		c.wantPhase(corev1.PodSucceeded)
		sleepSeconds(590)
		cloud.set(func(te *teller) {
			if te.asked < 5 || te.asked > 12 {
				t.Errorf("asked %d times in 10 minutes", te.asked)
			}
			te.slow, te.told.Rebalance = 0, new(time.Now())
		})
		sleepSeconds(70)
		if told := c.reply("").Notices; told == nil || told.Rebalance == nil {
			t.Errorf("notices %+v", told)
		}
	})
}

// TestEndedBeforeTheNotice: what has ended keeps its end.
func TestEndedBeforeTheNotice(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		cloud := c.told()
		c.update(newPod(corev1.RestartPolicyNever, `{"main":[{"runSeconds":1}]}`, "main"))
		sleepSeconds(2)
		cloud.set(interruptedIn(time.Minute))
		sleepSeconds(60)
		c.wantPhase(corev1.PodSucceeded)
	})
}
