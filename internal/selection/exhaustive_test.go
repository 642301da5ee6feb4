package selection_test

import (
	"math"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
	"kip.elotl.co/test/ec2types"
)

// exhaustive answers an ask by looking at everything that there is. It is
// written apart from the package: from its documentation, with neither index
// nor order.
type exhaustive struct {
	catalogue ec2types.Catalogue
	listings  map[string][]selection.Listing // by type
	inClass   []bool                         // of the types, in the catalogue's order
	class     selection.Class
	world     selection.World
}

func newExhaustive(c ec2types.Catalogue, class selection.Class, world selection.World) exhaustive {
	e := exhaustive{catalogue: c, listings: c.ByType(), class: class, world: world}
	for i := range c.Types {
		e.inClass = append(e.inClass, e.classAllows(&c.Types[i]))
	}
	return e
}

// found is an offering with what decides between equally cheap ones.
type found struct {
	selection.Offering
	bareMetal bool
	free      int
}

const slack = 1e-9

// best gives the n best.
func (e *exhaustive) best(ask selection.Ask, n int) []selection.Offering {
	onDemand, spot := e.bounded(ask)
	switch ask.LaunchType {
	case v1beta1.LaunchSpot:
		return pick(spot, n)
	case v1beta1.LaunchSpotPreferred:
		best := pick(onDemand, n)
		if len(best) > 0 && best[0].Price.Source != "" {
			var capped []found
			for _, f := range spot {
				if f.Price.Source != "" && f.PerHour <= best[0].PerHour+slack {
					capped = append(capped, f)
				}
			}
			spot = capped
		}
		both := append(pick(spot, n), best...)
		return both[:min(n, len(both))]
	}
	return pick(onDemand, n)
}

// bounded leaves out what costs more than the class's factor allows: the
// cheapest is sought in a world in which there is enough of everything.
func (e *exhaustive) bounded(ask selection.Ask) (onDemand, spot []found) {
	plenty := *e
	plenty.world = world{}
	everyOnDemand, everySpot := plenty.all(ask)
	onDemand, spot = e.all(ask)
	return e.atMost(everyOnDemand, onDemand), e.atMost(everySpot, spot)
}

func (e *exhaustive) atMost(every, from []found) []found {
	least := math.Inf(1)
	for _, f := range every {
		if f.Price.Source != "" {
			least = math.Min(least, f.PerHour)
		}
	}
	var out []found
	for _, f := range from {
		if f.Price.Source == "" || e.class.MaxFactor == 0 || f.PerHour <= least*e.class.MaxFactor+slack {
			out = append(out, f)
		}
	}
	return out
}

// dry are the offerings that would do in a world in which there is enough of
// everything, and whether there are dearer ones that the factor excludes, where
// nothing does in this one.
func (e *exhaustive) dry(ask selection.Ask) (would []found, beyond bool) {
	plenty := *e
	plenty.world = world{}
	everyOnDemand, everySpot := plenty.all(ask)
	onDemand, spot := plenty.bounded(ask)
	switch ask.LaunchType {
	case v1beta1.LaunchSpot:
		return spot, len(spot) < len(everySpot)
	case v1beta1.LaunchSpotPreferred:
		return append(spot, onDemand...), len(onDemand)+len(spot) < len(everyOnDemand)+len(everySpot)
	}
	return onDemand, len(onDemand) < len(everyOnDemand)
}

// wouldDo is what would do with capacity, while the cheapest On-demand offering
// is what it is.
func (e *exhaustive) wouldDo(ask selection.Ask) []found {
	would, _ := e.dry(ask)
	onDemand, _ := e.bounded(ask)
	best := pick(onDemand, 1)
	if ask.LaunchType != v1beta1.LaunchSpotPreferred || len(best) == 0 || best[0].Price.Source == "" {
		return would
	}
	return slices.DeleteFunc(would, func(f found) bool {
		return f.Market == selection.Spot && (f.Price.Source == "" || f.PerHour > best[0].PerHour+slack)
	})
}

