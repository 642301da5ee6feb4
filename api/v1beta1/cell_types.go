package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CellSpec says what is wanted of one instance. It cannot be changed, except
// that podRef can be set once.
//
// +kubebuilder:validation:XValidation:rule="self.cellClassName == oldSelf.cellClassName",message="spec.cellClassName cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.instanceType) == has(oldSelf.instanceType) && (!has(self.instanceType) || self.instanceType == oldSelf.instanceType)",message="spec.instanceType cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.launchType) == has(oldSelf.launchType) && (!has(self.launchType) || self.launchType == oldSelf.launchType)",message="spec.launchType cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.offeringTerms) == has(oldSelf.offeringTerms) && (!has(self.offeringTerms) || self.offeringTerms == oldSelf.offeringTerms)",message="spec.offeringTerms cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.zone) == has(oldSelf.zone) && (!has(self.zone) || self.zone == oldSelf.zone)",message="spec.zone cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.securityGroups) == has(oldSelf.securityGroups) && (!has(self.securityGroups) || self.securityGroups == oldSelf.securityGroups)",message="spec.securityGroups cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.instanceProfile) == has(oldSelf.instanceProfile) && (!has(self.instanceProfile) || self.instanceProfile == oldSelf.instanceProfile)",message="spec.instanceProfile cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.privateIPOnly) == has(oldSelf.privateIPOnly) && (!has(self.privateIPOnly) || self.privateIPOnly == oldSelf.privateIPOnly)",message="spec.privateIPOnly cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.routes) == has(oldSelf.routes) && (!has(self.routes) || self.routes == oldSelf.routes)",message="spec.routes cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.healthyTimeoutSeconds) == has(oldSelf.healthyTimeoutSeconds) && (!has(self.healthyTimeoutSeconds) || self.healthyTimeoutSeconds == oldSelf.healthyTimeoutSeconds)",message="spec.healthyTimeoutSeconds cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.imageOverlayRootfs) == has(oldSelf.imageOverlayRootfs) && (!has(self.imageOverlayRootfs) || self.imageOverlayRootfs == oldSelf.imageOverlayRootfs)",message="spec.imageOverlayRootfs cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.volumeSize) == has(oldSelf.volumeSize) && (!has(self.volumeSize) || quantity(string(self.volumeSize)).compareTo(quantity(string(oldSelf.volumeSize))) == 0)",message="spec.volumeSize cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.resources) == has(oldSelf.resources) && (!has(self.resources) || (self.resources.all(k, k in oldSelf.resources) && oldSelf.resources.all(k, k in self.resources && quantity(string(self.resources[k])).compareTo(quantity(string(oldSelf.resources[k]))) == 0)))",message="spec.resources cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="has(self.reservedFor) == has(oldSelf.reservedFor) && (!has(self.reservedFor) || self.reservedFor == oldSelf.reservedFor)",message="spec.reservedFor cannot be changed: delete the Cell and apply another"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.podRef) || (has(self.podRef) && self.podRef == oldSelf.podRef)",message="spec.podRef can be set once and not be changed"
type CellSpec struct {
	// cellClassName names the CellClass that says how the cell is made.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=59
	CellClassName string `json:"cellClassName"`

	// instanceType is an EC2 instance type, such as m5.large, which is launched
	// whatever the resources; or a pattern with *, such as c5*, which leaves
	// the choice among the types that match. Where it is absent any type will
	// do that the class allows and that has the resources; the class's
	// defaultInstanceType where there are none either.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^([a-z0-9][a-z0-9-]*\.[a-z0-9-]+|[a-z0-9.*-]*\*[a-z0-9.*-]*)$`
	InstanceType string `json:"instanceType,omitempty"`

	// resources are what the pod needs: cpu, memory, nvidia.com/gpu and
	// aws.amazon.com/neuron, by which the type is chosen, and ephemeral-storage,
	// by which a root volume without a size of its own grows.
	// +optional
	// +kubebuilder:validation:MaxProperties=5
	// +kubebuilder:validation:XValidation:rule="self.all(k, k in ['cpu', 'memory', 'nvidia.com/gpu', 'aws.amazon.com/neuron', 'ephemeral-storage'])",message="must be cpu, memory, nvidia.com/gpu, aws.amazon.com/neuron or ephemeral-storage"
	// +kubebuilder:validation:XValidation:rule="self.all(k, quantity(string(self[k])).compareTo(quantity('0')) >= 0)",message="must not be negative"
	Resources corev1.ResourceList `json:"resources,omitempty"`

	// launchType is the market to buy in: On-demand, Spot, or Spot-preferred,
	// which takes On-demand where no Spot offering is to be had or all cost
	// more. The class's defaultLaunchType where it is absent.
	// +optional
	LaunchType LaunchType `json:"launchType,omitempty"`

	// offeringTerms limit zone, instance type and architecture as node
	// affinity does: one of the terms must hold.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	OfferingTerms []OfferingTerm `json:"offeringTerms,omitempty"`

	// zone is the only zone that the cell may be in, such as us-east-1a: that of
	// the node that its pod is bound to, where the class has a node for each zone.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Zone string `json:"zone,omitempty"`

	// volumeSize is the size of the root volume, rounded up to whole GiB: there
	// must be room for the machine image's own and the ephemeral-storage beside
	// it. Where it is absent, the larger of the image's and the class's
	// defaultVolumeSize, and the ephemeral-storage on top.
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Gi')) >= 0 && quantity(string(self)).compareTo(quantity('16Ti')) <= 0",message="must be between 1Gi and 16Ti"
	// +optional
	VolumeSize *resource.Quantity `json:"volumeSize,omitempty"`

	// securityGroups are the IDs of security groups that the cell is put into
	// beside those of the class.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^sg-[0-9a-f]{8,17}$`
	SecurityGroups []string `json:"securityGroups,omitempty"`

	// instanceProfile is the name or the ARN of the instance profile whose
	// role the cell and its pod have.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^(arn:aws[a-z-]*:iam::[0-9]{12}:instance-profile/[\w+=,.@/-]+|[\w+=,.@-]{1,128})$`
	InstanceProfile string `json:"instanceProfile,omitempty"`

	// privateIPOnly: true gives the cell no public address, false gives it
	// one unless the class's privateIPOnly is true. The class's where it is
	// absent.
	// +optional
	PrivateIPOnly *bool `json:"privateIPOnly,omitempty"`

	// routes are CIDRs that the route tables of the class's subnets send to
	// this cell for as long as it lives.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self) && cidr(self).masked() == cidr(self)",message="must be a CIDR whose host bits are zero, such as 10.20.0.0/16"
	Routes []string `json:"routes,omitempty"`

	// healthyTimeoutSeconds is how long the agent of a cell that was Ready may
	// not answer before the cell is given up, or, where the class has
	// healthCheck.cloudAPI, its status checks may fail; 0 is for ever. The class's
	// where it is absent, and for ever where that has none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	HealthyTimeoutSeconds *int32 `json:"healthyTimeoutSeconds,omitempty"`

	// imageOverlayRootfs: false gives containers a root filesystem that is a
	// copy of their image instead of an overlay.
	// +optional
	ImageOverlayRootfs *bool `json:"imageOverlayRootfs,omitempty"`

	// podRef is the pod that this cell runs. A Cell without one boots, becomes
	// Ready and stays until it is deleted, or until a pod gets it: see
	// standbyCells and claimUserCells of the class.
	// +optional
	PodRef *PodReference `json:"podRef,omitempty"`

	// reservedFor keeps a Cell without a podRef for the next pod of one controller
	// that asks for just this, ready or not.
	// +optional
	ReservedFor *CellReservation `json:"reservedFor,omitempty"`
}

