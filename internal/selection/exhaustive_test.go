package selection_test

import (
	"path"
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
	onDemand, spot := e.all(ask)
	switch ask.LaunchType {
	case v1beta1.LaunchSpot:
		return pick(spot, n)
	case v1beta1.LaunchSpotPreferred:
		best := pick(onDemand, n)
		if len(best) > 0 && best[0].Price.Source != "" {
			var capped []found
			for _, f := range spot {
				if f.Price.Source != "" && f.InstancePerHour <= best[0].InstancePerHour+slack {
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
	case a.InstancePerHour != b.InstancePerHour:
		return a.InstancePerHour < b.InstancePerHour
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
		for i := range e.class.Images {
			if image := &e.class.Images[i]; image.Accelerator == want && image.Architecture == t.Architectures {
				return image
			}
		}
	}
	return nil
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
		InstancePerHour: l.Price.PerHour,
	}
	for _, s := range e.class.Subnets {
		if free := e.world.Free(s); s.Zone == l.Zone && free > f.free {
			f.free, f.SubnetID = free, s.ID
		}
	}
	if f.free == 0 || !termsHold(ask.Terms, t, l.Zone) || e.world.Dry(t, l.Zone, l.Market) {
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
	f.PerHour = f.InstancePerHour + ask.ExtraPerHour
	if l.Price.Source == "" {
		return f, ask.Type == t.Name && e.class.MaxPerHour == 0
	}
	return f, e.class.MaxPerHour == 0 || f.PerHour <= e.class.MaxPerHour+slack
}

func termsHold(terms []v1beta1.OfferingTerm, t *selection.Type, zone string) bool {
	for _, term := range terms {
		holds := true
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
	return len(terms) == 0
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
