package cell

import (
	"context"
	"errors"
	"fmt"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
)

// How soon and how often to look whether an instance has ended. EC2 takes
// about half a minute for it.
const (
	endCheckFirst = 300 * time.Millisecond
	endCheckMost  = 5 * time.Second
)

// terminate ends the Cell's instance and lets the Cell go when the cloud says
// that the instance is gone.
func (c *Controller) terminate(ctx context.Context, cell *v1beta1.Cell) (ctrl.Result, error) {
	c.probes.forget(cell.UID)
	c.Agents.Forget(cell.UID)
	if !controllerutil.ContainsFinalizer(cell, v1beta1.Finalizer) {
		return ctrl.Result{}, nil
	}
	if id := cell.Status.InstanceID; id != "" && readyReason(cell) != v1beta1.ReasonTerminating {
		return c.beginEnd(ctx, cell, id)
	}
	live, unsure, err := c.liveInstances(ctx, cell)
	if err != nil {
		return ctrl.Result{}, err
	}
	for _, instance := range live {
		if err := c.end(ctx, instance); err != nil {
			return ctrl.Result{}, err
		}
	}
	if len(live) > 0 || unsure {
		return ctrl.Result{RequeueAfter: endCheck(c.Clock.Since(cell.DeletionTimestamp.Time))}, nil
	}
	controllerutil.RemoveFinalizer(cell, v1beta1.Finalizer)
	if err := c.Client.Update(ctx, cell); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("removing the finalizer: %w", err))
	}
	c.written.NoteRemoved(cell)
	return ctrl.Result{}, nil
}

// beginEnd asks for the end of the instance without looking at it first, and
// says so in status.
func (c *Controller) beginEnd(ctx context.Context, cell *v1beta1.Cell, id string) (ctrl.Result, error) {
	s := &scope{cell: cell, before: cell.DeepCopy()}
	if err := c.end(ctx, cloud.Instance{ID: id, State: cloud.StateRunning}); err != nil {
		notReady(cell, v1beta1.ReasonCloudError, fmt.Sprintf("instance %s costs money until it can be ended", id))
		return ctrl.Result{}, errors.Join(err, client.IgnoreNotFound(c.writeStatus(ctx, s)))
	}
	notReady(cell, v1beta1.ReasonTerminating, fmt.Sprintf("ending instance %s", id))
	if err := c.writeStatus(ctx, s); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	return ctrl.Result{RequeueAfter: endCheckFirst}, nil
}

// liveInstances are the Cell's instances that have not ended. unsure: the
// cloud may not show one yet.
func (c *Controller) liveInstances(ctx context.Context, cell *v1beta1.Cell) (live []cloud.Instance, unsure bool, err error) {
	attempt := openAttempt(cell)
	var found cloud.Instance
	switch {
	case cell.Status.InstanceID != "":
		found, err = c.Cloud.Instance(ctx, cell.Status.InstanceID)
	case attempt != nil:
		found, err = c.Cloud.FindByToken(ctx, clientToken(cell, attempt.Number))
	case len(cell.Status.Attempts) == 0 && !c.fresh.has(cell.UID):
		return c.liveByTags(ctx, cell)
	default:
		return nil, false, nil
	}
	switch {
	case cloud.IsNotFound(err):
		return nil, attempt != nil && c.mayBeHidden(cell, attempt), nil
	case err != nil:
		return nil, false, fmt.Errorf("looking at the instance: %w", err)
	case found.State == cloud.StateTerminated:
		return nil, false, nil
	}
	return []cloud.Instance{found}, false, nil
}

func (c *Controller) liveByTags(ctx context.Context, cell *v1beta1.Cell) (live []cloud.Instance, unsure bool, err error) {
	found, err := c.Cloud.FindByTags(ctx, c.identityTags(cell))
	if err != nil {
		return nil, false, fmt.Errorf("looking for instances of this Cell: %w", err)
	}
	for _, instance := range found {
		if instance.State != cloud.StateTerminated {
			live = append(live, instance)
		}
	}
	return live, false, nil
}

// end asks for the end of an instance that is not ending yet.
func (c *Controller) end(ctx context.Context, instance cloud.Instance) error {
	if !instance.State.Live() {
		return nil
	}
	if err := cloud.IgnoreNotFound(c.Cloud.Terminate(ctx, instance.ID)); err != nil {
		return fmt.Errorf("ending instance %s: %w", instance.ID, err)
	}
	return nil
}

// endCheck is a tenth of the time waited, within bounds.
func endCheck(waited time.Duration) time.Duration {
	return min(max(waited/10, endCheckFirst), endCheckMost)
}

// forget drops what is kept in memory of a Cell.
func (c *Controller) forget(cell *v1beta1.Cell) {
	c.probes.forget(cell.UID)
	c.Agents.Forget(cell.UID)
	c.checks.forget(cell.UID)
	c.calls.forget(cell.UID)
	c.fresh.remove(cell.UID)
	c.written.Forget(cell.UID)
}
