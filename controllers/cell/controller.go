// Package cell keeps the life of one cell: it launches the instance that a
// Cell asks for, waits for its agent, watches that it stays, and ends it.
package cell

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/cloudinit"
	"kip.elotl.co/internal/crashpoint"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/ownwrites"
	"kip.elotl.co/internal/pki"
)

// Cloud is what this controller needs of the cloud.
type Cloud interface {
	cloud.Instances
	cloud.Statuses
	cloud.Routes
	cloud.Parameters
	cloud.Profiles
}

// Agents gives the client of a cell's agent; it verifies the cell's own name.
type Agents interface {
	Client(address string, id pki.CellID) (*itzo.Client, error)
	Forget(cell types.UID)
}

// Options are what a Controller is made of.
type Options struct {
	Client client.Client
	Cloud  Cloud
	// Catalogue is what can be bought.
	Catalogue *catalogue.Catalogue
	// Authority issues what a cell proves its identity with.
	Authority pki.Source
	Agents    Agents
	Events    events.EventRecorder
	Clock     clock.WithTicker
	// Metrics takes the controller's own metrics; nil: nobody does.
	Metrics prometheus.Registerer
	// ClusterID tags all that this cluster makes in the cloud.
	ClusterID string
	// ClusterUID does too, where ClusterID is not one of its own; else empty.
	ClusterUID string
	// Namespace is the operator's own.
	Namespace string
	// OwnAgent is for classes that name no other.
	OwnAgent AgentSource
}

// Controller reconciles Cells.
type Controller struct {
	Options
	// fresh are the Cells that this process has seen appear and has not yet tried
	// to launch. No instance can exist for them. For any other Cell without
	// attempts the status may have been lost, so the cloud is asked first.
	fresh *cellSet
	// ending are the Cells for whose instances this process has asked the end.
	ending  *cellSet
	own     *ownInstances
	written *ownwrites.Versions
	// capacity remembers what had none.
	capacity *catalogue.Capacity
	rules    *classRules
	checks   *checks
	// signs are the signs of life for agents that nobody asks.
	signs *checks
	// statuses are the looks at what the cloud says of ready cells.
	statuses *checks
	calls    *launchCalls
	probes   *prober
	stores   *stores
	roles    *roleIDs
	renewals *renewals
	running  *running
}

// New makes a Controller; SetupWithManager registers it.
func New(options Options) *Controller {
	return &Controller{
		Options:  options,
		fresh:    newCellSet(),
		ending:   newCellSet(),
		own:      newOwnInstances(),
		written:  ownwrites.New(),
		capacity: catalogue.NewCapacity(options.Clock),
		rules:    newClassRules(),
		checks:   newChecks(options.Clock),
		signs:    newChecks(options.Clock),
		statuses: newChecks(options.Clock),
		calls:    newLaunchCalls(options.Clock),
		probes:   newProber(options.Agents, options.Clock),
		stores:   newStores(options.Clock),
		roles:    newRoleIDs(options.Clock),
		renewals: newRenewals(options.Clock),
		running:  newRunning(),
	}
}

// scope is what one reconcile has read and found out about its Cell.
type scope struct {
	cell   *v1beta1.Cell
	before *v1beta1.Cell
	class  *v1beta1.CellClass // nil when it does not exist
	// document is the class's cloud-init document; documentErr, a
	// *cloudinit.SourceError, is why it cannot be had.
	document    string
	documentErr error
	// storeErr is why the cell's parameters could not be stored.
	storeErr error
}

// outcome is what a step leads to.
type outcome struct {
	// done: the steps after this one have nothing to do for now.
	done bool
	// after is when to look again without an event; zero: never.
	after time.Duration
}

func proceed() outcome                         { return outcome{} }
func stop() outcome                            { return outcome{done: true} }
func stopAndLookAfter(d time.Duration) outcome { return outcome{done: true, after: d} }

