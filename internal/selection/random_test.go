package selection_test

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
	"kip.elotl.co/test/ec2types"
)

// world is one that does not change: a share of the offerings is dry.
type world struct {
	dryPercent uint32
	dry        []string       // types that are in any case
	free       map[string]int // by subnet; 100 where it is not in it
}

func (w world) Dry(kind *selection.Type, zone string, market selection.Market) bool {
	if slices.Contains(w.dry, kind.Name) {
		return true
	}
	if w.dryPercent == 0 || w.dryPercent == 100 {
		return w.dryPercent == 100
	}
	h := fnv.New32a()
	h.Write([]byte(kind.Name + zone + string(market.LaunchType())))
	return h.Sum32()%100 < w.dryPercent
}

func (w world) Free(s selection.Subnet) int {
	if free, ok := w.free[s.ID]; ok {
		return free
	}
	return 100
}

// random makes up classes, worlds and asks over a catalogue.
type random struct {
	*rand.Rand
	catalogue ec2types.Catalogue
}

func newRandom(c ec2types.Catalogue, seed uint64) random {
	return random{rand.New(rand.NewPCG(seed, 3)), c}
}

// one in n.
func (r random) one(n int) bool { return r.IntN(n) == 0 }

func of[T any](r random, values ...T) T { return values[r.IntN(len(values))] }

func (r random) anyType() *selection.Type { return &r.catalogue.Types[r.IntN(len(r.catalogue.Types))] }

func (r random) pattern() string {
	family, size, _ := strings.Cut(r.anyType().Name, ".")
	return of(r, family+".*", "*."+size, family[:1]+"*", "*"+family[len(family)-1:]+".*", "*", family+"*"+size[1:], family+"."+size, "*xlarge", "none.*")
}

func (r random) patterns(most int) []string {
	var patterns []string
	for range r.IntN(most + 1) {
		patterns = append(patterns, r.pattern())
	}
	return patterns
}

func (r random) class() selection.Class {
	c := selection.Class{
		Architectures: of(r, 0, selection.AMD64, selection.ARM64, selection.AMD64|selection.ARM64),
		Burstable:     of(r, "", v1beta1.BurstableUnlimited, v1beta1.BurstableStandard, v1beta1.BurstableNever),
	}
	if c.Architectures == 0 {
		c.DefaultArchitecture = of(r, 0, selection.AMD64, selection.ARM64)
	}
	if r.one(2) {
		c.Allowed = r.patterns(6)
	}
	if r.one(3) {
		c.Excluded = r.patterns(2)
	}
	switch r.IntN(6) {
	case 0: // just what some offering costs
		c.MaxPerHour = r.catalogue.Listings[r.IntN(len(r.catalogue.Listings))].Price.PerHour
	case 1:
		c.MaxPerHour = 0.004 * math.Pow(10, 4*r.Float64())
	}
	if !r.one(3) {
		c.MaxFactor = of(r, 1, 1.01, 1.5, 2, 5, 5, 20)
	}
	for _, arch := range []selection.Architectures{selection.ARM64, selection.AMD64} {
		for _, accelerator := range []string{"none", "nvidia", "neuron"} {
			if r.one(5) {
				continue
			}
			c.Images = append(c.Images, selection.Image{
				ID: fmt.Sprint("ami-", arch, accelerator), Architecture: arch, Accelerator: accelerator,
				Paravirtual: r.one(20), UEFI: r.one(6), LegacyBIOS: r.one(10), ENA: !r.one(8),
				VolumeGiB: of[int32](r, 0, 4, 8, 12),
			})
		}
	}
	for i := range r.IntN(8) {
		zone := of(r, append([]string{"elsewhere"}, r.catalogue.Zones...)...)
		c.Subnets = append(c.Subnets, selection.Subnet{ID: fmt.Sprint("subnet-", i), Zone: zone, Public: r.one(3)})
	}
	return c
}

func (r random) world(class selection.Class) world {
	w := world{dryPercent: of[uint32](r, 0, 0, 10, 50, 97, 100), free: map[string]int{}}
	for _, s := range class.Subnets {
		w.free[s.ID] = of(r, 0, 1, 2, 50, 50, 4000)
	}
	return w
}

func (r random) ask() selection.Ask {
	a := selection.Ask{
		MilliCPU:      of[int64](r, 0, 0, 100, 250, 400, 500, 1000, 1500, 2000, 4000, 7900, 48000, 128000, 500000),
		Memory:        int64(math.Pow(2, 26+16*r.Float64()*r.Float64())),
		LaunchType:    of(r, "", v1beta1.LaunchOnDemand, v1beta1.LaunchSpot, v1beta1.LaunchSpotPreferred),
		VolumePerHour: of(r, 0, 0, 0.0011, 0.02), AddressPerHour: of(r, 0, 0.005, 0.005, 0.05),
	}
	if r.one(3) {
		private := r.one(2)
		a.PrivateIPOnly = &private
	}
	if r.one(4) {
		a.VolumeGiB, a.StorageGiB = of[int32](r, 1, 4, 8, 10, 12, 20), of[int32](r, 0, 0, 3, 30)
	}
	switch r.IntN(12) {
	case 0, 1:
		a.Type = r.pattern()
	case 2:
		a.Type = r.anyType().Name
	case 3:
		a.Type = "no.such"
	case 4, 5: // just what a type has
		t := r.anyType()
		a.Memory, a.MilliCPU, a.GPUs, a.Neurons = t.Memory, t.MilliCPU, t.GPUs, t.Neurons
	case 6:
		a.GPUs = of[int64](r, 1, 4, 8, 100)
	case 7:
		a.Neurons = of[int64](r, 1, 2, 16)
	}
	if r.one(3) {
		for range r.IntN(4) {
			a.Terms = append(a.Terms, r.term())
		}
	}
	if r.one(4) {
		a.Zone = of(r, append([]string{"elsewhere"}, r.catalogue.Zones...)...)
	}
	return a
}

func (r random) term() v1beta1.OfferingTerm {
	var t v1beta1.OfferingTerm
	for range 1 + r.IntN(3) {
		key := of(r, corev1.LabelInstanceTypeStable, corev1.LabelTopologyZone, corev1.LabelTopologyZone, corev1.LabelArchStable)
		var values []string
		for range 1 + r.IntN(5) {
			switch key {
			case corev1.LabelInstanceTypeStable:
				values = append(values, r.anyType().Name)
			case corev1.LabelTopologyZone:
				values = append(values, of(r, append([]string{"elsewhere"}, r.catalogue.Zones...)...))
			default:
				values = append(values, of(r, "amd64", "arm64", "riscv64"))
			}
		}
		t.Requirements = append(t.Requirements, v1beta1.OfferingRequirement{
			Key: key, Operator: of(r, corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn), Values: values,
		})
	}
	return t
}
