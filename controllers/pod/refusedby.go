package pod

import (
	"context"
	"errors"
	"net/http"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/admission"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/itzo"
)

// refusedHere says whether it was the agent of the pod's present Cell that has
// refused the pod.
func refusedHere(s *scope) bool {
	note := admission.NoteOf(s.pod)
	return note != nil && s.cell != nil && note.Cell == s.cell.UID
}

// knownToBeRefused says why a cell's agent would not take the pod: one has
// refused it, or, before an instance is launched, the class's agents are known.
func (c *Controller) knownToBeRefused(s *scope, class *v1beta1.CellClass) *refusal {
	if note := admission.NoteOf(s.pod); note != nil && note.Stands(s.pod, class, c.Version) {
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
	note := admission.Note{
		Pod: s.pod.UID, Generation: refused.generation, Cell: s.cell.UID, Image: s.cell.Status.ImageID, Operator: c.Version,
		Agent: agent, Message: admission.NotLaunched(refused.message, agent, s.class),
	}
	if class != nil {
		note.Class = class.UID
	}
	if attempts := s.cell.Status.Attempts; len(attempts) > 0 {
		note.ClassGeneration = attempts[len(attempts)-1].ClassGeneration
	}
	before := s.pod.DeepCopy()
	if err := note.Write(s.pod); err != nil {
		return err
	}
	delete(s.pod.Annotations, cellagent.AnnotationDispatchedTo)
	return c.patch(ctx, before, s.pod, "noting who refuses the pod")
}
