package main

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
	"kip.elotl.co/internal/podsupport"
)

// verdict is what the page says of a field; as is every comparison of two.
type verdict string

const (
	honoured verdict = "yes"
	refused  verdict = "refused"
)

// agent is one that is asked; with says what it takes to have it.
type agent struct {
	with string
	info itzo.Info
}

// ourAgents begin with what every cell has.
func ourAgents() []agent {
	on := func(version string, appArmor bool) itzo.Info {
		return itzo.Info{
			Agent: itzo.AgentName, Protocol: itzo.ExtensionProtocol, Features: []itzo.Feature{itzo.FeaturePod}, AppArmor: appArmor,
			Runtime: itzo.RuntimeInfo{Name: "containerd", Version: version},
		}
	}
	return []agent{
		{"", on("1.6.0", false)},
		{"with containerd 2.0", on("2.0.0", false)},
		{"with containerd 2.4", on("2.4.0", false)},
		{"where the kernel has AppArmor", on("1.6.0", true)},
	}
}

func oldAgents() []agent {
	return []agent{{"", itzo.Generation12.Info()}, {"with version 1.1", itzo.Generation11.Info()}}
}

// examine tries every field.
func examine(constants map[string][]string) *node {
	tree := root()
	for _, leaf := range tree.leaves() {
		samples := leaf.samples(constants)
		leaf.ours, leaf.old = leaf.judge(samples, ourAgents()), leaf.judge(samples, oldAgents())
	}
	return tree
}

// judge sums up what becomes of each value.
func (n *node) judge(samples []sample, agents []agent) verdict {
	var conditions []string // in the order in which they first hold
	accepted := map[string][]string{}
	var turnedDown []string
	for _, sample := range samples {
		condition, ok := n.accepted(sample, agents)
		if !ok {
			turnedDown = append(turnedDown, "`"+sample.label+"`")
			continue
		}
		if accepted[condition] == nil {
			conditions = append(conditions, condition)
		}
		accepted[condition] = append(accepted[condition], "`"+sample.label+"`")
	}
	switch {
	case len(conditions) == 0:
		return refused
	case len(conditions) > 1 || len(turnedDown) > 0:
		return listed(conditions, accepted, turnedDown)
	case conditions[0] != "":
		return verdict(conditions[0])
	}
	return honoured
}

// listed names values; there is more than one.
func listed(conditions []string, accepted map[string][]string, turnedDown []string) verdict {
	var parts []string
	for _, condition := range conditions {
		parts = append(parts, strings.TrimSpace(strings.Join(accepted[condition], ", ")+" "+condition))
	}
	if len(turnedDown) > 0 {
		parts = append(parts, "not "+strings.Join(turnedDown, ", "))
	}
	return verdict(strings.Join(parts, "; "))
}

// accepted says what it takes that an agent honours the value, empty: nothing; not ok: none does.
func (n *node) accepted(sample sample, agents []agent) (condition string, ok bool) {
	for _, agent := range agents {
		pod := &corev1.Pod{}
		n.companion().add(pod, n)
		sample.set(n.in(pod))
		errs := append(podsupport.Unsupported(pod, agent.info), podspec.Unsupported(pod)...)
		if !slices.ContainsFunc(errs, n.concerns) {
			return strings.TrimSpace(agent.with + " " + n.companion().with), true
		}
	}
	return "", false
}

// concerns says whether an error is about the field, not about another one that lacks.
func (n *node) concerns(err *field.Error) bool {
	path := n.errorPath()
	return within(err.Field, path) || within(path, err.Field) && err.Type != field.ErrorTypeRequired
}

func within(path, other string) bool {
	rest, ok := strings.CutPrefix(path, other)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
