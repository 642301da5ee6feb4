package cell

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/console"
	"kip.elotl.co/internal/errtext"
	"kip.elotl.co/internal/selection"
)

const (
	// codeBootTimeout is of attempts whose agent did not answer in time.
	codeBootTimeout = "BootTimeout"
	// bootTries is how many instances of a Cell may fail to come up with the
	// same configuration: the first, and one more on another offering.
	bootTries = 2
	// defaultBootTimeout is for classes from before there was the field.
	defaultBootTimeout = 5 * time.Minute
	// consoleLogged is how much of a console goes into the log, in bytes.
	consoleLogged = 8 << 10
	// consoleTimeout bounds the wait for it, while the instance costs money.
	consoleTimeout = 20 * time.Second
)

// bootTimeout is how long the agents of a class's cells may take to answer; 0: for ever.
func bootTimeout(class *v1beta1.CellClass) time.Duration {
	if class == nil || class.Spec.BootTimeout == nil {
		return defaultBootTimeout
	}
	return class.Spec.BootTimeout.Duration
}

// running remembers when each Cell's instance was first seen to run.
type running struct {
	mu    sync.Mutex
	since map[types.UID]runningSince
}

type runningSince struct {
	instanceID string
	time       time.Time
}

func newRunning() *running { return &running{since: map[types.UID]runningSince{}} }

func (r *running) note(cell *v1beta1.Cell, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since[cell.UID].instanceID != cell.Status.InstanceID {
		r.since[cell.UID] = runningSince{cell.Status.InstanceID, now}
	}
}

// of is when the Cell's instance began to run as far as is known, zero when it
// has not been seen to.
func (r *running) of(cell *v1beta1.Cell, attempt *v1beta1.LaunchAttempt) time.Time {
	if attempt.RunningTime != nil {
		return attempt.RunningTime.Time
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if noted := r.since[cell.UID]; noted.instanceID == cell.Status.InstanceID {
		return noted.time
	}
	return time.Time{}
}

func (r *running) forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.since, uid)
}

// noteRunning writes down since when the instance runs, together with what else
// is written of a cell that takes long.
func (c *Controller) noteRunning(cell *v1beta1.Cell, attempt *v1beta1.LaunchAttempt) {
	if since := c.running.of(cell, attempt); !since.IsZero() && attempt.RunningTime == nil {
		attempt.RunningTime = &metav1.Time{Time: since.UTC().Truncate(time.Second)}
	}
}

// timedOut says whether the agent of a booting cell has had all the time that
// it may take.
func (c *Controller) timedOut(s *scope, attempt *v1beta1.LaunchAttempt) bool {
	limit, since := bootTimeout(s.class), c.running.of(s.cell, attempt)
	return limit > 0 && !since.IsZero() && c.Clock.Since(since) >= limit && !c.probes.cutOff()
}

// giveUpBoot writes down that the instance is given up, and the end of its
// console, before it is ended: whoever goes on after a crash knows.
func (c *Controller) giveUpBoot(ctx context.Context, s *scope, attempt *v1beta1.LaunchAttempt, last error) (outcome, error) {
	cell := s.cell
	what := fmt.Sprintf("instance %s (%s in %s) did not come up: its agent has not answered within %s of running (spec.bootTimeout of the class)",
		cell.Status.InstanceID, attempt.InstanceType, attempt.Zone, bootTimeout(s.class))
	if last != nil {
		what += ": " + errtext.Of(last)
	}
	attempt.Code, attempt.Message = codeBootTimeout, short(what)
	setCondition(cell, v1beta1.ConditionBooted, metav1.ConditionFalse, v1beta1.ReasonBootTimeout, c.withConsole(ctx, cell, what))
	if err := c.writeStatus(ctx, s); err != nil {
		return outcome{}, err
	}
	return c.endUnbooted(ctx, s)
}

// withConsole adds the end of the console to what is said of an instance, as
// much as an event takes.
func (c *Controller) withConsole(ctx context.Context, cell *v1beta1.Cell, what string) string {
	ctx, cancel := context.WithTimeout(ctx, consoleTimeout)
	defer cancel()
	output, err := c.Cloud.Console(ctx, cell.Status.InstanceID)
	log := logf.FromContext(ctx).WithValues("instanceID", cell.Status.InstanceID)
	const said = "; the end of its console:\n"
	switch {
	case err != nil:
		log.Info("A cell did not come up, and its console cannot be had", "why", what, "error", err.Error())
		return what + "; its console output cannot be had: " + err.Error()
	case len(output) == 0:
		log.Info("A cell did not come up, and its console is empty", "why", what)
		return what + "; its console is empty"
	}
	log.Info("A cell did not come up", "why", what, "console", console.Tail(output, consoleLogged))
	return what + said + console.Tail(output, max(0, maxMessage-len(what)-len(said)))
}

