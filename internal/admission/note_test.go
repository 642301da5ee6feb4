package admission_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/admission"
)

// FuzzNoteOf: whoever may annotate the pod may write anything there. What can be
// read is what would be written.
func FuzzNoteOf(f *testing.F) {
	for _, seed := range []string{"", "{", "null", "[1]", `{"pod":"u","cell":"c","message":"no"}`,
		`{"pod":"u","generation":-1,"cell":"c","message":"no"}`, `{"pod":"v","cell":"c","message":"no"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		pod := &corev1.Pod{}
		pod.UID, pod.Annotations = "u", map[string]string{admission.AnnotationRefusedBy: content}
		note := admission.NoteOf(pod)
		if note == nil {
			return
		}
		if note.Pod != pod.UID || note.Cell == "" || note.Message == "" {
			t.Errorf("%q is taken for %+v", content, note)
		}
		if err := note.Write(pod); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(note, admission.NoteOf(pod)); diff != "" {
			t.Error(diff)
		}
	})
}

// TestStands: a refusal stands as long as nothing is another.
func TestStands(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*corev1.Pod, *v1beta1.CellClass)
		want   bool
	}{
		"nothing":       {func(*corev1.Pod, *v1beta1.CellClass) {}, true},
		"pod":           {func(p *corev1.Pod, _ *v1beta1.CellClass) { p.Generation++ }, false},
		"class":         {func(_ *corev1.Pod, c *v1beta1.CellClass) { c.Generation++ }, false},
		"another class": {func(_ *corev1.Pod, c *v1beta1.CellClass) { c.UID = "later" }, false},
		"another image": {func(_ *corev1.Pod, c *v1beta1.CellClass) { c.Status.Images[0].ID = "ami-2" }, false},
		"one more image": {func(_ *corev1.Pod, c *v1beta1.CellClass) {
			c.Status.Images = append(c.Status.Images, c.Status.Images[0])
		}, true},
		"no images any more": {func(_ *corev1.Pod, c *v1beta1.CellClass) { c.Status.Images = nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			pod, class := &corev1.Pod{}, &v1beta1.CellClass{}
			pod.UID, pod.Generation = "u", 2
			class.UID, class.Generation, class.Status.Images = "k", 3, []v1beta1.ResolvedImage{{ID: "ami-1"}}
			note := &admission.Note{Pod: "u", Generation: 2, Cell: "c", Image: "ami-1", Class: "k", ClassGeneration: 3, Operator: "v1", Message: "no"}
			test.change(pod, class)
			if got := note.Stands(pod, class, "v1"); got != test.want {
				t.Errorf("stands: %v", got)
			}
			if note.Stands(pod, class, "v2") {
				t.Error("it stands with another operator")
			}
			if got := note.Stands(pod, nil, "v1"); got != (pod.Generation == 2) {
				t.Errorf("stands without a class: %v", got)
			}
		})
	}
}
