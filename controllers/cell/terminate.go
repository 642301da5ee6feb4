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
	"kip.elotl.co/internal/crashpoint"
)

// terminate ends what leads to the Cell's instance and the instance, and lets
// the Cell go when the cloud says that both are gone.
func (c *Controller) terminate(ctx context.Context, cell *v1beta1.Cell) (ctrl.Result, error) {
	c.probes.forget(cell.UID)
	c.Agents.Forget(cell.UID)
	if !controllerutil.ContainsFinalizer(cell, v1beta1.Finalizer) {
		return ctrl.Result{}, nil
	}
	// Routes that cannot be ended hold up the Cell, not the end of what costs money.
	routesErr := client.IgnoreNotFound(c.endRoutes(ctx, cell))
	result, ended, err := c.endInstances(ctx, cell)
	if err := errors.Join(routesErr, err); err != nil {
		return ctrl.Result{}, err
	}
	if !ended {
		return result, nil
	}
	controllerutil.RemoveFinalizer(cell, v1beta1.Finalizer)
	crashpoint.Reach(ctx, crashpoint.CellFinalizerRemoveBefore, cell)
	err = c.Client.Update(ctx, cell)
	crashpoint.Reach(ctx, crashpoint.CellFinalizerRemoveAfter, cell)
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("removing the finalizer: %w", err))
	}
	c.written.NoteRemoved(cell)
	return ctrl.Result{}, nil
}

// endInstances brings the end of the Cell's instances a step further.
func (c *Controller) endInstances(ctx context.Context, cell *v1beta1.Cell) (result ctrl.Result, ended bool, err error) {
	if cell, err = c.withoutMisnamed(ctx, cell); err != nil {
		return ctrl.Result{}, false, err
	}
	if id := cell.Status.InstanceID; id != "" && !c.ending.has(cell.UID) {
		result, err = c.beginEnd(ctx, cell, id)
		return result, false, err
	}
	live, unsure, err := c.liveInstances(ctx, cell)
	if err != nil {
		return ctrl.Result{}, false, err
	}
	for _, instance := range live {
		if err := errors.Join(c.end(ctx, cell, instance), c.endParameters(ctx, cell, instance.ID)); err != nil {
			return ctrl.Result{}, false, err
		}
	}
	if len(live) == 0 && !unsure {
		if err := c.endParameters(ctx, cell, cell.Status.InstanceID); err != nil {
			s := &scope{cell: cell, before: cell.DeepCopy()}
			notReady(cell, reasonOf(err), err.Error())
			return ctrl.Result{}, false, errors.Join(err, client.IgnoreNotFound(c.writeStatus(ctx, s)))
		}
		return ctrl.Result{}, true, nil
	}
	waited := c.Clock.Since(cell.DeletionTimestamp.Time)
	return ctrl.Result{RequeueAfter: endCheck(waited)}, false, client.IgnoreNotFound(c.sayEnding(ctx, cell, waited))
}

// beginEnd asks for the end of the instance without looking at it first.
func (c *Controller) beginEnd(ctx context.Context, cell *v1beta1.Cell, id string) (ctrl.Result, error) {
	if err := c.end(ctx, cell, cloud.Instance{ID: id, State: cloud.StateRunning}); err != nil {
		s := &scope{cell: cell, before: cell.DeepCopy()}
		notReady(cell, reasonOf(err), fmt.Sprintf("instance %s costs money until it can be ended: %v", id, err))
		return ctrl.Result{}, errors.Join(err, client.IgnoreNotFound(c.writeStatus(ctx, s)))
	}
	c.ending.add(cell.UID)
	return ctrl.Result{RequeueAfter: endCheckFirst}, nil
}

// sayEnding says in status what the Cell waits for: when that takes long, or
// when the status says that the end was refused.
func (c *Controller) sayEnding(ctx context.Context, cell *v1beta1.Cell, waited time.Duration) error {
	reason := readyReason(cell)
	if waited < slowEnd && reason != v1beta1.ReasonCloudError && reason != v1beta1.ReasonThrottled && reason != v1beta1.ReasonNotAuthorized {
		return nil
	}
	s := &scope{cell: cell, before: cell.DeepCopy()}
	message := "looking for an instance that the last attempt may have launched"
	if id := cell.Status.InstanceID; id != "" {
		message = fmt.Sprintf("waiting until instance %s is terminated", id)
	}
	notReady(cell, v1beta1.ReasonTerminating, message)
	return c.writeStatus(ctx, s)
}

// liveInstances are the Cell's instances that have not ended. unsure: the
// cloud may not show one yet.
func (c *Controller) liveInstances(ctx context.Context, cell *v1beta1.Cell) (live []cloud.Instance, unsure bool, err error) {
	live, unsure, err = c.knownInstance(ctx, cell)
	if err != nil || unsure || len(live) > 0 || !doubtful(cell) {
		return live, unsure, err
	}
	return c.liveByTags(ctx, cell)
}

// knownInstance is the same of what status leads to.
func (c *Controller) knownInstance(ctx context.Context, cell *v1beta1.Cell) (live []cloud.Instance, unsure bool, err error) {
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
		return nil, c.mayBeHidden(cell), nil
	case err != nil:
		return nil, false, fmt.Errorf("looking at the instance: %w", err)
	case found.State == cloud.StateTerminated:
		return nil, false, nil
	}
	return []cloud.Instance{found}, false, nil
}

func (c *Controller) liveByTags(ctx context.Context, cell *v1beta1.Cell) (live []cloud.Instance, unsure bool, err error) {
	found, err := c.findByTags(ctx, cell)
	if err != nil {
		return nil, false, err
	}
	for _, instance := range found {
		if instance.State != cloud.StateTerminated {
			live = append(live, instance)
		}
	}
	return live, false, nil
}

// end asks for the end of an instance that is not ending yet.
func (c *Controller) end(ctx context.Context, cell *v1beta1.Cell, instance cloud.Instance) error {
	if !instance.State.Live() {
		return nil
	}
	crashpoint.Reach(ctx, crashpoint.TerminateBefore, cell)
	err := cloud.IgnoreNotFound(c.Cloud.Terminate(ctx, instance.ID))
	crashpoint.Reach(ctx, crashpoint.TerminateAfter, cell)
	if err != nil {
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
	c.capacity.Released(cell.UID)
	c.probes.forget(cell.UID)
	c.Agents.Forget(cell.UID)
	c.checks.forget(cell.UID)
	c.signs.forget(cell.UID)
	c.statuses.forget(cell.UID)
	c.calls.forget(cell.UID)
	c.stores.forget(cell.UID)
	c.renewals.forget(cell.UID)
	c.running.forget(cell.UID)
	c.fresh.remove(cell.UID)
	c.ending.remove(cell.UID)
	c.own.forget(cell.UID)
	c.written.Forget(cell.UID)
}
