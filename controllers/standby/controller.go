// Package standby keeps the cells of each class that wait for a pod, and
// replaces cells whose class has changed.
package standby

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/crashpoint"
)

// Options are what a Controller is made of.
type Options struct {
	Client client.Client
	Events events.EventRecorder
	Clock  clock.PassiveClock
}

// Controller reconciles the standby cells of CellClasses.
type Controller struct {
	Options
	mu sync.Mutex
	// evicted are the pods that this process has evicted, by the UID of their Cell,
	// until that is gone.
	evicted map[types.UID]types.UID
}

// New makes a Controller; SetupWithManager registers it.
func New(options Options) *Controller {
	return &Controller{Options: options, evicted: map[types.UID]types.UID{}}
}

// Reconcile makes the standby cells that a class lacks, ends those that it has
// beyond, and has drifted cells replaced where the class says so.
func (c *Controller) Reconcile(ctx context.Context, class *v1beta1.CellClass) (ctrl.Result, error) {
	var cells v1beta1.CellList
	if err := c.Client.List(ctx, &cells, client.MatchingFields{classIndex: class.Name}); err != nil {
		return ctrl.Result{}, fmt.Errorf("listing the class's Cells: %w", err)
	}
	plan := planOf(class, cells.Items, c.Clock.Now())
	var errs []error
	for i := range plan.make {
		errs = append(errs, c.create(ctx, &plan.make[i]))
	}
	for _, cell := range plan.end {
		errs = append(errs, c.end(ctx, cell))
	}
	again, err := c.replaceDrifted(ctx, class, cells.Items)
	if plan.next > 0 && (again == 0 || plan.next < again) {
		again = plan.next
	}
	return ctrl.Result{RequeueAfter: again}, errors.Join(append(errs, err)...)
}

// create makes a Cell whose name follows from what it is for, so that it is made
// once, whatever the cache shows.
func (c *Controller) create(ctx context.Context, cell *v1beta1.Cell) error {
	crashpoint.Reach(ctx, crashpoint.StandbyCreateBefore, cell)
	err := c.Client.Create(ctx, cell)
	crashpoint.Reach(ctx, crashpoint.StandbyCreateAfter, cell)
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making a standby Cell: %w", err)
	}
	return nil
}

// end deletes a Cell as it was seen, without a pod: one that was claimed since
// stays.
func (c *Controller) end(ctx context.Context, cell *v1beta1.Cell) error {
	asSeen := client.Preconditions{UID: &cell.UID, ResourceVersion: &cell.ResourceVersion}
	crashpoint.Reach(ctx, crashpoint.StandbyDeleteBefore, cell)
	err := c.Client.Delete(ctx, cell, asSeen)
	crashpoint.Reach(ctx, crashpoint.StandbyDeleteAfter, cell)
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting standby Cell %s: %w", cell.Name, err)
	}
	return nil
}

// reservedTime is how long a Cell is kept for a pod that does not come.
const reservedTime = 10 * time.Minute
