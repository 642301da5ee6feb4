package world

import (
	"time"

	"kip.elotl.co/hack/localaws/boot"
)

// Boots says which guests do not come up.
type Boots interface {
	// HangBoot decides about one boot.
	HangBoot(instanceType, zone string) bool
}

// Delays says what takes longer than it should.
type Delays interface {
	// UnseenFor is how long after its launch no call but the launch shows an instance.
	UnseenFor() time.Duration
	// MetadataDelay is how long each answer of the metadata service takes.
	MetadataDelay() time.Duration
}

// bootSpec is what a back end is told to boot.
func (w *World) bootSpec(i *Instance) boot.Spec {
	spec := w.spec(i)
	if boots, ok := w.Capacity.(Boots); ok {
		spec.Hangs = boots.HangBoot(i.InstanceType, i.Zone)
	}
	return spec
}

// unseenFor is how long after its launch calls do not know an instance.
func (w *World) unseenFor() time.Duration {
	if delays, ok := w.Capacity.(Delays); ok {
		return max(w.ConsistencyDelay, delays.UnseenFor())
	}
	return w.ConsistencyDelay
}

// metadataDelay is asked at each question; nil: no answer is ever late.
func (w *World) metadataDelay() func() time.Duration {
	if delays, ok := w.Capacity.(Delays); ok {
		return delays.MetadataDelay
	}
	return nil
}