// CellReservation says whose pod a cell waits for.
type CellReservation struct {
	// ownerUID is the UID of the pod's controller.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	OwnerUID string `json:"ownerUID"`
}

// OfferingTerm holds when all of its requirements do.
type OfferingTerm struct {
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Requirements []OfferingRequirement `json:"requirements"`
}

// OfferingRequirement is a requirement on what a cell's instance is, in the
// words of node affinity.
type OfferingRequirement struct {
	// +kubebuilder:validation:Enum=topology.kubernetes.io/zone;node.kubernetes.io/instance-type;kubernetes.io/arch
	Key string `json:"key"`
	// +kubebuilder:validation:Enum=In;NotIn
	Operator corev1.NodeSelectorOperator `json:"operator"`
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=64
	Values []string `json:"values"`
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
	// launchType is On-demand or Spot.
	// +optional
	LaunchType LaunchType `json:"launchType,omitempty"`
	// cpuCredits is standard or unlimited for a burstable type, else empty.
	// +optional
	CPUCredits string `json:"cpuCredits,omitempty"`
	// pricePerHour is what the offering was taken to cost, in USD.
	// +optional
	PricePerHour string `json:"pricePerHour,omitempty"`
	// spotMaxPrice is the most that the Spot instance itself may cost, in USD per
	// hour: the class's maxPricePerHour less what else the cell costs. Empty
	// where the class has no limit, and where the price is the user's own.
	// +optional
	SpotMaxPrice string `json:"spotMaxPrice,omitempty"`
	// fingerprint is a hash of all else that shapes the launch call; empty
	// where the attempt failed for want of capacity.
	Fingerprint string `json:"fingerprint"`
	// instanceProfile is the name or the ARN of the instance's profile.
	// +optional
	InstanceProfile string `json:"instanceProfile,omitempty"`
	// parameterRole is the unique ID of the instance's role where the cell finds
	// its certificates in Parameter Store; empty: they are in its user data.
	// +optional
	ParameterRole string `json:"parameterRole,omitempty"`
	// startTime is when the attempt was written; the certificate's dates follow from it.
	StartTime metav1.Time `json:"startTime"`
	// classGeneration is the metadata.generation of the CellClass that the cell is
	// made from; 0: not known.
	// +optional
	ClassGeneration int64 `json:"classGeneration,omitempty"`
	// shape is what of the class shapes the cell, as a digest for each part; empty
	// where the cell is of an earlier release. By it the cell's drift is told.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Shape string `json:"shape,omitempty"`
	// authority is the ID of the certificate authority that the cell is launched
	// with: it signs the cell's certificate, and its clients alone are let in.
	// Where it is absent, the older of those that there are.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Authority string `json:"authority,omitempty"`
	// runningTime is when the instance was first seen to run, where its agent
	// takes long to answer.
	// +optional
	RunningTime *metav1.Time `json:"runningTime,omitempty"`
	// code is the cloud's error code where the attempt failed, such as
	// InsufficientInstanceCapacity, or InstanceTerminated, or BootTimeout.
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
	// pricePerHour is what the cell costs in USD: instance, root volume and
	// public address, where the price is known.
	// +optional
	PricePerHour string `json:"pricePerHour,omitempty"`
	// price says what pricePerHour is made of.
	// +optional
	Price *CellPrice `json:"price,omitempty"`
	// runnersUp are the offerings that would have been next, the cheapest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=3
	RunnersUp []PricedOffering `json:"runnersUp,omitempty"`
	// routes are the routes that lead to this cell. They are written before
	// they are made.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Routes []CellRoute `json:"routes,omitempty"`
	// agent says which agent answers on the cell.
	// +optional
	Agent *AgentStatus `json:"agent,omitempty"`
	// identity is what the cell proves itself with.
	// +optional
	Identity *CellIdentity `json:"identity,omitempty"`
	// attempts are the launches tried, the newest last; the last 10 are kept.
	// +optional
	// +listType=map
	// +listMapKey=number
	// +kubebuilder:validation:MaxItems=10
	Attempts []LaunchAttempt `json:"attempts,omitempty"`
}