// Reconcile brings one Cell a step further.
func (c *Controller) Reconcile(ctx context.Context, cell *v1beta1.Cell) (ctrl.Result, error) {
	if c.written.Stale(cell) {
		return ctrl.Result{}, nil
	}
	if !cell.DeletionTimestamp.IsZero() {
		if err := c.heedLast(ctx, cell); err != nil {
			return ctrl.Result{}, err
		}
		return c.terminate(ctx, cell)
	}
	if err := c.addFinalizer(ctx, cell); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	s := &scope{cell: cell, before: cell.DeepCopy()}
	if err := c.readClass(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	after, stepErr := c.runSteps(ctx, s)
	if err := c.writeStatus(ctx, s); err != nil {
		if !apierrors.IsNotFound(err) {
			c.stores.now(cell.UID) // for which role they are stored was not written down
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	return ctrl.Result{RequeueAfter: after}, stepErr
}

// addFinalizer changes the metadata alone: an update would write the
// quantities of the spec anew, in another spelling than the user's.
func (c *Controller) addFinalizer(ctx context.Context, cell *v1beta1.Cell) error {
	before := cell.DeepCopy()
	if !controllerutil.AddFinalizer(cell, v1beta1.Finalizer) {
		return nil
	}
	crashpoint.Reach(ctx, crashpoint.CellFinalizerAddBefore, cell)
	err := c.Client.Patch(ctx, cell, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	crashpoint.Reach(ctx, crashpoint.CellFinalizerAddAfter, cell)
	if err != nil {
		return fmt.Errorf("adding the finalizer: %w", err)
	}
	return nil
}

func (c *Controller) runSteps(ctx context.Context, s *scope) (time.Duration, error) {
	var after time.Duration
	for _, step := range []func(context.Context, *scope) (outcome, error){
		c.launch, c.endUnbooted, c.heedNotices, c.drift, c.watchInstance, c.parameters, c.boot, c.watchHealth, c.watchStatus, c.signOfLife, c.renew,
	} {
		result, err := step(ctx, s)
		if err != nil {
			return 0, err
		}
		if result.after > 0 && (after == 0 || result.after < after) {
			after = result.after
		}
		if result.done {
			break
		}
	}
	return after, nil
}

func (c *Controller) readClass(ctx context.Context, s *scope) error {
	class := &v1beta1.CellClass{}
	err := c.Client.Get(ctx, client.ObjectKey{Name: s.cell.Spec.CellClassName}, class)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading CellClass %q: %w", s.cell.Spec.CellClassName, err)
	}
	s.class = class
	s.document, s.documentErr = cloudinit.Read(ctx, c.Client, c.Namespace, class)
	if missing := (*cloudinit.SourceError)(nil); s.documentErr != nil && !errors.As(s.documentErr, &missing) {
		return s.documentErr
	}
	return nil
}

// writeStatus computes what follows from the rest and writes the status when
// anything changed; the write fails when somebody else wrote in between, or
// when the Cell is gone, finalizer and all: nothing must be launched for it then.
func (c *Controller) writeStatus(ctx context.Context, s *scope) error {
	c.summarize(s)
	if equality.Semantic.DeepEqual(s.before.Status, s.cell.Status) {
		return nil
	}
	crashpoint.Reach(ctx, crashpoint.CellStatusBefore, s.cell)
	err := c.Client.Status().Update(ctx, s.cell)
	crashpoint.Reach(ctx, crashpoint.CellStatusAfter, s.cell)
	if err != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	c.written.Note(s.cell)
	c.announce(s)
	s.before = s.cell.DeepCopy()
	return nil
}

// announce makes an event of a problem that is new, and of the agent's first answer.
func (c *Controller) announce(s *scope) {
	// Without a version of the Cell, equal events become one series.
	about := &corev1.ObjectReference{APIVersion: v1beta1.GroupVersion.String(), Kind: "Cell", Name: s.cell.Name, UID: s.cell.UID}
	wasBooted, booted := meta.FindStatusCondition(s.before.Status.Conditions, v1beta1.ConditionBooted), meta.FindStatusCondition(s.cell.Status.Conditions, v1beta1.ConditionBooted)
	if booted != nil && (wasBooted == nil || wasBooted.Message != booted.Message) {
		c.Events.Eventf(about, nil, corev1.EventTypeWarning, booted.Reason, "Boot", "%s", short(booted.Message))
	}
	c.announceTrouble(s, about)
	was, is := readyCondition(s.before), readyCondition(s.cell)
	if is == nil || (was != nil && was.Reason == is.Reason && was.Message == is.Message) {
		return
	}
	note := short(is.Message) // an event takes no more
	switch is.Reason {
	case v1beta1.ReasonLaunching, v1beta1.ReasonWaitingForAgent, v1beta1.ReasonTerminating, v1beta1.ReasonBootTimeout:
	case v1beta1.ReasonAgentAnswers:
		c.Events.Eventf(about, nil, corev1.EventTypeNormal, is.Reason, "Boot", "%s", note)
	default:
		c.Events.Eventf(about, nil, corev1.EventTypeWarning, is.Reason, "Launch", "%s", note)
	}
}
