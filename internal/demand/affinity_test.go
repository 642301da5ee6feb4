package demand_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/demand"
)

const (
	zone     = corev1.LabelTopologyZone
	kind     = corev1.LabelInstanceTypeStable
	arch     = corev1.LabelArchStable
	in       = corev1.NodeSelectorOpIn
	notIn    = corev1.NodeSelectorOpNotIn
	exists   = corev1.NodeSelectorOpExists
	existsNo = corev1.NodeSelectorOpDoesNotExist
)

func nodeLabels() map[string]string {
	return map[string]string{"type": "virtual-kubelet", "team": "red", "rank": "5"}
}

func expression(key string, op corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorRequirement {
	return corev1.NodeSelectorRequirement{Key: key, Operator: op, Values: values}
}

func affinityTerm(expressions ...corev1.NodeSelectorRequirement) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchExpressions: expressions}
}

func onNode(op corev1.NodeSelectorOperator, name string, expressions ...corev1.NodeSelectorRequirement) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchExpressions: expressions, MatchFields: []corev1.NodeSelectorRequirement{expression("metadata.name", op, name)}}
}

func offeringTerm(requirements ...v1beta1.OfferingRequirement) v1beta1.OfferingTerm {
	return v1beta1.OfferingTerm{Requirements: requirements}
}

func requirement(key string, op corev1.NodeSelectorOperator, values ...string) v1beta1.OfferingRequirement {
	return v1beta1.OfferingRequirement{Key: key, Operator: op, Values: values}
}

func placed(selector map[string]string, terms ...corev1.NodeSelectorTerm) *corev1.Pod {
	p := annotated()
	p.Spec.NodeSelector = selector
	if len(terms) > 0 {
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms},
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
				{Weight: 1, Preference: affinityTerm(expression(zone, in, "preferred"))},
			},
		}}
	}
	return p
}

type placing struct {
	selector map[string]string
	terms    []corev1.NodeSelectorTerm
	want     []v1beta1.OfferingTerm
}

func placings() map[string]placing {
	type terms = []corev1.NodeSelectorTerm
	type offers = []v1beta1.OfferingTerm
	inA := offers{offeringTerm(requirement(zone, in, "a"))}
	return map[string]placing{
		"nothing":           {nil, nil, nil},
		"other labels":      {map[string]string{"type": "virtual-kubelet"}, nil, nil},
		"a zone":            {map[string]string{zone: "a", "team": "red"}, nil, inA},
		"a legacy zone":     {map[string]string{corev1.LabelFailureDomainBetaZone: "a"}, nil, inA},
		"a legacy type":     {map[string]string{corev1.LabelInstanceType: "m5.large"}, nil, offers{offeringTerm(requirement(kind, in, "m5.large"))}},
		"a legacy arch":     {map[string]string{"beta.kubernetes.io/arch": "arm64"}, nil, offers{offeringTerm(requirement(arch, in, "arm64"))}},
		"all, in order":     {map[string]string{zone: "a", kind: "m5.large", arch: "amd64"}, nil, offers{offeringTerm(requirement(arch, in, "amd64"), requirement(kind, in, "m5.large"), requirement(zone, in, "a"))}},
		"values, sorted":    {nil, terms{affinityTerm(expression(zone, in, "b", "a", "b"))}, offers{offeringTerm(requirement(zone, in, "a", "b"))}},
		"not in":            {nil, terms{affinityTerm(expression(zone, notIn, "a"), expression(arch, in, "arm64"))}, offers{offeringTerm(requirement(zone, notIn, "a"), requirement(arch, in, "arm64"))}},
		"several terms":     {nil, terms{affinityTerm(expression(zone, in, "a")), affinityTerm(expression(kind, in, "m5.large"))}, offers{inA[0], offeringTerm(requirement(kind, in, "m5.large"))}},
		"selector and term": {map[string]string{arch: "arm64"}, terms{affinityTerm(expression(zone, in, "a"))}, offers{offeringTerm(requirement(arch, in, "arm64"), requirement(zone, in, "a"))}},
		"exists":            {nil, terms{affinityTerm(expression(zone, exists), expression(arch, exists))}, nil},
		"one term that any offering meets": {nil,
			terms{affinityTerm(expression(zone, in, "a")), affinityTerm(expression("team", in, "red"))}, nil},
		"one term whose other labels do not hold": {nil,
			terms{affinityTerm(expression(zone, in, "a")), affinityTerm(expression("team", in, "blue"))}, inA},
		"a term by labels that hold": {nil, terms{affinityTerm(expression(zone, in, "a"), expression("team", exists), expression("team", notIn, "blue"),
			expression("none", existsNo), expression("none", notIn, "x"), expression("rank", corev1.NodeSelectorOpGt, "4"), expression("rank", corev1.NodeSelectorOpLt, "6"))}, inA},
		"none whose labels hold: what it says of the instance counts": {nil, terms{affinityTerm(expression(zone, in, "a"), expression("team", in, "blue"))}, inA},
		"an empty term never holds":                                   {nil, terms{{}, affinityTerm(expression(zone, in, "a"))}, inA},
		"the node by name":                                            {nil, terms{onNode(in, "kip-default")}, nil},
		"another node by name":                                        {nil, terms{onNode(in, "other"), affinityTerm(expression(zone, in, "a"))}, inA},
		"the node, not by name":                                       {nil, terms{onNode(notIn, "kip-default"), affinityTerm(expression(zone, in, "a"))}, inA},
		"the node by name, and a zone":                                {nil, terms{onNode(in, "kip-default", expression(zone, in, "a"))}, inA},
	}
}