// pick takes the best out, n times.
func pick(from []found, n int) []selection.Offering {
	taken := make([]bool, len(from))
	var out []selection.Offering
	for len(out) < n {
		best := -1
		for i := range from {
			if !taken[i] && (best < 0 || better(&from[i], &from[best])) {
				best = i
			}
		}
		if best < 0 {
			return out
		}
		taken[best] = true
		out = append(out, from[best].Offering)
	}
	return out
}

func better(a, b *found) bool {
	switch {
	case (a.Price.Source == "") != (b.Price.Source == ""):
		return a.Price.Source != ""
	case a.InstancePerHour+a.AddressPerHour != b.InstancePerHour+b.AddressPerHour:
		return a.InstancePerHour+a.AddressPerHour < b.InstancePerHour+b.AddressPerHour
	case a.bareMetal != b.bareMetal:
		return b.bareMetal
	case a.free != b.free:
		return a.free > b.free
	case a.InstanceType != b.InstanceType:
		return a.InstanceType < b.InstanceType
	}
	return a.Zone < b.Zone
}

func (e *exhaustive) all(ask selection.Ask) (onDemand, spot []found) {
	for i := range e.catalogue.Types {
		t := &e.catalogue.Types[i]
		if !e.inClass[i] || !e.typeWillDo(ask, t) {
			continue
		}
		for _, l := range e.listings[t.Name] {
			f, ok := e.consider(ask, t, l)
			switch {
			case ok && l.Market == selection.Spot:
				spot = append(spot, f)
			case ok:
				onDemand = append(onDemand, f)
			}
		}
	}
	return onDemand, spot
}

func (e *exhaustive) classAllows(t *selection.Type) bool {
	if len(e.class.Allowed) > 0 && !anyMatch(e.class.Allowed, t.Name) || anyMatch(e.class.Excluded, t.Name) {
		return false
	}
	if e.class.Architectures != 0 && e.class.Architectures&t.Architectures == 0 || t.IPv4PerInterface < 2 {
		return false
	}
	image := e.image(t)
	return image != nil && canBoot(t, image)
}

func (e *exhaustive) typeWillDo(ask selection.Ask, t *selection.Type) bool {
	if ask.Type != "" && !match(ask.Type, t.Name) {
		return false
	}
	if image := e.image(t); ask.VolumeGiB > 0 && image.VolumeGiB > ask.VolumeGiB-ask.StorageGiB {
		return false
	}
	if ask.Type != "" && !strings.Contains(ask.Type, "*") {
		return true
	}
	if t.Memory < ask.Memory || t.MilliCPU < ask.MilliCPU || t.GPUs < ask.GPUs || t.Neurons < ask.Neurons {
		return false
	}
	if t.Burst == nil {
		return true
	}
	if e.class.Burstable == v1beta1.BurstableStandard {
		return t.Burst.BaselineMilliCPU >= ask.MilliCPU
	}
	return e.class.Burstable != v1beta1.BurstableNever
}

func (e *exhaustive) image(t *selection.Type) *selection.Image {
	accelerator := "none"
	if t.GPUs > 0 {
		accelerator = "nvidia"
	} else if t.Neurons > 0 {
		accelerator = "neuron"
	}
	for _, want := range []string{accelerator, "none"} {
		var right *selection.Image
		some := false
		for i := range e.class.Images {
			image := &e.class.Images[i]
			some = some || image.Accelerator == want
			if image.Accelerator == want && image.Architecture == t.Architectures {
				right = image
			}
		}
		if some {
			return right
		}
	}
	return nil
}

