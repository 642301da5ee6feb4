// Package catalogue knows what can be bought: instance types, where they are
// offered, in which markets and at what price, and which offerings had no
// capacity lately.
package catalogue

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
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

	// current is replaced as a whole: who selects never waits for a refresh.
	current atomic.Pointer[selection.Index]
	ready   chan struct{}
	// dedicated is the index for dedicated tenancy, nil until somebody wants it,
	// which closes wanted: few do.
	dedicated atomic.Pointer[selection.Index]
	wanted    chan struct{}

	mu        sync.Mutex
	types     []cloud.InstanceType
	typesErr  error // of the last time that they were asked for
	onDemand  dated[map[string]float64]
	alone     dated[map[string]float64] // on-demand with dedicated tenancy
	spot      dated[[]cloud.SpotPrice]
	spotAsked bool // answered, refused, or waited for long enough
	overrides Overrides
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
	return &Catalogue{Options: o, Memory: NewMemory(), table: builtIn, ready: make(chan struct{}), wanted: make(chan struct{})}, nil
}

// Index is what is known now, nil before the types are. On-demand prices are
// those of the built-in table until AWS's own come.
func (c *Catalogue) Index() *selection.Index { return c.current.Load() }

// Ready is closed when there is an Index.
func (c *Catalogue) Ready() <-chan struct{} { return c.ready }

// NotReady says what an Index waits for and, where the cloud has refused to tell
// the types, why.
func (c *Catalogue) NotReady() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.typesErr != nil {
		return fmt.Sprintf("the instance types of this region cannot be looked up: %v", c.typesErr)
	}
	return "the instance types of this region are being looked up"
}

// SetOverrides puts prices of the user's own before all others.
func (c *Catalogue) SetOverrides(o Overrides) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.overrides.same(o) {
		return
	}
	c.overrides = o
	c.rebuild()
}

// rebuild makes the index anew; c.mu is held.
func (c *Catalogue) rebuild() {
	if len(c.types) == 0 || !c.spotAsked {
		return
	}
	priced := pricer{region: c.Region, table: c.table, onDemand: c.onDemand, spot: c.spot, overrides: c.overrides}
	types := c.selectionTypes()
	if c.dedicatedWanted() {
		alone := priced
		alone.dedicated, alone.alone = true, c.alone
		c.dedicated.Store(selection.NewIndex(types, alone.listings(c.types)))
	}
	if c.current.Swap(selection.NewIndex(types, priced.listings(c.types))) == nil {
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
