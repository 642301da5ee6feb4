// Package world is the state behind the emulated EC2: which instances there
// are, what they are called, and where they are in their lives. Machines are
// brought up and down by a boot back end; no lock is held meanwhile.
package world

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/iam"
	"kip.elotl.co/hack/localaws/market"
)

// Capacity says what the cloud has too little of.
type Capacity interface {
	// Dry says whether an offering has no capacity.
	Dry(instanceType, zone, market string) bool
	// VCPULimit is the account's quota of running vCPUs in a market.
	VCPULimit(market string) (limit int, ok bool)
	// GroupLimit is the same for one group of families.
	GroupLimit(group, market string) (limit int, ok bool)
	// Full says whether a subnet has no addresses left, whatever is in use.
	Full(subnet string) bool
}

// Config is what a world needs.
type Config struct {
	Catalog  *catalog.Catalog
	Backend  boot.Backend
	Capacity Capacity
	// Market has the Spot prices; when nil Open opens one.
	Market *market.Market
	Clock  clock.Clock
	Log    logr.Logger
	// IAM has the instance profiles; when nil Open opens one.
	IAM *iam.Store
	// Dir is where the state is kept.
	Dir string
	// PendingDelay is how long a launch stays pending at least, ShutdownDelay
	// the same for shutting-down.
	PendingDelay, ShutdownDelay time.Duration
	// ConsistencyDelay is how long after a launch all calls but the launch
	// itself do not know the instance.
	ConsistencyDelay time.Duration
	// ListedFor is how long terminated instances stay listed; 0 means an hour,
	// as on EC2.
	ListedFor time.Duration
}

// World is safe for concurrent use.
type World struct {
	Config

	// background is cancelled by Close: it bounds waits, never Stop.
	background context.Context
	cancel     context.CancelFunc
	lives      sync.WaitGroup

	mu           sync.RWMutex
	closed       bool
	seq          int64
	slots        map[string]*slot             // by instance id
	reservations map[string]*reservation      // by reservation id
	tokens       map[string]*reservation      // by client token
	used         map[netip.Addr]string        // address → instance id
	cursor       map[string]int               // subnet id → where to look for a free address next
	tags         map[string]map[string]string // of what belongs to no instance
	left         map[string]*Instance         // remains, by the id of the instance; values are replaced, never changed
	routes       map[string][]Route           // by route table id; lists are replaced, never changed
	groups       map[string]Group             // by id; values are replaced, never changed
	filesSave    sync.Mutex                   // of the files beside the reservations
}

// slot is an instance and the machine behind it.
type slot struct {
	id       string
	instance *Instance
	machine  boot.Machine // nil until started, and when gone
	// unnoticed machines ended without EC2 noticing.
	unnoticed bool
	// end is closed when the instance is to end.
	end  chan struct{}
	once sync.Once
}

func newSlot(i *Instance) *slot {
	return &slot{id: i.ID, instance: i, end: make(chan struct{})}
}

// reservation is the result of one launch, and the unit of what is saved: a
// launch is on disk whole or not at all.
type reservation struct {
	ID          string
	Token       string
	Fingerprint string
	instances   []string

	save sync.Mutex
}

// Open reads the state in c.Dir and takes up the instances found there: those
// whose machines the back end finds again go on, others end.
func Open(ctx context.Context, c Config) (*World, error) {
	if c.ListedFor == 0 {
		c.ListedFor = time.Hour
	}
	if c.Market == nil {
		c.Market = market.New(c.Catalog, c.Clock)
	}
	if c.IAM == nil {
		var err error
		if c.IAM, err = iam.Open(iam.Config{Account: c.Catalog.Account, Profiles: c.Catalog.Profiles, Dir: c.Dir, Clock: c.Clock}); err != nil {
			return nil, err
		}
	}
	w := &World{
		Config:       c,
		slots:        map[string]*slot{},
		reservations: map[string]*reservation{},
		tokens:       map[string]*reservation{},
		used:         map[netip.Addr]string{},
		cursor:       map[string]int{},
		tags:         map[string]map[string]string{},
		left:         map[string]*Instance{},
		routes:       map[string][]Route{},
		groups:       seedGroups(c.Catalog),
	}
	w.background, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := w.load(); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	for _, i := range w.listed() {
		if i.State != Terminated && i.State != Stopped {
			w.recover(ctx, w.slots[i.ID])
		}
	}
	return w, nil
}

// Close ends the world. With end, all machines are stopped first and their
// instances are terminated; otherwise they go on and the next Open finds them.
func (w *World) Close(ctx context.Context, end bool) error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	defer w.cancel()
	if !end {
		w.cancel()
		return w.settled(ctx)
	}
	for _, i := range w.listed() {
		if i.State != Terminated {
			w.endWith(i.ID, ScheduledStop, "Server initiated")
		}
	}
	return w.settled(ctx)
}

// settled waits until nothing follows an instance any more: nothing is written
// from then on.
func (w *World) settled(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		w.lives.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("not all instances have settled: %w", ctx.Err())
	}
}

// Instances are the instances that calls can see, in the order of launch.
// Terminated ones are listed for an hour; new ones only after the consistency
// delay.
func (w *World) Instances() []*Instance {
	now := w.Clock.Now()
	all := w.listed()
	return slices.DeleteFunc(all, func(i *Instance) bool { return !w.visible(i, now) })
}

func (w *World) visible(i *Instance, now time.Time) bool {
	if now.Sub(i.LaunchTime) < w.unseenFor() {
		return false
	}
	return !w.expired(i, now)
}

func (w *World) expired(i *Instance, now time.Time) bool {
	return i.State == Terminated && now.Sub(i.EndedAt) >= w.ListedFor
}

// All are the instances that are listed or will be, in the order of launch:
// what Instances is going to show when the consistency delays have passed.
func (w *World) All() []*Instance {
	now := w.Clock.Now()
	return slices.DeleteFunc(w.listed(), func(i *Instance) bool { return w.expired(i, now) })
}

// listed are all instances, visible or not, in the order of launch.
func (w *World) listed() []*Instance {
	w.mu.RLock()
	out := make([]*Instance, 0, len(w.slots))
	for _, s := range w.slots {
		out = append(out, s.instance)
	}
	w.mu.RUnlock()
	slices.SortFunc(out, func(a, b *Instance) int { return cmp.Compare(a.Seq, b.Seq) })
	return out
}

// Instance finds one visible instance.
func (w *World) Instance(id string) (*Instance, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	s := w.slots[id]
	if s == nil || !w.visible(s.instance, w.Clock.Now()) {
		return nil, false
	}
	return s.instance, true
}

// Counts is the number of instances by the name of their state, whether calls
// can see them yet or not.
func (w *World) Counts() map[string]int {
	out := map[string]int{}
	for _, i := range w.All() {
		out[i.State.Name]++
	}
	return out
}

// Free is the number of addresses a subnet has left.
func (w *World) Free(subnet catalog.Subnet) int {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.freeLocked(subnet)
}

// Console is what an instance wrote to its console.
func (w *World) Console(id string) []byte {
	w.mu.RLock()
	var m boot.Machine
	if s := w.slots[id]; s != nil {
		m = s.machine
	}
	w.mu.RUnlock()
	if m == nil {
		return nil
	}
	return m.Console()
}

// change replaces an instance by a changed copy and saves it.
func (w *World) change(s *slot, edit func(*Instance)) {
	w.mu.Lock()
	next := s.instance.clone()
	edit(next)
	s.instance = next
	r := w.reservations[next.ReservationID]
	w.mu.Unlock()
	if r != nil {
		w.saveLogged(r)
	}
}
