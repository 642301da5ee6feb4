package admission_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/admission"
)

// TestKnownAgents: a pod is refused when every cell that the class may launch
// would have an agent that is known to refuse it.
func TestKnownAgents(t *testing.T) {
	initialized := podOf(func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{{Name: "first", Image: "registry.example/a:1"}}
	})
	itzo := func(image string) v1beta1.KnownAgent {
		return v1beta1.KnownAgent{ImageID: image, ClassGeneration: 3, Name: "itzo", Version: "1.2"}
	}
	older := itzo("ami-1")
	older.ClassGeneration = 2
	for name, test := range map[string]struct {
		images []string
		agents []v1beta1.KnownAgent
		named  string
		want   string // in the message; empty: not refused
	}{
		"nothing is known":       {[]string{"ami-1"}, nil, "", ""},
		"all refuse":             {[]string{"ami-1", "ami-2"}, []v1beta1.KnownAgent{itzo("ami-1"), itzo("ami-2")}, "", "agent itzo 1.2 refuses that"},
		"one is not known":       {[]string{"ami-1", "ami-2"}, []v1beta1.KnownAgent{itzo("ami-1")}, "", ""},
		"one takes it":           {[]string{"ami-1", "ami-2"}, []v1beta1.KnownAgent{itzo("ami-1"), {ImageID: "ami-2", ClassGeneration: 3, Name: "kip", Version: "v2"}}, "", ""},
		"of the class before":    {[]string{"ami-1"}, []v1beta1.KnownAgent{older}, "", ""},
		"of an unknown kind":     {[]string{"ami-1"}, []v1beta1.KnownAgent{{ImageID: "ami-1", ClassGeneration: 3, Name: "other", Version: "1.2"}}, "", ""},
		"named":                  {[]string{"ami-1"}, nil, "1.1.4", "agent itzo 1.1 refuses that"},
		"named, no image yet":    {nil, nil, "v1.2.0-rc.1", "agent itzo 1.2 refuses that"},
		"named, and not Itzo's":  {[]string{"ami-1"}, nil, "v1.21.0", ""},
		"named, and told better": {[]string{"ami-1"}, []v1beta1.KnownAgent{{ImageID: "ami-1", ClassGeneration: 3, Name: "kip", Version: "v2"}}, "v1.2.0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			class := &v1beta1.CellClass{}
			class.Name, class.Generation, class.Spec.Itzo.Version, class.Status.Agents = "batch", 3, test.named, test.agents
			for _, id := range test.images {
				class.Status.Images = append(class.Status.Images, v1beta1.ResolvedImage{ID: id})
			}
			got := admission.KnownAgents(initialized, class)
			if (got != nil) != (test.want != "") || got != nil && (got.Reason != v1beta1.ReasonUnsupportedField ||
				!strings.HasPrefix(got.Message, "spec.initContainers") || !strings.Contains(got.Message, test.want) || !strings.Contains(got.Message, `CellClass "batch"`)) {
				t.Errorf("refusal %+v", got)
			}
			if plain := admission.KnownAgents(podOf(), class); plain != nil {
				t.Errorf("a plain pod is refused: %+v", plain)
			}
		})
	}
	if admission.KnownAgents(initialized, nil) != nil {
		t.Error("refused without a class")
	}
}
