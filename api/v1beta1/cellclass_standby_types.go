package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// StandbyCells are cells that are kept booted for pods to come.
type StandbyCells struct {
	// instanceType is the EC2 instance type that they have, such as m5.large.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[a-z0-9][a-z0-9-]*\.[a-z0-9-]+$`
	InstanceType string `json:"instanceType"`

	// launchType is the market that they are bought in: On-demand, Spot or
	// Spot-preferred. The class's defaultLaunchType where it is absent.
	// +optional
	LaunchType LaunchType `json:"launchType,omitempty"`

	// zone is the only zone that they may be in, such as us-east-1a; any of the
	// class's where it is absent.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Zone string `json:"zone,omitempty"`

	// count is how many of them are to be without a pod.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Count int32 `json:"count"`

	// maxAge is how long one may wait for a pod before another takes its place,
	// such as "24h" or "90m"; "0" is for ever. At least 10m, at most a year.
	// +kubebuilder:default="168h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$|^0$')",message="must be a duration such as 24h or 1h30m, or 0 for ever"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$') || duration(self) == duration('0s') || (duration(self) >= duration('10m') && duration(self) <= duration('8784h'))",message="must be between 10m and 8784h, or 0 for ever"
	// +optional
	MaxAge *metav1.Duration `json:"maxAge,omitempty"`
}

// DisruptionSpec says what becomes of cells that run a pod and were made from
// the class as it was.
type DisruptionSpec struct {
	// drifted: Leave lets a drifted cell run its pod to the end; Replace evicts
	// pods of drifted cells that have a controller, which makes others in their
	// place. A PodDisruptionBudget holds that up.
	// +kubebuilder:default=Leave
	// +optional
	Drifted DriftPolicy `json:"drifted,omitempty"`

	// budget is how many of the class's cells with a pod may be without a running
	// one at once before no more pods are evicted: a number, or a percentage of
	// them, rounded up, such as "10%".
	// +kubebuilder:default=1
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=4
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 1000 : self.matches('^([1-9][0-9]?|100)%$')",message="must be a number from 1 to 1000 or a percentage from 1% to 100%"
	// +optional
	Budget *intstr.IntOrString `json:"budget,omitempty"`
}

// DriftPolicy says what becomes of a drifted cell that runs a pod.
//
// +kubebuilder:validation:Enum=Leave;Replace
type DriftPolicy string

// The policies.
const (
	DriftLeave   DriftPolicy = "Leave"
	DriftReplace DriftPolicy = "Replace"
)
