// Package boottest is a back end for tests: its machines are nothing but a
// flag that says whether they run.
package boottest

import (
	"context"
	"errors"
	"sync"

	"kip.elotl.co/hack/localaws/boot"
)

// Backend keeps its machines in memory, over restarts of the emulator that are
// played with the same Backend. The zero value is ready.
type Backend struct {
	mu       sync.Mutex
	machines map[string]*Machine
	specs    []boot.Spec
	gate     chan struct{}
	failures int
}

// Machine is a machine that runs until it is stopped or ended.
type Machine struct {
	once sync.Once
	done chan struct{}
}

// Hold lets no machine start until the function it returns is called.
func (b *Backend) Hold() (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	gate := make(chan struct{})
	b.gate = gate
	return sync.OnceFunc(func() { close(gate) })
}

// Fail makes the next n starts fail.
func (b *Backend) Fail(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = n
}

// Start implements boot.Backend.
func (b *Backend) Start(ctx context.Context, spec boot.Spec) (boot.Machine, error) {
	b.mu.Lock()
	gate := b.gate
	b.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures > 0 {
		b.failures--
		return nil, errors.New("no machine today")
	}
	m := &Machine{done: make(chan struct{})}
	if b.machines == nil {
		b.machines = map[string]*Machine{}
	}
	b.machines[spec.InstanceID] = m
	b.specs = append(b.specs, spec)
	return m, nil
}

// Recover implements boot.Backend.
func (b *Backend) Recover(_ context.Context, spec boot.Spec) (boot.Machine, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.machines[spec.InstanceID]
	if m == nil || !m.running() {
		return nil, boot.ErrGone
	}
	return m, nil
}

// Specs are the specs of all machines started, in that order.
func (b *Backend) Specs() []boot.Spec {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]boot.Spec(nil), b.specs...)
}

// Running is how many machines run.
func (b *Backend) Running() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, m := range b.machines {
		if m.running() {
			n++
		}
	}
	return n
}

// End ends the guest of an instance from the inside.
func (b *Backend) End(instanceID string) {
	b.mu.Lock()
	m := b.machines[instanceID]
	b.mu.Unlock()
	m.end()
}

func (m *Machine) running() bool {
	select {
	case <-m.done:
		return false
	default:
		return true
	}
}

func (m *Machine) end() { m.once.Do(func() { close(m.done) }) }

// Done implements boot.Machine.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Stop implements boot.Machine.
func (m *Machine) Stop(context.Context) error {
	m.end()
	return nil
}

// Console implements boot.Machine.
func (m *Machine) Console() []byte { return []byte("booted\n") }
