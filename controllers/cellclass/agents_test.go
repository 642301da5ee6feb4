package cellclass

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/api/v1beta1"
)

// TestNoteAgents: what Cells have told is kept when they are gone, as long as
// Cells made now would have the same agent.
func TestNoteAgents(t *testing.T) {
	no := false
	classOf := func(url string, agents ...v1beta1.KnownAgent) *v1beta1.CellClass {
		class := &v1beta1.CellClass{}
		class.Generation, class.Spec.Itzo.URL = 3, url
		class.Status.Images = []v1beta1.ResolvedImage{{ID: "ami-1"}, {ID: "ami-2"}}
		class.Status.Agents = agents
		return class
	}
	cell := func(image string, generation int64, agent *v1beta1.AgentStatus) v1beta1.Cell {
		return v1beta1.Cell{Status: v1beta1.CellStatus{
			ImageID: image, Agent: agent, Attempts: []v1beta1.LaunchAttempt{{ClassGeneration: 1}, {ClassGeneration: generation}},
		}}
	}
	told := func(image, version string) v1beta1.KnownAgent {
		return v1beta1.KnownAgent{ImageID: image, ClassGeneration: 3, Name: "kip", Version: version, Runtime: "containerd 1.6.20", AppArmor: &no}
	}
	tells := func(version string) *v1beta1.AgentStatus {
		return &v1beta1.AgentStatus{Name: "kip", Version: version, Runtime: "containerd 1.6.20", AppArmor: &no}
	}
	const url = "https://agents.example"
	older := told("ami-1", "v2")
	older.ClassGeneration = 2
	for name, test := range map[string]struct {
		class *v1beta1.CellClass
		cells []v1beta1.Cell
		want  []v1beta1.KnownAgent
	}{
		"nobody has told":             {classOf(url), []v1beta1.Cell{{}, cell("ami-1", 3, nil)}, nil},
		"both images":                 {classOf(url), []v1beta1.Cell{cell("ami-2", 3, tells("v2")), cell("ami-1", 3, tells("v3"))}, []v1beta1.KnownAgent{told("ami-1", "v3"), told("ami-2", "v2")}},
		"kept":                        {classOf(url, told("ami-1", "v2")), nil, []v1beta1.KnownAgent{told("ami-1", "v2")}},
		"another since":               {classOf(url, told("ami-1", "v2")), []v1beta1.Cell{cell("ami-1", 3, tells("v3"))}, []v1beta1.KnownAgent{told("ami-1", "v3")}},
		"of an older class":           {classOf(url, older), []v1beta1.Cell{cell("ami-2", 2, tells("v2"))}, nil},
		"not known of which class":    {classOf(url), []v1beta1.Cell{cell("ami-2", 0, tells("v2"))}, nil},
		"of an image that is gone":    {classOf(url, told("ami-0", "v2")), []v1beta1.Cell{cell("ami-3", 3, tells("v2"))}, nil},
		"the operator's own":          {classOf(""), []v1beta1.Cell{cell("ami-1", 3, tells("v9"))}, []v1beta1.KnownAgent{told("ami-1", "v9")}},
		"the operator's of before":    {classOf("", told("ami-1", "v8")), nil, nil},
		"an image's own, without URL": {classOf("", v1beta1.KnownAgent{ImageID: "ami-1", ClassGeneration: 3, Name: "itzo", Version: "1.2"}), nil, []v1beta1.KnownAgent{{ImageID: "ami-1", ClassGeneration: 3, Name: "itzo", Version: "1.2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := New(Options{Version: "v9"})
			c.noteAgents(test.class, test.cells)
			if diff := cmp.Diff(test.want, test.class.Status.Agents); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
