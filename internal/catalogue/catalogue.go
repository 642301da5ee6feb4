// Package catalogue knows what can be bought: instance types, where they are
// offered, in which markets and at what price, and which offerings had no
// capacity lately.
package catalogue

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

// How often each part is asked for again, and how soon after a failure, at
// first and at most.
const (
	typesEvery    = 6 * time.Hour
	onDemandEvery = 12 * time.Hour
	spotEvery     = 10 * time.Minute
	retryFirst    = 2 * time.Second
	retryMost     = 5 * time.Minute
	askTimeout    = 5 * time.Minute
)

// Source is the part of the cloud that a Catalogue reads.
type Source interface {
	cloud.InstanceTypes
	cloud.Prices
}

// Options are what a Catalogue is made of.
type Options struct {
	Source Source
	// Region says which of the built-in prices count.
	Region string
	Clock  clock.WithTicker
	Log    logr.Logger
}

// Catalogue keeps itself up to date in the background, and goes on with what it
// knew last where the cloud does not answer. Several may use it at once.
type Catalogue struct {
	Options
	Memory *Memory
	table  *table

	mu        sync.Mutex
	types     []cloud.InstanceType
	onDemand  dated[map[string]float64]
	spot      dated[[]cloud.SpotPrice]
	overrides Overrides
	current   *selection.Index
	ready     chan struct{}
}

// dated is an answer of the cloud and when it came; zero before the first one.
type dated[T any] struct {
	value T
	asOf  time.Time
}

// New makes a Catalogue, which knows nothing until it has run for a while.
func New(o Options) (*Catalogue, error) {
	builtIn, err := parseTable(tableText)
	if err != nil {
		return nil, err
	}
	return &Catalogue{Options: o, Memory: NewMemory(), table: builtIn, ready: make(chan struct{})}, nil
}

// Index is what is known now, nil before the types are.
func (c *Catalogue) Index() *selection.Index {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil || c.Memory.changedSince() {
		c.rebuild()
	}
	return c.current
}

// Ready is closed when there is an Index.
func (c *Catalogue) Ready() <-chan struct{} { return c.ready }

// Start keeps the catalogue up to date until ctx ends.
func (c *Catalogue) Start(ctx context.Context) error {
	var running sync.WaitGroup
	for _, part := range c.parts() {
		running.Go(func() { c.keep(ctx, part) })
	}
	running.Wait()
	return nil
}

// part is something that is asked for now and again.
type part struct {
	name  string
	every time.Duration
	ask   func(context.Context) error
}

func (c *Catalogue) parts() []part {
	return []part{
		{"instance types", typesEvery, func(ctx context.Context) error {
			types, err := c.Source.InstanceTypes(ctx)
			return c.learn(err, func() { c.types = types })
		}},
		{"on-demand prices", onDemandEvery, func(ctx context.Context) error {
			prices, err := c.Source.OnDemandPrices(ctx)
			return c.learn(err, func() { c.onDemand = dated[map[string]float64]{prices, c.Clock.Now()} })
		}},
		{"spot prices", spotEvery, func(ctx context.Context) error {
			prices, err := c.Source.SpotPrices(ctx)
			return c.learn(err, func() { c.spot = dated[[]cloud.SpotPrice]{prices, c.Clock.Now()} })
		}},
	}
}

// keep asks for a part for ever. What it cannot have it asks for again, less
// and less often.
func (c *Catalogue) keep(ctx context.Context, p part) {
	retry := retryFirst
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		err := p.ask(asking)
		cancel()
		wait := p.every
		if err != nil && ctx.Err() == nil {
			c.Log.Info("cannot be had from the cloud for now: what was known before counts", "what", p.name, "error", err.Error(), "retry", retry.String())
			wait, retry = retry, min(2*retry, retryMost)
		} else {
			retry = retryFirst
		}
		c.rest(ctx, wait)
	}
}

func (c *Catalogue) rest(ctx context.Context, d time.Duration) {
	timer := c.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-ctx.Done():
	}
}

// learn takes an answer in, unless there is none.
func (c *Catalogue) learn(err error, take func()) error {
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	take()
	c.rebuild()
	return nil
}

// SetOverrides puts prices of the user's own before all others.
func (c *Catalogue) SetOverrides(o Overrides) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.overrides = o
	c.rebuild()
}

// rebuild makes the index anew; c.mu is held.
func (c *Catalogue) rebuild() {
	if c.types == nil {
		return
	}
	first := c.current == nil
	priced := pricer{region: c.Region, table: c.table, onDemand: c.onDemand, spot: c.spot, overrides: c.overrides}
	c.current = selection.NewIndex(c.selectionTypes(), priced.listings(c.types))
	if first {
		close(c.ready)
	}
}

func (c *Catalogue) selectionTypes() []selection.Type {
	types := make([]selection.Type, 0, len(c.types))
	for _, t := range c.types {
		types = append(types, c.selectionType(t))
	}
	return types
}

func (c *Catalogue) selectionType(t cloud.InstanceType) selection.Type {
	out := selection.Type{
		Name:             t.Name,
		MilliCPU:         int64(t.VCPUs) * 1000,
		NominalMemory:    t.MemoryMiB << 20,
		Memory:           c.Memory.Usable(t.Name, t.MemoryMiB<<20),
		GPUs:             int64(t.GPUs),
		Neurons:          int64(t.Neurons),
		IPv4PerInterface: t.IPv4PerInterface,
		BareMetal:        t.BareMetal,
		Supports: selection.BootSupport{
			HVM: t.HVM, Paravirtual: t.Paravirtual, UEFI: t.UEFI, LegacyBIOS: t.LegacyBIOS, NeedsENA: t.NeedsENA,
		},
	}
	for _, a := range t.Architectures {
		out.Architectures |= selection.ArchitectureOf(string(a))
	}
	if t.Burstable {
		out.Burst = burstOf(t.Name, out.MilliCPU)
	}
	return out
}