// CellPrice is made of parts in USD per hour.
type CellPrice struct {
	// instance includes what CPU above a burstable type's baseline costs.
	Instance string `json:"instance"`
	// +optional
	Volume string `json:"volume,omitempty"`
	// +optional
	PublicIPv4 string `json:"publicIPv4,omitempty"`
	// source is PricingAPI, SpotPriceHistory, Table, Estimate or Override.
	Source string `json:"source"`
	// asOf is when the source gave the instance's price.
	AsOf metav1.Time `json:"asOf"`
}

// PricedOffering is a way to launch a cell, and what it costs.
type PricedOffering struct {
	InstanceType string     `json:"instanceType"`
	Zone         string     `json:"zone"`
	LaunchType   LaunchType `json:"launchType"`
	// pricePerHour is in USD, with volume and public address.
	// +optional
	PricePerHour string `json:"pricePerHour,omitempty"`
}

// CellRoute is a route to a cell.
type CellRoute struct {
	RouteTableID string `json:"routeTableID"`
	CIDR         string `json:"cidr"`
	// instanceID is the instance that the route leads to.
	InstanceID string `json:"instanceID"`
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
	// appArmor says whether the cell's kernel enforces AppArmor profiles; absent:
	// the agent does not tell.
	// +optional
	AppArmor *bool `json:"appArmor,omitempty"`
}

// LaunchType is the market that an instance is bought in.
//
// +kubebuilder:validation:Enum=On-demand;Spot;Spot-preferred
type LaunchType string

// The launch types.
const (
	LaunchOnDemand LaunchType = "On-demand"
	LaunchSpot     LaunchType = "Spot"
	// LaunchSpotPreferred is only wanted, never what an instance has.
	LaunchSpotPreferred LaunchType = "Spot-preferred"
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
