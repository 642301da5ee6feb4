package selection

import "fmt"

// unnamedArchitectures are those that are left to whoever names none: the
// class's default, unless the ask is for types that do not have that.
func (q *query) unnamedArchitectures() Architectures {
	own := q.rules.class.DefaultArchitecture
	if own == 0 || q.exact || q.ask.Type != "" && !q.matchesSome(own) {
		return allArchitectures
	}
	return own
}

// matchesSome says whether the ask's pattern matches a type of an architecture.
func (q *query) matchesSome(arch Architectures) bool {
	for i := range q.rules.index.types {
		if t := &q.rules.index.types[i]; t.Architectures&arch != 0 && matches(q.ask.Type, t.Name) {
			return true
		}
	}
	return false
}

// archsOf are the architectures that a term allows.
func (q *query) archsOf(t *term) Architectures {
	if t.named {
		return t.archs
	}
	return q.unnamed
}

// architectureAllowed says of a type that the terms allow whether somebody
// wants its architecture: the class's default is for all.
func (q *query) architectureAllowed(kind int32) bool {
	arch := q.kind(kind).Architectures
	if q.unnamed&arch != 0 {
		return true
	}
	for i := range q.terms {
		if t := &q.terms[i]; q.archsOf(t)&arch != 0 && t.kinds.has(kind) {
			return true
		}
	}
	return false
}

func whyNotArchitecture(q *query, t *Type) string {
	return fmt.Sprintf("is %s, but a pod that names no architecture gets %s in this class: name it by node selector or affinity "+
		"(kubernetes.io/arch), or list both in the class's spec.architectures, if all images are for both", t.Architectures, q.unnamed)
}

// volumeFits says whether the type's image fits into the volume asked for. The
// class must allow the type.
func (q *query) volumeFits(kind int32) bool {
	image := &q.rules.class.Images[q.rules.kinds[kind].image]
	return q.ask.VolumeGiB == 0 || int64(image.VolumeGiB)+int64(q.ask.StorageGiB) <= int64(q.ask.VolumeGiB)
}

func whyNotVolume(q *query, t *Type) string {
	image := &q.rules.class.Images[imageFor(&q.rules.class, t)]
	return "cannot have the volume asked for: " + q.tooSmall(image)
}

// tooSmall compares the volume asked for with an image.
func (q *query) tooSmall(image *Image) string {
	size := fmt.Sprintf("%dGi is smaller than the root volume of image %s, %dGi", q.ask.VolumeGiB, image.ID, image.VolumeGiB)
	if q.ask.StorageGiB > 0 {
		size += fmt.Sprintf(", with %dGi ephemeral-storage beside it", q.ask.StorageGiB)
	}
	return size
}

// nearly is the cheapest listing that does, or would with capacity; nil where
// none is known. The query learns its floors.
func (q *query) nearly() *listing {
	if chosen := q.choose(1); len(chosen) > 0 {
		return chosen[0].listing
	}
	for _, market := range q.markets() {
		if l := q.floor[market].listing; l != nil {
			return l
		}
	}
	return nil
}

// lifted says, where something would do but for the size of the volume or for
// its architecture, what that is; the step is empty else.
func (q *query) lifted() (Step, string) {
	if q.ask.VolumeGiB > 0 {
		growing := *q.ask
		growing.VolumeGiB = 0
		if l := newQuery(q.rules, &growing, q.world).nearly(); l != nil && !q.typeFits(l.kind) {
			return StepImage, q.tooSmall(&q.rules.class.Images[q.rules.kinds[l.kind].image])
		}
	}
	either := newQuery(q.rules, q.ask, q.world)
	either.unnamed = allArchitectures
	if l := either.nearly(); l != nil && !q.typeFits(l.kind) {
		return StepArchitecture, fmt.Sprintf("%s would do, but %s", q.kind(l.kind).Name, whyNotArchitecture(q, q.kind(l.kind)))
	}
	return "", ""
}