func short(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxMessage)], "")
}

// endUnbooted ends an instance that was given up before it came up.
func (c *Controller) endUnbooted(ctx context.Context, s *scope) (outcome, error) {
	cell, attempt := s.cell, openAttempt(s.cell)
	if attempt == nil || attempt.Code != codeBootTimeout {
		return proceed(), nil
	}
	if err := c.end(ctx, cell, cloud.Instance{ID: cell.Status.InstanceID, State: cloud.StateRunning}); err != nil {
		return outcome{}, err
	}
	if err := c.removeRoutes(ctx, cell); err != nil {
		return outcome{}, err
	}
	c.sayLeft(s, c.endParameters(ctx, cell, cell.Status.InstanceID))
	c.probes.forget(cell.UID)
	c.stores.forget(cell.UID)
	c.running.forget(cell.UID)
	fingerprint, what := attempt.Fingerprint, attempt.Message
	c.failAttempt(cell, attempt, &cloud.Error{Code: codeBootTimeout, Message: what})
	attempt.Message = what
	if bootFailures(cell, fingerprint) < bootTries {
		notLaunched(cell, v1beta1.ReasonBootTimeout, what+"; another offering is tried once")
		return stopAndLookAfter(atOnce), nil
	}
	notLaunched(cell, v1beta1.ReasonBootFailed, fmt.Sprintf(
		"%d instances in a row did not come up, the last: %s. No other is launched before the class or its cloud-init changes, or the pod is made anew; the end of the console is in condition %s of Cell %s",
		bootTries, what, v1beta1.ConditionBooted, cell.Name))
	return stopAndLookAfter(bootFailedAgain), nil
}

// hopeless says whether instances of the Cell have failed to come up often
// enough, with the configuration that its class still has.
func (c *Controller) hopeless(s *scope) bool {
	if readyReason(s.cell) != v1beta1.ReasonBootFailed {
		return false
	}
	for i := len(s.cell.Status.Attempts) - 1; i >= 0; i-- {
		last := s.cell.Status.Attempts[i]
		if last.Code != codeBootTimeout {
			continue
		}
		request, err := c.request(s, &last)
		return err == nil && fingerprint(request, s.class, s.document) == last.Fingerprint
	}
	return false
}

// bootFailures counts the attempts with a configuration that did not come up.
func bootFailures(cell *v1beta1.Cell, fingerprint string) int {
	n := 0
	for i := range cell.Status.Attempts {
		if a := &cell.Status.Attempts[i]; a.Code == codeBootTimeout && a.EndTime != nil && a.Fingerprint == fingerprint {
			n++
		}
	}
	return n
}

// bootedUp notes that a cell has come up: what did not before counts no more.
func bootedUp(cell *v1beta1.Cell) {
	meta.RemoveStatusCondition(&cell.Status.Conditions, v1beta1.ConditionBooted)
	for i := range cell.Status.Attempts {
		if a := &cell.Status.Attempts[i]; a.Code == codeBootTimeout {
			a.Fingerprint = ""
		}
	}
}

// elsewhere is what there is to be had for a Cell some of whose instances did
// not come up: nothing of their types in their zones.
type elsewhere struct {
	catalogue.World
	failed map[[2]string]bool
}

// Dry implements selection.World.
func (e elsewhere) Dry(kind *selection.Type, zone string, market selection.Market) bool {
	return e.failed[[2]string{kind.Name, zone}] || e.World.Dry(kind, zone, market)
}

// avoiding leaves out where instances of the Cell did not come up.
func avoiding(world catalogue.World, cell *v1beta1.Cell) (elsewhere, bool) {
	failed := map[[2]string]bool{}
	for i := range cell.Status.Attempts {
		if a := &cell.Status.Attempts[i]; a.Code == codeBootTimeout && a.Fingerprint != "" {
			failed[[2]string{a.InstanceType, a.Zone}] = true
		}
	}
	return elsewhere{world, failed}, len(failed) > 0
}
