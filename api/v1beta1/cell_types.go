package v1beta1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CellSpec says what is wanted of one instance. It cannot be changed, except
// that podRef can be set once.
//
// +kubebuilder:validation:XValidation:rule="self.cellClassName == oldSelf.cellClassName",message="spec.cellClassName cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.instanceType) == has(oldSelf.instanceType) && (!has(self.instanceType) || self.instanceType == oldSelf.instanceType)",message="spec.instanceType cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.volumeSize) == has(oldSelf.volumeSize) && (!has(self.volumeSize) || quantity(string(self.volumeSize)).compareTo(quantity(string(oldSelf.volumeSize))) == 0)",message="spec.volumeSize cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.podRef) || (has(self.podRef) && self.podRef == oldSelf.podRef)",message="spec.podRef can be set once and not be changed"
type CellSpec struct {
	// cellClassName names the CellClass that says how the cell is made.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=59
	CellClassName string `json:"cellClassName"`

	// instanceType is the EC2 instance type to launch, such as m5.large. The
	// class's defaultInstanceType where it is absent.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[a-z0-9][a-z0-9-]*\.[a-z0-9-]+$`
	InstanceType string `json:"instanceType,omitempty"`

	// volumeSize is the size of the root volume, rounded up to whole GiB. The
	// class's defaultVolumeSize where it is absent.
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Gi')) >= 0 && quantity(string(self)).compareTo(quantity('16Ti')) <= 0",message="must be between 1Gi and 16Ti"
	// +optional
	VolumeSize *resource.Quantity `json:"volumeSize,omitempty"`

	// podRef is the pod that this cell runs. A Cell without one boots, becomes
	// Ready and stays until it is deleted.
	// +optional
	PodRef *PodReference `json:"podRef,omitempty"`
}

// PodReference names one pod, and no later one of the same name.
type PodReference struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	UID string `json:"uid"`
}

// CellPhase is a summary of the conditions for people.
type CellPhase string

const (
	// CellPending: nothing has been launched yet.
	CellPending CellPhase = "Pending"
	// CellBooting: the instance is launched, its agent has not answered yet.
	CellBooting CellPhase = "Booting"
	// CellReady: the agent answers.
	CellReady CellPhase = "Ready"
	// CellTerminating: the Cell is being deleted and its instance ended.
	CellTerminating CellPhase = "Terminating"
	// CellFailed: the instance is gone, or was given up; the Cell stays until
	// it is deleted.
	CellFailed CellPhase = "Failed"
)

