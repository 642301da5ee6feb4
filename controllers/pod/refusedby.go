package pod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/admission"
	"kip.elotl.co/internal/itzo"
)

// annotationRefusedBy says that the agent of a cell has refused the pod. The
// cell ends; another like it is not launched, whoever looks after the pod then.
const annotationRefusedBy = "kip.elotl.co/refused-by"

// refusedBy is the annotation's content, in JSON.
type refusedBy struct {
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

// refusalNote reads the annotation; nil where there is none, or none of this
// pod's that can be read.
func refusalNote(pod *corev1.Pod) *refusedBy {
	note := &refusedBy{}
	err := json.Unmarshal([]byte(pod.Annotations[annotationRefusedBy]), note)
	if err != nil || note.Pod != pod.UID || note.Cell == "" || note.Message == "" {
		return nil
	}
	return note
}

// stands says whether another cell would have an agent that refuses the pod
// too: neither pod, class, image nor operator is another.
func (n *refusedBy) stands(pod *corev1.Pod, class *v1beta1.CellClass, operator string) bool {
	if n.Generation != pod.Generation || n.Operator != operator {
		return false
	}
	if class == nil {
		return true // nothing could be launched
	}
	images := class.Status.Images
	sameImage := n.Image == "" || len(images) == 0 || slices.ContainsFunc(images, func(i v1beta1.ResolvedImage) bool { return i.ID == n.Image })
	return n.Class == class.UID && n.ClassGeneration == class.Generation && sameImage
}

// refusedHere says whether it was the agent of the pod's present Cell that has
// refused the pod.
func refusedHere(s *scope) bool {
	note := refusalNote(s.pod)
	return note != nil && s.cell != nil && note.Cell == s.cell.UID
}

// knownToBeRefused says why a cell's agent would not take the pod: one has
// refused it, or, before an instance is launched, the class's agents are known.
func (c *Controller) knownToBeRefused(s *scope, class *v1beta1.CellClass) *refusal {
	if note := refusalNote(s.pod); note != nil && note.stands(s.pod, class, c.Version) {
		return &refusal{reason: v1beta1.ReasonUnsupportedField, message: note.Message}
	}
	if s.cell != nil && s.cell.Status.InstanceID != "" {
		return nil // its own agent decides
	}
	return refusalOf(admission.KnownAgents(s.pod, class))
}

// agentRefusal is the answer of an agent that has no pod and does not take this
// version of it.
type agentRefusal struct {
	error
	agent      itzo.Info
	generation int64
	// message names what it refuses.
	message string
}

// Unwrap gives the agent's answer.
func (r *agentRefusal) Unwrap() error { return r.error }

// orRefusal makes of what came of sending the pod an agentRefusal where the
// agent says that it is one, and that it has no pod of an earlier try.
func orRefusal(ctx context.Context, d delivery, err error) error {
	var answer *itzo.StatusError
	if !errors.As(err, &answer) || answer.Code != http.StatusBadRequest {
		return err
	}
	agent := d.generation.Info()
	if d.generation != "" {
		status, failed := d.agent.Status(ctx)
		if failed != nil || status.PodIP != "" {
			return err
		}
	} else {
		var failed error
		if agent, failed = d.agent.Info(ctx); failed != nil || agent.PodUID != "" {
			return err
		}
	}
	return &agentRefusal{error: err, agent: agent, generation: d.pod.Generation, message: answer.Message}
}

// noteRefusal writes to the pod, which has not started, that the agent of its
// cell refuses it. What follows from that is for the next reconcile.
func (c *Controller) noteRefusal(ctx context.Context, s *scope, refused *agentRefusal) error {
	class, err := c.classOf(ctx, s.class)
	if err != nil {
		return err
	}
	agent := admission.AgentText(refused.agent)
	note := refusedBy{
		Pod: s.pod.UID, Generation: refused.generation, Cell: s.cell.UID, Image: s.cell.Status.ImageID, Operator: c.Version,
		Agent: agent, Message: admission.NotLaunched(refused.message, agent, s.class),
	}
	if class != nil {
		note.Class = class.UID
	}
	if attempts := s.cell.Status.Attempts; len(attempts) > 0 {
		note.ClassGeneration = attempts[len(attempts)-1].ClassGeneration
	}
	content, err := json.Marshal(note)
	if err != nil {
		return fmt.Errorf("encoding who refuses the pod: %w", err)
	}
	before := s.pod.DeepCopy()
	if s.pod.Annotations == nil {
		s.pod.Annotations = map[string]string{}
	}
	s.pod.Annotations[annotationRefusedBy] = string(content)
	delete(s.pod.Annotations, annotationDispatchedTo)
	return c.patch(ctx, before, s.pod, "noting who refuses the pod")
}
