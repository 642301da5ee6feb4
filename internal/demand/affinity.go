package demand

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
)

// offeringKey is the label by which a Cell knows what a node label is about;
// empty for labels that do not say what the instance is.
func offeringKey(label string) string {
	switch label {
	case corev1.LabelTopologyZone, corev1.LabelFailureDomainBetaZone:
		return corev1.LabelTopologyZone
	case corev1.LabelInstanceTypeStable, corev1.LabelInstanceType:
		return corev1.LabelInstanceTypeStable
	case corev1.LabelArchStable, "beta.kubernetes.io/arch":
		return corev1.LabelArchStable
	}
	return ""
}

// How much a Cell's spec can hold.
const (
	maxTerms        = 16
	maxRequirements = 16 // of a term
	maxValues       = 64 // of a requirement
	maxValueLength  = 64
)

// affinity takes the pod's node selector and required node affinity into the
// Cell's spec.
func (r *reader) affinity(labels map[string]string) {
	const where = "spec.nodeSelector and spec.affinity.nodeAffinity"
	terms := offeringTerms(&r.pod.Spec, labels)
	if len(terms) > maxTerms {
		r.refuse(v1beta1.ReasonInvalidAffinity, "%s: %d terms are about zone, instance type or architecture; at most %d will do", where, len(terms), maxTerms)
	}
	for _, term := range terms {
		if len(term.Requirements) > maxRequirements {
			r.refuse(v1beta1.ReasonInvalidAffinity, "%s: a term has %d requirements on zone, instance type or architecture; at most %d will do",
				where, len(term.Requirements), maxRequirements)
		}
		for _, requirement := range term.Requirements {
			r.affinityValues(where, requirement)
		}
	}
	r.spec.OfferingTerms = terms
}

func (r *reader) affinityValues(where string, requirement v1beta1.OfferingRequirement) {
	if len(requirement.Values) > maxValues {
		r.refuse(v1beta1.ReasonInvalidAffinity, "%s: %d values of %s; at most %d will do", where, len(requirement.Values), requirement.Key, maxValues)
	}
	for _, value := range requirement.Values {
		if len(value) > maxValueLength {
			r.refuse(v1beta1.ReasonInvalidAffinity, "%s: %q is no value of %s", where, value, requirement.Key)
		}
	}
}

// offeringTerms are what the pod's node selector and required node affinity say
// of zone, instance type and architecture.
func offeringTerms(spec *corev1.PodSpec, labels map[string]string) []v1beta1.OfferingTerm {
	always := selectorRequirements(spec.NodeSelector)
	var terms []v1beta1.OfferingTerm
	for _, term := range affinityTerms(spec, labels) {
		requirements := slices.Concat(always, offeringRequirements(term))
		if len(requirements) == 0 {
			return nil // it holds for any offering
		}
		terms = append(terms, v1beta1.OfferingTerm{Requirements: requirements})
	}
	if len(terms) == 0 && len(always) > 0 {
		terms = []v1beta1.OfferingTerm{{Requirements: always}}
	}
	return terms
}

func selectorRequirements(selector map[string]string) []v1beta1.OfferingRequirement {
	var out []v1beta1.OfferingRequirement
	for label, value := range selector {
		if key := offeringKey(label); key != "" {
			out = append(out, v1beta1.OfferingRequirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{value}})
		}
	}
	slices.SortFunc(out, func(a, b v1beta1.OfferingRequirement) int {
		return slices.Compare([]string{a.Key, a.Values[0]}, []string{b.Key, b.Values[0]})
	})
	return out
}

// affinityTerms are those of the required terms by which the pod can be on the
// node; all of them where it was put there in spite of them.
func affinityTerms(spec *corev1.PodSpec, labels map[string]string) []corev1.NodeSelectorTerm {
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil || spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	all := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	var held []corev1.NodeSelectorTerm
	for _, term := range all {
		if othersHold(term, labels) && fieldsHold(term, spec.NodeName) {
			held = append(held, term)
		}
	}
	if len(held) == 0 {
		return all
	}
	return held
}

// othersHold says whether what a term asks of labels that say nothing of the
// instance holds on the node. A term that asks nothing never holds.
func othersHold(term corev1.NodeSelectorTerm, labels map[string]string) bool {
	if len(term.MatchExpressions)+len(term.MatchFields) == 0 {
		return false
	}
	for _, e := range term.MatchExpressions {
		if offeringKey(e.Key) == "" && !holds(e, labels) {
			return false
		}
	}
	return true
}

// fieldsHold is othersHold for the fields of the node; there is only its name.
func fieldsHold(term corev1.NodeSelectorTerm, node string) bool {
	for _, e := range term.MatchFields {
		if e.Key == metav1.ObjectNameField && !holds(e, map[string]string{e.Key: node}) {
			return false
		}
	}
	return true
}

func holds(e corev1.NodeSelectorRequirement, labels map[string]string) bool {
	value, set := labels[e.Key]
	switch e.Operator {
	case corev1.NodeSelectorOpIn:
		return set && slices.Contains(e.Values, value)
	case corev1.NodeSelectorOpNotIn:
		return !set || !slices.Contains(e.Values, value)
	case corev1.NodeSelectorOpExists:
		return set
	case corev1.NodeSelectorOpDoesNotExist:
		return !set
	}
	is, err := strconv.ParseInt(value, 10, 64)
	if err != nil || len(e.Values) != 1 {
		return false
	}
	limit, err := strconv.ParseInt(e.Values[0], 10, 64)
	return err == nil && (e.Operator == corev1.NodeSelectorOpGt && is > limit || e.Operator == corev1.NodeSelectorOpLt && is < limit)
}

// offeringRequirements are those that name values: that a label exists or not
// says nothing of the instance.
func offeringRequirements(term corev1.NodeSelectorTerm) []v1beta1.OfferingRequirement {
	var out []v1beta1.OfferingRequirement
	for _, e := range term.MatchExpressions {
		key := offeringKey(e.Key)
		if key == "" || e.Operator != corev1.NodeSelectorOpIn && e.Operator != corev1.NodeSelectorOpNotIn {
			continue
		}
		values := slices.Clone(e.Values)
		slices.Sort(values)
		out = append(out, v1beta1.OfferingRequirement{Key: key, Operator: e.Operator, Values: slices.Compact(values)})
	}
	return out
}