// LaunchAttempt is one try at launching an instance. It is written before the
// launch call, so that whoever goes on after a crash repeats the same call.
type LaunchAttempt struct {
	// number counts the attempts of this Cell from 1. The launch call's
	// ClientToken, the cell's key and its certificate follow from the Cell's
	// UID and this number.
	// +kubebuilder:validation:Minimum=1
	Number int32 `json:"number"`
	// instanceType, zone, subnetID and imageID are the offering asked for.
	InstanceType string `json:"instanceType"`
	// +optional
	Zone     string `json:"zone,omitempty"`
	SubnetID string `json:"subnetID"`
	ImageID  string `json:"imageID"`
	// fingerprint is a hash of all else that shapes the launch call.
	Fingerprint string `json:"fingerprint"`
	// startTime is when the attempt was written; the certificate's dates follow from it.
	StartTime metav1.Time `json:"startTime"`
	// code is the cloud's error code where the attempt failed, such as
	// InsufficientInstanceCapacity, or InstanceTerminated.
	// +optional
	Code string `json:"code,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// endTime is when the attempt failed.
	// +optional
	EndTime *metav1.Time `json:"endTime,omitempty"`
}

// PhaseTime is when a Cell first reached a phase.
type PhaseTime struct {
	Phase CellPhase        `json:"phase"`
	Time  metav1.MicroTime `json:"time"`
}

// CellStatus says what is.
type CellStatus struct {
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// +optional
	Phase CellPhase `json:"phase,omitempty"`
	// phaseTimes says when each phase was first reached.
	// +optional
	// +listType=map
	// +listMapKey=phase
	// +kubebuilder:validation:MaxItems=8
	PhaseTimes []PhaseTime `json:"phaseTimes,omitempty"`
	// controllerID is the cluster whose operator keeps this cell.
	// +optional
	ControllerID string `json:"controllerID,omitempty"`
	// podName and podNamespace repeat spec.podRef.
	// +optional
	PodName string `json:"podName,omitempty"`
	// +optional
	PodNamespace string `json:"podNamespace,omitempty"`
	// node is the virtual node of the cell's class.
	// +optional
	Node string `json:"node,omitempty"`
	// launchType is On-demand or Spot.
	// +optional
	LaunchType LaunchType `json:"launchType,omitempty"`
	// +optional
	InstanceType string `json:"instanceType,omitempty"`
	// +optional
	InstanceID string `json:"instanceID,omitempty"`
	// ip is the instance's primary address, where its agent listens.
	// +optional
	IP string `json:"ip,omitempty"`
	// podIP is the instance's secondary address, which belongs to the pod.
	// +optional
	PodIP string `json:"podIP,omitempty"`
	// +optional
	Zone string `json:"zone,omitempty"`
	// +optional
	ImageID string `json:"imageID,omitempty"`
	// pricePerHour is the offering's price in USD, where it is known.
	// +optional
	PricePerHour string `json:"pricePerHour,omitempty"`
	// agent says which agent answers on the cell.
	// +optional
	Agent *AgentStatus `json:"agent,omitempty"`
	// attempts are the launches tried, the newest last; the last 10 are kept.
	// +optional
	// +listType=map
	// +listMapKey=number
	// +kubebuilder:validation:MaxItems=10
	Attempts []LaunchAttempt `json:"attempts,omitempty"`
}

// AgentStatus is what the cell's agent says of itself.
type AgentStatus struct {
	// name is kip, or itzo for an agent that only speaks Itzo v1.
	Name string `json:"name"`
	// +optional
	Version string `json:"version,omitempty"`
	// runtime is the container runtime and its version.
	// +optional
	Runtime string `json:"runtime,omitempty"`
	// memory is the instance's usable memory (MemTotal).
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`
}

// LaunchType is the market that an instance is bought in.
type LaunchType string

// The launch types.
const (
	LaunchOnDemand LaunchType = "On-demand"
	LaunchSpot     LaunchType = "Spot"
)

// Cell is one cloud instance that runs one pod.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=cl,categories=kip
// +kubebuilder:printcolumn:name="Pod Name",type=string,JSONPath=`.status.podName`
// +kubebuilder:printcolumn:name="Pod Namespace",type=string,JSONPath=`.status.podNamespace`
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.status.node`
// +kubebuilder:printcolumn:name="Launch Type",type=string,JSONPath=`.status.launchType`
// +kubebuilder:printcolumn:name="Instance Type",type=string,JSONPath=`.status.instanceType`
// +kubebuilder:printcolumn:name="Instance ID",type=string,JSONPath=`.status.instanceID`
// +kubebuilder:printcolumn:name="IP",type=string,JSONPath=`.status.ip`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Pod IP",type=string,priority=1,JSONPath=`.status.podIP`
// +kubebuilder:printcolumn:name="Zone",type=string,priority=1,JSONPath=`.status.zone`
// +kubebuilder:printcolumn:name="Image",type=string,priority=1,JSONPath=`.status.imageID`
// +kubebuilder:printcolumn:name="Price",type=string,priority=1,JSONPath=`.status.pricePerHour`
type Cell struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec CellSpec `json:"spec"`
	// +optional
	Status CellStatus `json:"status,omitempty"`
}

// CellList is a list of Cells.
//
// +kubebuilder:object:root=true
type CellList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Cell `json:"items"`
}