// mustBeNamed says whether only who names the type's architecture gets it: it
// is not the class's default one, and the ask is not for types that lack that.
func (e *exhaustive) mustBeNamed(ask selection.Ask, t *selection.Type) bool {
	if e.class.DefaultArchitecture == 0 || e.class.DefaultArchitecture == t.Architectures || ask.Type != "" && !strings.Contains(ask.Type, "*") {
		return false
	}
	for _, other := range e.catalogue.Types {
		if other.Architectures == e.class.DefaultArchitecture && (ask.Type == "" || match(ask.Type, other.Name)) {
			return true
		}
	}
	return ask.Type == ""
}

func canBoot(t *selection.Type, image *selection.Image) bool {
	virtualization := t.Supports.HVM
	if image.Paravirtual {
		virtualization = t.Supports.Paravirtual
	}
	return virtualization && (t.Supports.UEFI || !image.UEFI) && (t.Supports.LegacyBIOS || !image.LegacyBIOS) &&
		(image.ENA || !t.Supports.NeedsENA)
}

// consider looks at one listing of a type that will do.
func (e *exhaustive) consider(ask selection.Ask, t *selection.Type, l selection.Listing) (found, bool) {
	f := found{bareMetal: t.BareMetal}
	image := e.image(t)
	f.Offering = selection.Offering{
		InstanceType: t.Name, Zone: l.Zone, Market: l.Market, VCPUs: t.MilliCPU / 1000, ImageID: image.ID, Architecture: image.Architecture, Price: l.Price,
		InstancePerHour: l.Price.PerHour, VolumePerHour: ask.VolumePerHour,
	}
	for _, s := range e.class.Subnets {
		free, address := e.world.Free(s), 0.0
		if ask.PrivateIPOnly == nil && s.Public || ask.PrivateIPOnly != nil && !*ask.PrivateIPOnly {
			address = ask.AddressPerHour
		}
		better := f.free == 0 || address < f.AddressPerHour || address == f.AddressPerHour && free > f.free
		if s.Zone == l.Zone && free > 0 && better {
			f.free, f.SubnetID, f.AddressPerHour = free, s.ID, address
		}
	}
	if f.free == 0 || ask.Zone != "" && ask.Zone != l.Zone || !termsHold(ask.Terms, t, l.Zone, e.mustBeNamed(ask, t)) || e.world.Dry(t, l.Zone, l.Market) {
		return f, false
	}
	if t.Burst != nil {
		f.CPUCredits = "standard"
		above := min(ask.MilliCPU, t.MilliCPU) - t.Burst.BaselineMilliCPU
		if above > 0 && (e.class.Burstable == "" || e.class.Burstable == v1beta1.BurstableUnlimited) {
			f.CPUCredits = "unlimited"
			f.InstancePerHour += float64(above) / 1000 * t.Burst.SurplusPerVCPUHour
		}
	}
	f.PerHour = f.InstancePerHour + f.AddressPerHour + ask.VolumePerHour
	if l.Price.Source == "" {
		return f, ask.Type == t.Name && e.class.MaxPerHour == 0
	}
	return f, e.class.MaxPerHour == 0 || f.PerHour <= e.class.MaxPerHour+slack
}

func termsHold(terms []v1beta1.OfferingTerm, t *selection.Type, zone string, mustBeNamed bool) bool {
	for _, term := range terms {
		holds := !mustBeNamed || slices.ContainsFunc(term.Requirements, func(r v1beta1.OfferingRequirement) bool { return r.Key == corev1.LabelArchStable })
		for _, r := range term.Requirements {
			value := t.Architectures.String()
			switch r.Key {
			case corev1.LabelInstanceTypeStable:
				value = t.Name
			case corev1.LabelTopologyZone:
				value = zone
			}
			in := false
			for _, v := range r.Values {
				in = in || v == value
			}
			holds = holds && in == (r.Operator == corev1.NodeSelectorOpIn)
		}
		if holds {
			return true
		}
	}
	return len(terms) == 0 && !mustBeNamed
}

func anyMatch(patterns []string, name string) bool {
	for _, p := range patterns {
		if match(p, name) {
			return true
		}
	}
	return false
}

// match leans on the standard library: names of types have no slashes.
func match(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
