package selection

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
)

// term is an OfferingTerm made ready: it holds where all of its parts do.
type term struct {
	kinds []requirement
	archs Architectures
	zones []requirement
}

type requirement struct {
	in     bool
	values []string
}

func (r requirement) holds(value string) bool { return slices.Contains(r.values, value) == r.in }

func compileTerms(terms []v1beta1.OfferingTerm) []term {
	if len(terms) == 0 {
		return nil
	}
	compiled := make([]term, len(terms))
	for i, t := range terms {
		compiled[i] = compileTerm(t)
	}
	return compiled
}

func compileTerm(t v1beta1.OfferingTerm) term {
	out := term{archs: allArchitectures}
	for _, r := range t.Requirements {
		made := requirement{in: r.Operator == corev1.NodeSelectorOpIn, values: r.Values}
		switch r.Key {
		case corev1.LabelInstanceTypeStable:
			out.kinds = append(out.kinds, made)
		case corev1.LabelTopologyZone:
			out.zones = append(out.zones, made)
		case corev1.LabelArchStable:
			for _, arch := range []Architectures{AMD64, ARM64} {
				if !made.holds(arch.String()) {
					out.archs &^= arch
				}
			}
		}
	}
	return out
}

func (t *term) allowsType(kind *Type) bool {
	if t.archs&kind.Architectures == 0 {
		return false
	}
	return allHold(t.kinds, kind.Name)
}

func allHold(requirements []requirement, value string) bool {
	for i := range requirements {
		if !requirements[i].holds(value) {
			return false
		}
	}
	return true
}

// termsAllow says whether some term allows the type, in whatever zone.
func (q *query) termsAllow(kind *Type) bool {
	for i := range q.terms {
		if q.terms[i].allowsType(kind) {
			return true
		}
	}
	return len(q.terms) == 0
}

// termsAllowIn says whether some term allows the type in a zone.
func (q *query) termsAllowIn(kind *Type, zone string) bool {
	for i := range q.terms {
		if q.terms[i].allowsType(kind) && allHold(q.terms[i].zones, zone) {
			return true
		}
	}
	return len(q.terms) == 0
}
