package imds

import (
	"context"
	"net/netip"
	"sync"

	"kip.elotl.co/hack/localaws/boot"
)

// Directory is a Source that learns of instances by standing in front of the
// back end that boots them.
type Directory struct {
	boot.Backend

	mu    sync.RWMutex
	specs map[netip.Addr]entry
}

type entry struct {
	spec boot.Spec
	role Role
}

// NewDirectory stands in front of a back end.
func NewDirectory(b boot.Backend) *Directory {
	return &Directory{Backend: b, specs: map[netip.Addr]entry{}}
}

// BySourceIP implements Source.
func (d *Directory) BySourceIP(addr netip.Addr) (boot.Spec, Role, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e, ok := d.specs[addr]
	return e.spec, e.role, ok
}

// Start implements boot.Backend. The instance is known from before it runs
// until its machine is done.
func (d *Directory) Start(ctx context.Context, spec boot.Spec) (boot.Machine, error) {
	return d.follow(spec, func() (boot.Machine, error) { return d.Backend.Start(ctx, spec) })
}

// Recover implements boot.Backend.
func (d *Directory) Recover(ctx context.Context, spec boot.Spec) (boot.Machine, error) {
	return d.follow(spec, func() (boot.Machine, error) { return d.Backend.Recover(ctx, spec) })
}

func (d *Directory) follow(spec boot.Spec, begin func() (boot.Machine, error)) (boot.Machine, error) {
	d.add(spec)
	m, err := begin()
	if err != nil {
		d.remove(spec)
		return nil, err
	}
	go func() {
		<-m.Done()
		d.remove(spec)
	}()
	return m, nil
}

func (d *Directory) add(spec boot.Spec) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, addr := range spec.PrivateIPs {
		role := Secondary
		if i == 0 {
			role = Primary
		}
		d.specs[addr] = entry{spec, role}
	}
}

// remove forgets the instance, unless another has got the address already.
func (d *Directory) remove(spec boot.Spec) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, addr := range spec.PrivateIPs {
		if d.specs[addr].spec.InstanceID == spec.InstanceID {
			delete(d.specs, addr)
		}
	}
}
