package cell

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/boot/hollow"
	"kip.elotl.co/test/fixture"
)

// uptime is the hollow cells' own, which a test can put forward.
func (b *bench) uptime() *atomic.Int64 {
	var ahead atomic.Int64
	booted := time.Now()
	b.backend.Replace(hollow.New(hollow.Config{Uptime: func() time.Duration { return time.Since(booted) + time.Duration(ahead.Load()) }}))
	return &ahead
}

func powerOff(after time.Duration) func(*v1beta1.CellClassSpec) {
	return func(spec *v1beta1.CellClassSpec) { spec.PowerOffAfter = &metav1.Duration{Duration: after} }
}

// waitPoweredOff waits until the Cell's instance has ended itself.
func (b *bench) waitPoweredOff(cell *v1beta1.Cell) {
	b.Helper()
	fixture.Eventually(b, "the instance ends", func(context.Context) error {
		for _, instance := range b.cloud.Live(cell) {
			if instance.ID == cell.Status.InstanceID {
				return errors.New("it lives")
			}
		}
		return nil
	})
}

// TestCellPowersItselfOff while no operator runs. The one that comes says why on
// the Cell, whose pod fails; nothing is launched in its place, and nothing is
// left stopped.
func TestCellPowersItselfOff(t *testing.T) {
	b := newBench(t)
	ahead := b.uptime()
	b.start().readyClass(powerOff(2 * time.Minute))
	cell := b.ready(b.cell(withPod))
	b.stop()
	ahead.Store(int64(time.Hour))
	b.waitPoweredOff(cell)
	b.clock.Advance(2 * readyCheckEvery)
	b.start()
	is := b.unready(cell, v1beta1.ReasonPoweredOff, cell.Status.InstanceID, "is terminated: "+stateSelf, "hears nothing of the operator for 2m0s (spec.powerOffAfter")
	if is.Status.Phase != v1beta1.CellFailed {
		t.Errorf("phase %s", is.Status.Phase)
	}
	b.event(cell, v1beta1.ReasonPoweredOff)
	b.clock.Advance(time.Hour)
	b.pokeAndWait(cell)
	if n := len(b.cloud.Instances(cell)); n != 1 {
		t.Errorf("%d instances", n)
	}
}

// TestCellWithoutPodPowersItselfOff: it gets another instance when an operator comes.
func TestCellWithoutPodPowersItselfOff(t *testing.T) {
	b := newBench(t)
	ahead := b.uptime()
	b.start().readyClass(powerOff(2 * time.Minute))
	cell := b.ready(b.cell())
	b.stop()
	ahead.Store(int64(time.Hour))
	b.waitPoweredOff(cell)
	b.backend.Replace(hollow.New(hollow.Config{}))
	b.clock.Advance(2 * readyCheckEvery)
	b.start()
	b.wait(cell, "another instance", func(is *v1beta1.Cell) error {
		if is.Status.InstanceID == cell.Status.InstanceID || is.Status.Attempts[0].Code != codeInstanceTerminated {
			return fmt.Errorf("status %+v", is.Status)
		}
		return nil
	})
}

// TestCellStaysOn for ever where the class says so.
func TestCellStaysOn(t *testing.T) {
	b := newBench(t)
	ahead := b.uptime()
	b.start().readyClass(powerOff(0))
	cell := b.ready(b.cell(withPod))
	ahead.Store(int64(10000 * time.Hour))
	b.clock.Advance(2 * readyCheckEvery)
	b.pokeAndWait(cell)
	b.wantOneLaunch(b.ready(cell))
}

// TestSignsOfLife: an agent whose health nobody watches hears of the operator
// again and again.
func TestSignsOfLife(t *testing.T) {
	b := newBench(t)
	agents := b.mutable()
	b.start().readyClass()
	cell := b.ready(b.cell())
	for range 3 {
		before := agents.sent.Load()
		b.clock.Advance(2 * signEvery)
		b.poke(cell)
		fixture.Eventually(t, "a sign of life", func(context.Context) error {
			if agents.sent.Load() == before {
				return errors.New("nothing was sent")
			}
			return nil
		})
	}
	b.wantOneLaunch(b.ready(cell))
}
