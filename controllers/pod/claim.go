package pod

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/crashpoint"
)

// Matcher finds cells for pods among those without one.
type Matcher interface {
	// Fitting gives those of the class's cells that satisfy what a pod asks for, the
	// one to be claimed first. owner is the UID of the pod's controller, or empty.
	Fitting(ctx context.Context, cells []v1beta1.Cell, wanted *v1beta1.CellSpec, class *v1beta1.CellClass, owner string) ([]v1beta1.Cell, error)
}

// freeIndex finds the Cells of a class that have no pod.
const freeIndex = "free"

func freeIndexKey(o client.Object) []string {
	cell := o.(*v1beta1.Cell)
	if cell.Spec.PodRef != nil || !cell.DeletionTimestamp.IsZero() {
		return nil
	}
	return []string{cell.Spec.CellClassName}
}

// takeCell gets the pod, which has no Cell, one: it claims one that is there and
// does, or else makes one. Which of them is written to the pod first, which only
// one operator can do, and the Cell's podRef can be set only once; so a pod has
// one Cell, and a Cell one pod, whenever an operator dies.
func (c *Controller) takeCell(ctx context.Context, s *scope) error {
	class, err := c.classOf(ctx, s.class)
	if err != nil {
		return err
	}
	fitting, err := c.fitting(ctx, s, class)
	if err != nil {
		return err
	}
	if len(fitting) == 0 && cellagent.ChosenCell(s.pod) == "" && !claimsCells(class) {
		return c.createCell(ctx, s)
	}
	for {
		chosen := cellagent.ChosenCell(s.pod)
		if chosen == v1beta1.CellNameForPod(s.pod.UID) {
			return c.createCell(ctx, s)
		}
		if chosen != "" {
			if settled, err := c.claims.claim(ctx, s, chosen, fitting); settled || err != nil {
				return err
			}
		}
		if done, err := c.chooseCell(ctx, s, fitting); done || err != nil {
			return err
		}
	}
}

// claimsCells says whether pods of the class may find cells that are there.
func claimsCells(class *v1beta1.CellClass) bool {
	return class != nil && (class.Spec.ClaimUserCells || len(class.Spec.StandbyCells) > 0)
}

// fitting are the Cells without a pod that satisfy this one's wishes.
func (c *Controller) fitting(ctx context.Context, s *scope, class *v1beta1.CellClass) ([]v1beta1.Cell, error) {
	if c.Fits == nil || class == nil {
		return nil, nil
	}
	var free v1beta1.CellList
	if err := c.Client.List(ctx, &free, client.MatchingFields{freeIndex: s.class}); err != nil {
		return nil, fmt.Errorf("listing Cells without a pod: %w", err)
	}
	if len(free.Items) == 0 {
		return nil, nil
	}
	owner := ""
	if controller := metav1.GetControllerOf(s.pod); controller != nil {
		owner = string(controller.UID)
	}
	return c.Fits.Fitting(ctx, free.Items, &s.wanted, class, owner)
}

// chooseCell writes to the pod which Cell is to be its own. It is done where
// somebody else has written to the pod, or has made it a Cell: an event of that is on
// its way.
func (c *Controller) chooseCell(ctx context.Context, s *scope, fitting []v1beta1.Cell) (done bool, err error) {
	own := v1beta1.CellNameForPod(s.pod.UID)
	name := c.claims.pick(fitting, s.pod.UID)
	if name == "" {
		name = own
	} else if made, err := c.claims.live(ctx, own); made != nil || err != nil {
		return true, err
	}
	before := s.pod.DeepCopy()
	if s.pod.Annotations == nil {
		s.pod.Annotations = map[string]string{}
	}
	s.pod.Annotations[cellagent.AnnotationCell] = cellagent.CellNote(s.pod, name)
	err = c.patchSeen(ctx, before, s.pod, "noting the pod's cell")
	if err != nil {
		c.claims.release(s.pod.UID)
	}
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return true, nil
	}
	return err != nil, err
}

// claims binds Cells to pods.
type claims struct {
	Client client.Client
	Live   client.Reader
	Clock  clock.PassiveClock

	mu sync.Mutex
	// held are the Cells that pods are about to claim, so that pods that come
	// together do not all try for the same.
	held map[types.UID]hold
}

type hold struct {
	pod   types.UID
	until time.Time
}

// holdTime is how long a claim may take before others may try for the Cell.
const holdTime = 10 * time.Second

func newClaims(options Options) *claims {
	return &claims{Client: options.Client, Live: options.Live, Clock: options.Clock, held: map[types.UID]hold{}}
}

// pick holds the first of the Cells for the pod that no other pod is about to
// claim, and gives its name; empty: there is none.
func (k *claims) pick(cells []v1beta1.Cell, pod types.UID) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.Clock.Now()
	for i := range cells {
		other, held := k.held[cells[i].UID]
		if held && other.pod != pod && now.Before(other.until) {
			continue
		}
		k.held[cells[i].UID] = hold{pod, now.Add(holdTime)}
		return cells[i].Name
	}
	return ""
}

// release gives up what a pod was about to claim.
func (k *claims) release(pod types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.held, func(_ types.UID, held hold) bool { return held.pod == pod })
}

// gone forgets a Cell that is gone.
func (k *claims) gone(cell types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, cell)
}

// lost has everybody leave those of the Cells alone that have the name: the cache
// shows them as free, which they are not.
func (k *claims) lost(cells []v1beta1.Cell, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range cells {
		if cells[i].Name == name {
			k.held[cells[i].UID] = hold{until: k.Clock.Now().Add(holdTime)}
		}
	}
}

// live reads a Cell around the cache; nil where there is none of the name.
func (k *claims) live(ctx context.Context, name string) (*v1beta1.Cell, error) {
	if name == "" {
		return nil, nil
	}
	cell := &v1beta1.Cell{}
	err := k.Live.Get(ctx, client.ObjectKey{Name: name}, cell)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Cell %s: %w", name, err)
	}
	return cell, nil
}

func isOf(cell *v1beta1.Cell, pod *corev1.Pod) bool {
	return cell.Spec.PodRef != nil && cell.Spec.PodRef.UID == string(pod.UID)
}

// claim binds the Cell that was chosen for the pod to it. It is settled when the
// Cell is the pod's; otherwise it will not be, and another is to be chosen.
func (k *claims) claim(ctx context.Context, s *scope, name string, fitting []v1beta1.Cell) (settled bool, err error) {
	cell, err := k.live(ctx, name)
	switch {
	case err != nil:
		return false, err
	case cell != nil && isOf(cell, s.pod) && cell.DeletionTimestamp.IsZero():
		return true, nil
	case cell == nil || cell.Spec.PodRef != nil || !cell.DeletionTimestamp.IsZero() || !among(fitting, cell):
		k.lost(fitting, name)
		return false, nil
	}
	before := cell.DeepCopy()
	cell.Spec.PodRef = s.wanted.PodRef.DeepCopy()
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	crashpoint.Reach(ctx, crashpoint.CellClaimBefore, cell)
	err = k.Client.Patch(ctx, cell, patch)
	crashpoint.Reach(ctx, crashpoint.CellClaimAfter, cell)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return k.claim(ctx, s, name, fitting) // as it is now
	}
	if err != nil {
		return false, fmt.Errorf("claiming Cell %s: %w", name, err)
	}
	return true, nil
}

func among(cells []v1beta1.Cell, cell *v1beta1.Cell) bool {
	for i := range cells {
		if cells[i].UID == cell.UID {
			return true
		}
	}
	return false
}
