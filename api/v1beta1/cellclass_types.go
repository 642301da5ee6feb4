package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CellClassSpec says how cells of this class are made.
type CellClassSpec struct {
	// defaultInstanceType is launched for a cell that names no type.
	// +kubebuilder:default="t3.nano"
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[a-z0-9][a-z0-9-]*\.[a-z0-9-]+$`
	// +optional
	DefaultInstanceType string `json:"defaultInstanceType,omitempty"`

	// defaultVolumeSize is the size of a cell's root volume, rounded up to
	// whole GiB.
	// +kubebuilder:default="10Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Gi')) >= 0 && quantity(string(self)).compareTo(quantity('16Ti')) <= 0",message="must be between 1Gi and 16Ti"
	// +optional
	DefaultVolumeSize *resource.Quantity `json:"defaultVolumeSize,omitempty"`

	// bootImageSpec chooses the machine image: of all that match, the newest.
	BootImageSpec BootImageSpec `json:"bootImageSpec"`

	// cloudInit is a cloud-config document that is merged with Kip's own. A
	// change reaches the next cell.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	CloudInit string `json:"cloudInit,omitempty"`

	// itzo says where a cell gets its agent.
	Itzo ItzoSpec `json:"itzo"`

	// extraSecurityGroups are the IDs of security groups that every cell is
	// put into; the VPC's default group where there are none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^sg-[0-9a-f]{8,17}$`
	ExtraSecurityGroups []string `json:"extraSecurityGroups,omitempty"`

	// privateIPOnly: true gives cells no public address. Where it is absent
	// the subnet decides.
	// +optional
	PrivateIPOnly *bool `json:"privateIPOnly,omitempty"`

	// capacity is what the virtual node of this class offers to the
	// scheduler, and so the most that all pods of the class together can ask for.
	// +optional
	// +kubebuilder:default={cpu: "1000", memory: "4Ti", pods: "1000", "ephemeral-storage": "100Ti"}
	// +kubebuilder:validation:MaxProperties=16
	Capacity corev1.ResourceList `json:"capacity,omitempty"`

	// aws holds what is particular to AWS.
	AWS AWSSpec `json:"aws"`
}

// BootImageSpec chooses machine images as DescribeImages does. All that is
// given must match.
//
// +kubebuilder:validation:XValidation:rule="has(self.imageIDs) || has(self.owners) || has(self.filters)",message="one of imageIDs, owners or filters is required"
type BootImageSpec struct {
	// owners are account IDs, or self, amazon, aws-marketplace.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=64
	Owners []string `json:"owners,omitempty"`
	// filters are DescribeImages filters, such as name: ["kip-cell-*"].
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	Filters map[string]FilterValues `json:"filters,omitempty"`
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^ami-[0-9a-f]{8,17}$`
	ImageIDs []string `json:"imageIDs,omitempty"`
	// executableUsers are account IDs, or self, or all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=64
	ExecutableUsers []string `json:"executableUsers,omitempty"`
}

// FilterValues are the values of one filter, of which any may match; * and ?
// are wildcards.
//
// +kubebuilder:validation:MinItems=1
// +kubebuilder:validation:MaxItems=32
// +kubebuilder:validation:items:MaxLength=255
type FilterValues []string

// ItzoSpec says where a cell gets its agent: from
// <url>/itzo-<version>-<arch>, arch being amd64 or arm64.
type ItzoSpec struct {
	// url is the base URL, http or https, without a final slash.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^https?://[^\s'"$]+[^/\s'"$]$`
	URL string `json:"url"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9._+-]+$`
	Version string `json:"version"`
}

// AWSSpec is the part of a class that is particular to AWS.
type AWSSpec struct {
	// subnets are the IDs of the subnets that cells may be launched in, all of
	// one VPC; the earlier one is preferred.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^subnet-[0-9a-f]{8,17}$`
	Subnets []string `json:"subnets"`
	// tags are put on instances, volumes and interfaces, beside Kip's own.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('aws:') && !k.startsWith('kip.elotl.co/') && k.size() <= 128)",message="keys must have at most 128 characters and must not start with aws: or kip.elotl.co/"
	Tags map[string]TagValue `json:"tags,omitempty"`
}

// TagValue is the value of a tag.
//
// +kubebuilder:validation:MaxLength=256
type TagValue string

// CellClassStatus says what was found of the class in the cloud.
type CellClassStatus struct {
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// node is the name of the class's virtual node and of its RuntimeClass.
	// +optional
	Node string `json:"node,omitempty"`
	// images are the images chosen, at most one per architecture.
	// +optional
	// +listType=map
	// +listMapKey=architecture
	// +kubebuilder:validation:MaxItems=4
	Images []ResolvedImage `json:"images,omitempty"`
	// architecture is that of the default instance type's cells, amd64 or arm64,
	// and so the node's label kubernetes.io/arch.
	// +optional
	Architecture string `json:"architecture,omitempty"`
	// subnets are the class's subnets as they were found, in its order.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=16
	Subnets []ResolvedSubnet `json:"subnets,omitempty"`
	// vpcID is the VPC of the subnets.
	// +optional
	VPCID string `json:"vpcID,omitempty"`
	// cells counts the Cells of this class, readyCells those whose agent answers.
	// +optional
	Cells int32 `json:"cells"`
	// +optional
	ReadyCells int32 `json:"readyCells"`
}

// ResolvedImage is the machine image chosen for an architecture.
type ResolvedImage struct {
	// architecture is amd64 or arm64.
	Architecture string `json:"architecture"`
	ID           string `json:"id"`
	// +optional
	Name string `json:"name,omitempty"`
	// rootDevice is the device name of the root volume, such as /dev/xvda.
	RootDevice string `json:"rootDevice"`
	// minVolumeGiB is the size of the image's own root volume.
	// +optional
	MinVolumeGiB int32 `json:"minVolumeGiB,omitempty"`
}

// ResolvedSubnet is a subnet as it was found.
type ResolvedSubnet struct {
	ID   string `json:"id"`
	Zone string `json:"zone"`
}

// CellClass says how cells of a kind are made. For every class there is a
// virtual node and a RuntimeClass, both called kip-<name>.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=cellclass,categories=kip
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.status.node`
// +kubebuilder:printcolumn:name="Default Type",type=string,JSONPath=`.spec.defaultInstanceType`
// +kubebuilder:printcolumn:name="Cells",type=integer,JSONPath=`.status.cells`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Image",type=string,priority=1,JSONPath=`.status.images[*].id`
// +kubebuilder:printcolumn:name="VPC",type=string,priority=1,JSONPath=`.status.vpcID`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 59",message="metadata.name must have at most 59 characters: the virtual node is called kip-<name>"
// +kubebuilder:validation:XValidation:rule="!self.metadata.name.contains('.')",message="metadata.name must not contain dots: it becomes a label and part of a node's name"
type CellClass struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec CellClassSpec `json:"spec"`
	// +optional
	Status CellClassStatus `json:"status,omitempty"`
}

// CellClassList is a list of CellClasses.
//
// +kubebuilder:object:root=true
type CellClassList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CellClass `json:"items"`
}
