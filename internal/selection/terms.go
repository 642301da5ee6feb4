package selection

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
)

// term is an OfferingTerm made ready: it holds where all of its parts do.
type term struct {
	archs Architectures
	named bool // it says something of architectures
	kinds set  // of places in Index.types
	zones set  // of places in Index.zones
}

// set says of each place whether it is in; nil is all of them.
type set []bool

func (s set) has(place int32) bool { return s == nil || s[place] }

// narrow leaves what is also among the places, or what is not.
func (s set) narrow(size int, places []int, in bool) set {
	narrowed := make(set, size)
	for place := range narrowed {
		narrowed[place] = !in && s.has(int32(place))
	}
	for _, place := range places {
		narrowed[place] = in && s.has(int32(place))
	}
	return narrowed
}

func compileTerms(x *Index, terms []v1beta1.OfferingTerm) []term {
	if len(terms) == 0 {
		return nil
	}
	compiled := make([]term, len(terms))
	for i := range terms {
		compiled[i] = compileTerm(x, &terms[i])
	}
	return compiled
}

func compileTerm(x *Index, t *v1beta1.OfferingTerm) term {
	out := term{archs: allArchitectures}
	for _, r := range t.Requirements {
		in := r.Operator == corev1.NodeSelectorOpIn
		switch r.Key {
		case corev1.LabelInstanceTypeStable:
			out.kinds = out.kinds.narrow(len(x.types), places(r.Values, x.find), in)
		case corev1.LabelTopologyZone:
			out.zones = out.zones.narrow(len(x.zones), places(r.Values, x.findZone), in)
		case corev1.LabelArchStable:
			out.named = true
			for _, arch := range []Architectures{AMD64, ARM64} {
				if slices.Contains(r.Values, arch.String()) != in {
					out.archs &^= arch
				}
			}
		}
	}
	return out
}

// places are those of the names that are found.
func places(names []string, find func(string) (int, bool)) []int {
	found := make([]int, 0, len(names))
	for _, name := range names {
		if place, ok := find(name); ok {
			found = append(found, place)
		}
	}
	return found
}

// termsAllow says whether some term allows the type, in whatever zone.
func (q *query) termsAllow(kind int32) bool {
	arch := q.kind(kind).Architectures
	for i := range q.terms {
		if t := &q.terms[i]; t.archs&arch != 0 && t.kinds.has(kind) {
			return true
		}
	}
	return len(q.terms) == 0
}

// termsAllowIn says whether some term allows the type in a zone.
func (q *query) termsAllowIn(kind, zone int32) bool {
	arch := q.kind(kind).Architectures
	for i := range q.terms {
		if t := &q.terms[i]; q.archsOf(t)&arch != 0 && t.kinds.has(kind) && t.zones.has(zone) {
			return true
		}
	}
	return len(q.terms) == 0
}