func TestPlacing(t *testing.T) {
	for name, test := range placings() {
		got, refusals := demand.Of(placed(test.selector, test.terms...), nil, nodeLabels())
		if len(refusals) > 0 {
			t.Errorf("%s: %v", name, refusals)
		}
		if diff := cmp.Diff(test.want, got.OfferingTerms); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Labels of the node that cannot be compared hold for nothing.
func TestComparingLabels(t *testing.T) {
	for _, e := range []corev1.NodeSelectorRequirement{
		expression("team", corev1.NodeSelectorOpGt, "1"), expression("rank", corev1.NodeSelectorOpGt, "x"), expression("rank", corev1.NodeSelectorOpGt, "5"),
		expression("rank", corev1.NodeSelectorOpLt, "5"), expression("rank", corev1.NodeSelectorOpGt), expression("none", corev1.NodeSelectorOpLt, "5"),
	} {
		got, _ := demand.Of(placed(nil, affinityTerm(e), affinityTerm(expression(zone, in, "a"))), nil, nodeLabels())
		if len(got.OfferingTerms) != 1 {
			t.Errorf("%+v holds: %+v", e, got.OfferingTerms)
		}
	}
}

func TestTooMuchAffinity(t *testing.T) {
	values := func(n int) []string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf("zone-%03d", i))
		}
		return out
	}
	var many []corev1.NodeSelectorTerm
	var wide corev1.NodeSelectorTerm
	for _, v := range values(17) {
		many = append(many, affinityTerm(expression(zone, in, v)))
		wide.MatchExpressions = append(wide.MatchExpressions, expression(zone, notIn, v))
	}
	for name, test := range map[string]struct {
		terms []corev1.NodeSelectorTerm
		want  string
	}{
		"terms":        {many, "17 terms are about zone, instance type or architecture; at most 16"},
		"requirements": {[]corev1.NodeSelectorTerm{wide}, "17 requirements"},
		"values":       {[]corev1.NodeSelectorTerm{affinityTerm(expression(zone, in, values(65)...))}, "65 values of topology.kubernetes.io/zone; at most 64"},
		"a value":      {[]corev1.NodeSelectorTerm{affinityTerm(expression(kind, in, strings.Repeat("x", 65)))}, "is no value of node.kubernetes.io/instance-type"},
	} {
		_, refusals := demand.Of(placed(nil, test.terms...), nil, nil)
		if len(refusals) != 1 || refusals[0].Reason != v1beta1.ReasonInvalidAffinity || !strings.Contains(refusals[0].Message, test.want) ||
			!strings.Contains(refusals[0].Message, "spec.affinity.nodeAffinity") {
			t.Errorf("too many %s: %v", name, refusals)
		}
	}
	if _, refusals := demand.Of(placed(nil, many[:16]...), nil, nil); len(refusals) > 0 {
		t.Errorf("16 terms: %v", refusals)
	}
}
