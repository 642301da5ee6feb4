package selection

import (
	"slices"

	"kip.elotl.co/api/v1beta1"
)

// Rules are an Index seen through a class: what every cell of the class has in
// common is decided here, once. They do not change.
type Rules struct {
	index *Index
	class Class
	// kinds is what the class makes of each type, by its place in the index.
	kinds []ruling
	// subnets are the class's, by the place of their zone in the index.
	subnets [][]Subnet
	// private says of each such zone whether a subnet in it gives no public
	// addresses, anyPrivate whether any of the class's does.
	private    []bool
	anyPrivate bool
	// steps are for what each cell asks.
	steps []askStep
}

// ruling is what a class makes of a type: its image, or the step that turned
// the type down.
type ruling struct {
	image  int32 // in Class.Images
	failed *classStep
}

// NewRules applies a class to an index.
func NewRules(x *Index, class Class) *Rules {
	r := &Rules{
		index: x, class: class, steps: askSteps(),
		kinds:   make([]ruling, len(x.types)),
		subnets: make([][]Subnet, len(x.zones)), private: make([]bool, len(x.zones)),
	}
	for _, subnet := range class.Subnets {
		if zone, found := x.findZone(subnet.Zone); found {
			r.subnets[zone] = append(r.subnets[zone], subnet)
			r.private[zone] = r.private[zone] || !subnet.Public
			r.anyPrivate = r.anyPrivate || !subnet.Public
		}
	}
	steps := classSteps()
	for i := range x.types {
		r.kinds[i] = r.rule(&x.types[i], steps)
	}
	return r
}

func (r *Rules) rule(kind *Type, steps []classStep) ruling {
	for i := range steps {
		if !steps[i].fits(&r.class, kind) {
			return ruling{failed: &steps[i]}
		}
	}
	return ruling{image: int32(imageFor(&r.class, kind))}
}

// Any says whether the class leaves any type at all.
func (r *Rules) Any() bool {
	return slices.ContainsFunc(r.kinds, func(k ruling) bool { return k.failed == nil })
}

// WhyNot is why the class leaves no cell of a type, going on where the type's
// name leaves off; empty where it leaves some.
func (r *Rules) WhyNot(name string) string {
	for i := range r.kinds {
		if failed := r.kinds[i].failed; failed != nil && r.index.types[i].Name == name {
			return failed.reason(&r.class, &r.index.types[i])
		}
	}
	return ""
}

// Architecture is what cells are to have for which nobody names one: that of
// the image for the default type, where the class leaves any type of it, else
// that of most types that it leaves; 0 where it leaves none.
func (r *Rules) Architecture(defaultType *Type) Architectures {
	left := map[Architectures]int{}
	for _, kind := range r.kinds {
		if kind.failed == nil {
			left[r.class.Images[kind.image].Architecture]++
		}
	}
	if image := imageFor(&r.class, defaultType); image >= 0 && left[r.class.Images[image].Architecture] > 0 {
		return r.class.Images[image].Architecture
	}
	switch {
	case len(left) == 0:
		return 0
	case left[ARM64] > left[AMD64]:
		return ARM64
	}
	return AMD64
}

// imageFor gives the place of the image for a type, -1 where there is none.
// Where the class has an image for the type's accelerator, of whichever
// architecture, others lack what that needs.
func imageFor(class *Class, kind *Type) int {
	accelerator := imageAccelerator(class, kind)
	return slices.IndexFunc(class.Images, func(image Image) bool {
		return image.Accelerator == accelerator && image.Architecture&kind.Architectures&class.architectures() != 0
	})
}

// imageAccelerator is which accelerator the image for a type has to be for.
func imageAccelerator(class *Class, kind *Type) string {
	accelerator := acceleratorOf(kind)
	if slices.ContainsFunc(class.Images, func(image Image) bool { return image.Accelerator == accelerator }) {
		return accelerator
	}
	return v1beta1.AcceleratorNone
}

func acceleratorOf(kind *Type) string {
	switch {
	case kind.GPUs > 0:
		return v1beta1.AcceleratorNvidia
	case kind.Neurons > 0:
		return v1beta1.AcceleratorNeuron
	}
	return v1beta1.AcceleratorNone
}

func (c *Class) architectures() Architectures {
	if c.Architectures == 0 {
		return allArchitectures
	}
	return c.Architectures
}

// boots says whether a type can boot an image.
func boots(kind *Type, image *Image) bool {
	s := &kind.Supports
	switch {
	case image.Paravirtual && !s.Paravirtual, !image.Paravirtual && !s.HVM:
		return false
	case image.UEFI && !s.UEFI, image.LegacyBIOS && !s.LegacyBIOS:
		return false
	}
	return image.ENA || !s.NeedsENA
}
