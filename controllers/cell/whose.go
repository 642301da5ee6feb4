package cell

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/launchmark"
)

// launchedFor says whether an instance was launched for the Cell.
func launchedFor(cell *v1beta1.Cell, instance cloud.Instance) bool {
	_, ours := launchmark.Attempt(cell.UID, instance.ClientToken, instance.Tags)
	return ours
}

// misnamed says whether the Cell's status names an instance that is not the
// Cell's own, because somebody has edited it. found and err are what the cloud
// says of that instance.
func (c *Controller) misnamed(ctx context.Context, cell *v1beta1.Cell, found cloud.Instance, err error) (bool, error) {
	id := cell.Status.InstanceID
	switch {
	case err == nil:
		ours := launchedFor(cell, found)
		if ours {
			c.own.note(cell.UID, id)
		}
		return !ours, nil
	case cloud.KindOf(err) != cloud.KindNotFound && cloud.KindOf(err) != cloud.KindInvalid, c.own.has(cell.UID, id):
		return false, nil
	}
	attempt := openAttempt(cell)
	if attempt == nil {
		return false, nil
	}
	real, err := c.Cloud.FindByToken(ctx, clientToken(cell, attempt.Number))
	if err != nil {
		return false, cloud.IgnoreNotFound(err)
	}
	return real.State.Live() && real.ID != id, nil
}

// forgetName takes back what status says of an instance that is not the Cell's.
// The Cell's own is found again as after any crash.
func (c *Controller) forgetName(s *scope) outcome {
	id := s.cell.Status.InstanceID
	message := fmt.Sprintf("status.instanceID: instance %s was not launched for this Cell; its own is looked for", id)
	c.Events.Eventf(s.cell, nil, corev1.EventTypeWarning, v1beta1.ReasonNotItsInstance, "Watch", "%s", message)
	c.probes.forget(s.cell.UID)
	c.Agents.Forget(s.cell.UID)
	status := &s.cell.Status
	status.InstanceID, status.IP, status.PodIP, status.Agent = "", "", "", nil
	notLaunched(s.cell, v1beta1.ReasonLaunching, message)
	return stopAndLookAfter(atOnce)
}

// withoutMisnamed is the Cell, without the instance that its status names where
// that is not its own: it is nobody's to end here.
func (c *Controller) withoutMisnamed(ctx context.Context, cell *v1beta1.Cell) (*v1beta1.Cell, error) {
	id := cell.Status.InstanceID
	if id == "" || c.own.has(cell.UID, id) {
		return cell, nil
	}
	found, err := c.Cloud.Instance(ctx, id)
	wrong, lookErr := c.misnamed(ctx, cell, found, err)
	switch {
	case lookErr != nil:
		return nil, fmt.Errorf("looking whose instance %s is: %w", id, lookErr)
	case wrong || cloud.KindOf(err) == cloud.KindInvalid && err != nil:
		cell = cell.DeepCopy()
		cell.Status.InstanceID = ""
	case err != nil && !cloud.IsNotFound(err):
		return nil, fmt.Errorf("looking whose instance %s is: %w", id, err)
	}
	return cell, nil
}

// ownInstances remembers which instances are known to be of the Cells whose
// status names them.
type ownInstances struct {
	mu  sync.Mutex
	ids map[types.UID]string
}

func newOwnInstances() *ownInstances { return &ownInstances{ids: map[types.UID]string{}} }

func (o *ownInstances) note(cell types.UID, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ids[cell] = id
}

func (o *ownInstances) has(cell types.UID, id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ids[cell] == id
}

func (o *ownInstances) forget(cell types.UID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.ids, cell)
}
