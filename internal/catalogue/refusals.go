package catalogue

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/internal/selection"
)

const (
	// refusedAtFirst is how long a class leaves a type alone that has refused its
	// configuration, the first time: unlike capacity, that does not come back by
	// itself, and meanwhile other types are tried.
	refusedAtFirst = 10 * time.Minute
	// refusalsInARow is how many types may refuse the configuration of a class,
	// one after the other and for the same reason, before it is taken to be
	// wrong for all.
	refusalsInARow = 3
)

// refusals are those of a class's configuration since it last gave an instance.
type refusals struct {
	generation    int64
	code, message string
	types         []string // each once, the oldest first
	last          time.Time
}

// Refusal is how types refuse the configuration of a class.
type Refusal struct {
	// Code and Message are the cloud's own; each of Types has answered with Code.
	Code, Message string
	Types         []string
	// Retry is how long the class leaves all types alone; zero: it goes on to
	// others.
	Retry time.Duration
}

func (w World) configured(instanceType string) pool {
	return pool{kind: configuredPool, name: instanceType, class: w.hardware.Class, generation: w.hardware.Generation}
}

func (w World) wholeClass() pool {
	return pool{kind: classPool, class: w.hardware.Class, generation: w.hardware.Generation}
}

func (w World) priced(instanceType, zone string, market selection.Market) pool {
	return pool{kind: pricePool, name: instanceType, zone: zone, market: market, class: w.hardware.Class, generation: w.hardware.Generation}
}

func (p pool) dryAtFirst() time.Duration {
	if p.kind == configuredPool {
		return refusedAtFirst
	}
	return DryAtFirst
}

// Refused notes that the type of an offering that a cell has claimed does not
// take the configuration of the class, with the cloud's code and message. The
// class leaves the type alone and, after some have answered so in a row, all of
// them; each time that another is tried and refuses as well, for twice as long.
func (w World) Refused(o selection.Offering, code, message string, cell types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, known := w.clock.Now(), w.refusals[w.hardware.Class]
	if known.generation != w.hardware.Generation {
		w.forgetOthers()
	}
	if known.generation != w.hardware.Generation || known.code != code || now.Sub(known.last) > forgetAfter {
		known = refusals{generation: w.hardware.Generation, code: code}
	}
	known.message, known.last = message, now
	if !slices.Contains(known.types, o.InstanceType) {
		known.types = append(slices.Clone(known.types), o.InstanceType)
	}
	w.refusals[w.hardware.Class] = known
	w.runDry(w.configured(o.InstanceType), 0, cell)
	if len(known.types) >= refusalsInARow {
		w.runDry(w.wholeClass(), 0, cell)
	}
	w.release(cell)
}

// Refusal is how types have refused the configuration of the class since it was
// last changed or gave an instance; false where none has.
func (w World) Refusal() (Refusal, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, known := w.clock.Now(), w.refusals[w.hardware.Class]
	if len(known.types) == 0 || known.generation != w.hardware.Generation || now.Sub(known.last) > forgetAfter {
		return Refusal{}, false
	}
	retry := w.dry[w.wholeClass()].until.Sub(now)
	return Refusal{Code: known.code, Message: known.message, Types: known.types, Retry: max(0, retry)}, true
}

// forgetOthers drops what earlier generations of the class were refused; c.mu
// is held.
func (w World) forgetOthers() {
	for p := range w.dry {
		if p.class == w.hardware.Class && p.class != "" && p.generation != w.hardware.Generation {
			delete(w.dry, p)
		}
	}
}

// Forget drops what is remembered of a class that is gone.
func (c *Capacity) Forget(class types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.refusals, class)
	for p := range c.dry {
		if p.class == class {
			delete(c.dry, p)
		}
	}
}
