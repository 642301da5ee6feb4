package cellspec

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
)

// Problem is why nothing can be launched for a Cell.
type Problem struct {
	// Reason is one of v1beta1.Reason…; Message names the field of the Cell, or
	// the class, that it is about.
	Reason, Message string
	// Step is the one that turned down what came nearest; empty where it did not
	// come to a choice.
	Step selection.Step
}

// ClassProblem says why nothing is launched in a class for now, nil where
// something is.
func ClassProblem(class *v1beta1.CellClass) *Problem {
	if !class.DeletionTimestamp.IsZero() {
		return &Problem{Reason: v1beta1.ReasonClassNotReady, Message: fmt.Sprintf("CellClass %q is being deleted", class.Name)}
	}
	ready := meta.FindStatusCondition(class.Status.Conditions, v1beta1.ConditionReady)
	current := ready != nil && ready.ObservedGeneration == class.Generation
	if current && ready.Status != metav1.ConditionTrue {
		return &Problem{Reason: ready.Reason, Message: fmt.Sprintf("CellClass %q: %s", class.Name, ready.Message)}
	}
	// An operator that did not know of groups in the status may have been the last to look.
	if !current || len(class.Status.SecurityGroups) == 0 {
		return &Problem{Reason: v1beta1.ReasonClassNotReady, Message: fmt.Sprintf("CellClass %q is being looked up in the cloud", class.Name)}
	}
	return nil
}

// NoOffering says of what no offering does for what came nearest to it.
func NoOffering(spec *v1beta1.CellSpec, class *v1beta1.CellClass, ask *selection.Ask, rules *selection.Rules, world selection.World) *Problem {
	step, message := selection.Nearest(rules, ask, world)
	p := &Problem{Step: step, Reason: v1beta1.ReasonNoFittingType, Message: message}
	named := spec.InstanceType
	switch {
	case step == selection.StepCapacity:
		p.Reason = v1beta1.ReasonNoCapacity
	case step == selection.StepImage && forItsVolume(ask, rules, world):
		p.Reason, p.Message = v1beta1.ReasonInvalidVolumeSize, "spec.volumeSize: "+message
	case ByDefault(spec, ask):
		p.Reason, p.Message = v1beta1.ReasonInvalidInstanceType, fmt.Sprintf("CellClass %q: spec.defaultInstanceType: %s", class.Name, message)
	case named != "" && (step == selection.StepRequested || !strings.Contains(named, "*")):
		p.Reason, p.Message = v1beta1.ReasonInvalidInstanceType, "spec.instanceType: "+message
	}
	return p
}

// forItsVolume says, of an Ask that is turned down at selection.StepImage,
// whether the size of the volume that it asks for is why: one that the class
// gives by default grows with the image.
func forItsVolume(ask *selection.Ask, rules *selection.Rules, world selection.World) bool {
	if ask.VolumeGiB == 0 {
		return false
	}
	growing := *ask
	growing.VolumeGiB = 0
	step, _ := selection.Nearest(rules, &growing, world)
	return step != selection.StepImage
}
