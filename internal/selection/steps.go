package selection

import (
	"fmt"
	"slices"
	"strings"

	"kip.elotl.co/api/v1beta1"
)

// Step names a step of the chain by which types and offerings are turned down.
type Step string

// The steps, in their order: what the class allows, what the cell asks for,
// what the cloud offers.
const (
	StepAllowed      Step = "allowed"
	StepAddresses    Step = "addresses"
	StepArchitecture Step = "architecture"
	StepImage        Step = "image"

	StepRequested   Step = "requested"
	StepAffinity    Step = "affinity"
	StepAccelerator Step = "accelerator"
	StepMemory      Step = "memory"
	StepCPU         Step = "cpu"
	StepBurstable   Step = "burstable"

	StepMarket   Step = "launch-type"
	StepZone     Step = "zone"
	StepPrice    Step = "price"
	StepCapacity Step = "capacity"
)

// order is the place of a step among all.
func (s Step) order() int {
	return slices.Index([]Step{
		StepAllowed, StepAddresses, StepArchitecture, StepImage,
		StepRequested, StepAffinity, StepAccelerator, StepMemory, StepCPU, StepBurstable,
		StepMarket, StepZone, StepPrice, StepCapacity,
	}, s)
}

// addressesPerCell: the agent's address and the pod's.
const addressesPerCell = 2

// classStep turns types down for all cells of a class. A reason goes on where
// the name of the type leaves off.
type classStep struct {
	name   Step
	fits   func(*Class, *Type) bool
	reason func(*Class, *Type) string
}

func classSteps() []classStep {
	return []classStep{
		{StepAllowed, isAllowed, whyNotAllowed},
		{StepAddresses,
			func(_ *Class, t *Type) bool { return t.IPv4PerInterface >= addressesPerCell },
			func(*Class, *Type) string {
				return fmt.Sprintf("holds fewer than %d IPv4 addresses on an interface", addressesPerCell)
			}},
		{StepArchitecture,
			func(c *Class, t *Type) bool { return t.Architectures&c.architectures() != 0 },
			func(c *Class, t *Type) string {
				return fmt.Sprintf("is %s, the class allows %s", t.Architectures, c.architectures())
			}},
		{StepImage, hasImage, whyNoImage},
	}
}

func isAllowed(c *Class, t *Type) bool {
	return (len(c.Allowed) == 0 || matchesAny(c.Allowed, t.Name)) && !matchesAny(c.Excluded, t.Name)
}

func whyNotAllowed(c *Class, t *Type) string {
	if matchesAny(c.Excluded, t.Name) {
		return "is among the class's excluded instance types"
	}
	return "is not among the class's allowed instance types"
}

func hasImage(c *Class, t *Type) bool {
	image := imageFor(c, t)
	return image >= 0 && boots(t, &c.Images[image])
}

func whyNoImage(c *Class, t *Type) string {
	image := imageFor(c, t)
	switch accelerator := imageAccelerator(c, t); {
	case image < 0 && accelerator != v1beta1.AcceleratorNone:
		return fmt.Sprintf("is %s, for which the class has no image with accelerator %s (spec.bootImageOverrides)", t.Architectures, accelerator)
	case image < 0:
		return fmt.Sprintf("is %s, for which the class has no image", t.Architectures)
	}
	return fmt.Sprintf("cannot boot image %s (virtualization, boot mode or network driver)", c.Images[image].ID)
}

// askStep turns types down for one cell.
type askStep struct {
	name   Step
	fits   func(*query, int32) bool
	reason func(*query, *Type) string
}

func askSteps() []askStep {
	return []askStep{
		{StepRequested,
			(*query).requested,
			func(q *query, _ *Type) string { return fmt.Sprintf("is not %s", q.ask.Type) }},
		{StepAffinity, (*query).termsAllow, func(*query, *Type) string { return "is excluded by node selector or affinity" }},
		{StepArchitecture, (*query).architectureAllowed, whyNotArchitecture},
		{StepImage, (*query).volumeFits, whyNotVolume},
		{StepAccelerator,
			(*query).acceleratorsFit,
			func(q *query, t *Type) string {
				return fmt.Sprintf("has %d GPUs and %d Neuron devices, %d and %d are needed", t.GPUs, t.Neurons, q.ask.GPUs, q.ask.Neurons)
			}},
		{StepMemory,
			func(q *query, kind int32) bool { return q.exact || q.kind(kind).Memory >= q.ask.Memory },
			func(q *query, t *Type) string {
				usable, needed := distinct(t.Memory, q.ask.Memory)
				return fmt.Sprintf("has %s memory for the pod, %s are needed", usable, needed)
			}},
		{StepCPU,
			func(q *query, kind int32) bool { return q.exact || q.kind(kind).MilliCPU >= q.ask.MilliCPU },
			func(q *query, t *Type) string {
				return fmt.Sprintf("has %s CPUs, %s are needed", cpus(t.MilliCPU), cpus(q.ask.MilliCPU))
			}},
		{StepBurstable, (*query).burstAllowed, whyNotBurst},
	}
}

// requested says whether the type is the one, or one of those, asked for.
func (q *query) requested(kind int32) bool {
	return q.ask.Type == "" || matches(q.ask.Type, q.kind(kind).Name)
}

func (q *query) acceleratorsFit(kind int32) bool {
	t := q.kind(kind)
	return q.exact || t.GPUs >= q.ask.GPUs && t.Neurons >= q.ask.Neurons
}

func (q *query) burstAllowed(kind int32) bool {
	t := q.kind(kind)
	if t.Burst == nil || q.exact {
		return true
	}
	switch q.rules.class.Burstable {
	case v1beta1.BurstableNever:
		return false
	case v1beta1.BurstableStandard:
		return q.ask.MilliCPU <= t.Burst.BaselineMilliCPU
	}
	return true
}

func whyNotBurst(q *query, t *Type) string {
	if q.rules.class.Burstable == v1beta1.BurstableNever {
		return "is burstable, which the class does not allow"
	}
	return fmt.Sprintf("gives %s CPUs for good, %s are needed, the class allows no surplus credits",
		cpus(t.Burst.BaselineMilliCPU), cpus(q.ask.MilliCPU))
}

// cpus formats thousandths of CPUs.
func cpus(milli int64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", float64(milli)/1000), "0"), ".")
}

// Bytes formats an amount of memory with the largest unit that leaves a number
// of at least 1, to a tenth: 512Mi, 7.4Gi.
func Bytes(n int64) string {
	units := []struct {
		name string
		size float64
	}{{"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10}}
	for _, u := range units {
		if v := float64(n) / u.size; v >= 1 {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + u.name
		}
	}
	return fmt.Sprint(n)
}

// distinct formats two different amounts so that they look different.
func distinct(a, b int64) (string, string) {
	if Bytes(a) == Bytes(b) {
		return fmt.Sprint(a), fmt.Sprint(b)
	}
	return Bytes(a), Bytes(b)
}
