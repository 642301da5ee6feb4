package admission

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
)

// AnnotationRefusedBy says that the agent of a cell has refused the pod. The
// cell ends; another like it is not launched, whoever looks after the pod then.
const AnnotationRefusedBy = "kip.elotl.co/refused-by"

// Note is the annotation's content, in JSON.
type Note struct {
	// Pod is the UID: a copy of the pod was not refused. Generation is that of
	// the version which was.
	Pod        types.UID `json:"pod"`
	Generation int64     `json:"generation"`
	// Cell is the UID of the one whose agent it was, Image what it was made from.
	Cell  types.UID `json:"cell"`
	Image string    `json:"image,omitempty"`
	// Class is the UID of the class, ClassGeneration what the cell was made by,
	// Operator the version of the operator that saw it.
	Class           types.UID `json:"class,omitempty"`
	ClassGeneration int64     `json:"classGeneration"`
	Operator        string    `json:"operator,omitempty"`
	// Agent is its name and version, and its runtime's.
	Agent   string `json:"agent"`
	Message string `json:"message"`
}

// NoteOf reads the annotation; nil where there is none, or none of this pod's
// that can be read.
func NoteOf(pod *corev1.Pod) *Note {
	note := &Note{}
	err := json.Unmarshal([]byte(pod.Annotations[AnnotationRefusedBy]), note)
	if err != nil || note.Pod != pod.UID || note.Cell == "" || note.Message == "" {
		return nil
	}
	return note
}

// Write annotates the pod.
func (n *Note) Write(pod *corev1.Pod) error {
	content, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encoding who refuses the pod: %w", err)
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[AnnotationRefusedBy] = string(content)
	return nil
}

// Stands says whether another cell would have an agent that refuses the pod
// too: neither pod, class, image nor operator is another. Without a class, which
// is nil then, nothing could be launched.
func (n *Note) Stands(pod *corev1.Pod, class *v1beta1.CellClass, operator string) bool {
	if n.Generation != pod.Generation || n.Operator != operator {
		return false
	}
	if class == nil {
		return true
	}
	images := class.Status.Images
	sameImage := n.Image == "" || len(images) == 0 || slices.ContainsFunc(images, func(i v1beta1.ResolvedImage) bool { return i.ID == n.Image })
	return n.Class == class.UID && n.ClassGeneration == class.Generation && sameImage
}
