package standby

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellspec"
)

// plan is what makes a class's standby cells those that it asks for.
type plan struct {
	make []v1beta1.Cell
	end  []*v1beta1.Cell
	// next is when one gets too old, from now; zero: none does.
	next time.Duration
}

// planOf plans by all Cells of the class.
func planOf(class *v1beta1.CellClass, cells []v1beta1.Cell, now time.Time) plan {
	p := plan{}
	wanted := class.Spec.StandbyCells
	if !class.DeletionTimestamp.IsZero() {
		wanted = nil
	}
	taken, free := map[string]bool{}, map[key][]*v1beta1.Cell{}
	for i := range cells {
		cell := &cells[i]
		taken[cell.Name] = true
		switch {
		case cell.Spec.PodRef != nil, !cell.DeletionTimestamp.IsZero():
		case cell.Spec.ReservedFor != nil:
			p.keepUntil(cell, reservedTime, now)
		case cell.Labels[v1beta1.LabelStandby] != "":
			free[keyOf(cell)] = append(free[keyOf(cell)], cell)
		}
	}
	for i := range wanted {
		k := wantedKey(class, &wanted[i])
		p.fill(class, &wanted[i], free[k], taken, now)
		delete(free, k)
	}
	for _, left := range free {
		p.end = append(p.end, left...)
	}
	return p
}

// key is which of the class's standby cells a Cell is one of.
type key struct {
	instanceType string
	launchType   v1beta1.LaunchType
	zone         string
}

func keyOf(cell *v1beta1.Cell) key {
	return key{cell.Spec.InstanceType, cell.Spec.LaunchType, cell.Spec.Zone}
}

func wantedKey(class *v1beta1.CellClass, of *v1beta1.StandbyCells) key {
	return key{of.InstanceType, cmp.Or(of.LaunchType, class.Spec.DefaultLaunchType), of.Zone}
}

// keepUntil ends a Cell once it is of an age, and looks again then.
func (p *plan) keepUntil(cell *v1beta1.Cell, age time.Duration, now time.Time) (kept bool) {
	left := cell.CreationTimestamp.Add(age).Sub(now)
	if left <= 0 {
		p.end = append(p.end, cell)
		return false
	}
	p.lookAfter(left)
	return true
}

func (p *plan) lookAfter(left time.Duration) {
	if p.next == 0 || left < p.next {
		p.next = left
	}
}

// fill plans for one of the class's entries. Those that have drifted are of no
// use to anybody and go at once; those that are too old go once the others are
// Ready that take their place.
func (p *plan) fill(class *v1beta1.CellClass, wanted *v1beta1.StandbyCells, have []*v1beta1.Cell, taken map[string]bool, now time.Time) {
	var fresh, old []*v1beta1.Cell
	ready := int32(0)
	for _, cell := range have {
		left := leftOf(cell, wanted, now)
		switch {
		case meta.IsStatusConditionTrue(cell.Status.Conditions, v1beta1.ConditionDrifted):
			p.end = append(p.end, cell)
			continue
		case left <= 0:
			old = append(old, cell)
			continue
		case isReady(cell):
			ready++
		}
		fresh = append(fresh, cell)
		if left < never {
			p.lookAfter(left)
		}
	}
	if ready >= wanted.Count {
		p.end = append(p.end, old...)
	}
	if surplus := len(fresh) - int(wanted.Count); surplus > 0 {
		slices.SortFunc(fresh, dispensableFirst)
		p.end = append(p.end, fresh[:surplus]...)
	}
	if cellspec.ClassProblem(class) != nil {
		return
	}
	for n, k := len(fresh), 0; n < int(wanted.Count); k++ {
		if cell := newCell(class, wantedKey(class, wanted), k); !taken[cell.Name] {
			p.make = append(p.make, cell)
			n++
		}
	}
}

const never = time.Duration(1<<63 - 1)

// leftOf is how long a Cell may still wait for a pod, from when it was Ready.
func leftOf(cell *v1beta1.Cell, wanted *v1beta1.StandbyCells, now time.Time) time.Duration {
	if wanted.MaxAge == nil || wanted.MaxAge.Duration == 0 {
		return never
	}
	for _, reached := range cell.Status.PhaseTimes {
		if reached.Phase == v1beta1.CellReady {
			return reached.Time.Add(wanted.MaxAge.Duration).Sub(now)
		}
	}
	return never
}

func isReady(cell *v1beta1.Cell) bool {
	return meta.IsStatusConditionTrue(cell.Status.Conditions, v1beta1.ConditionReady)
}

// dispensableFirst puts those first that are not Ready, then the oldest.
func dispensableFirst(a, b *v1beta1.Cell) int {
	order := func(cell *v1beta1.Cell) int {
		if isReady(cell) {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(order(a), order(b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

// newCell is the n-th Cell of a kind. Whoever makes it gives it the same name.
func newCell(class *v1beta1.CellClass, of key, n int) v1beta1.Cell {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %s %s %d", class.UID, of.instanceType, of.launchType, of.zone, n))
	return v1beta1.Cell{
		ObjectMeta: metav1.ObjectMeta{
			Name:       "standby-" + class.Name + "-" + hex.EncodeToString(sum[:5]),
			Labels:     map[string]string{v1beta1.LabelCellClass: class.Name, v1beta1.LabelStandby: "true"},
			Finalizers: []string{v1beta1.Finalizer},
		},
		Spec: v1beta1.CellSpec{CellClassName: class.Name, InstanceType: of.instanceType, LaunchType: of.launchType, Zone: of.zone},
	}
}
