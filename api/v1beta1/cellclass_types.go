package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CellClassSpec says how cells of this class are made.
//
// +kubebuilder:validation:XValidation:rule="!has(self.cloudInit) || !has(self.cloudInitFrom)",message="cloudInit and cloudInitFrom exclude each other"
// +kubebuilder:validation:XValidation:rule="!has(self.useCloudParameterStore) || !self.useCloudParameterStore || has(self.defaultIAMPermissions)",message="useCloudParameterStore needs defaultIAMPermissions: cells read their parameters with an instance profile"
type CellClassSpec struct {
	// defaultInstanceType is launched for a cell that names no type.
	// +kubebuilder:default="t3.nano"
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[a-z0-9][a-z0-9-]*\.[a-z0-9-]+$`
	// +optional
	DefaultInstanceType string `json:"defaultInstanceType,omitempty"`

	// instanceTypes limits the choice of types.
	// +optional
	InstanceTypes InstanceTypesSpec `json:"instanceTypes,omitempty,omitzero"`

	// architectures are those that cells may have: amd64, arm64. Where it is
	// absent, those that there is an image for.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:Enum=amd64;arm64
	Architectures []string `json:"architectures,omitempty"`

	// defaultLaunchType is the market for pods that name none.
	// +kubebuilder:default="On-demand"
	// +optional
	DefaultLaunchType LaunchType `json:"defaultLaunchType,omitempty"`

	// maxPricePerHour is the most that one cell may cost, in USD per hour,
	// such as "1.50".
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^[0-9]+(\.[0-9]+)?$`
	MaxPricePerHour string `json:"maxPricePerHour,omitempty"`

	// maxPriceFactor is how many times as much as the cheapest offering of its
	// market that would do a cell may cost, such as "5" or "1.5": how far a pod
	// may fall back while cheaper offerings have no capacity.
	// +kubebuilder:default="5"
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]+([.][0-9]+)?$') && double(self) >= 1.0",message="must be a decimal number of at least 1, such as \"5\" or \"1.5\""
	// +optional
	MaxPriceFactor string `json:"maxPriceFactor,omitempty"`

	// podPrivileges lists the namespaces whose pods may ask for what reaches
	// beyond their cell.
	// +optional
	PodPrivileges PodPrivileges `json:"podPrivileges,omitempty,omitzero"`

	// defaultVolumeSize is the size of a cell's root volume, rounded up to
	// whole GiB.
	// +kubebuilder:default="10Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Gi')) >= 0 && quantity(string(self)).compareTo(quantity('16Ti')) <= 0",message="must be between 1Gi and 16Ti"
	// +optional
	DefaultVolumeSize *resource.Quantity `json:"defaultVolumeSize,omitempty"`

	// bootImageSpec chooses the machine image: of all that match, the newest
	// of each architecture.
	BootImageSpec BootImageSpec `json:"bootImageSpec"`

	// bootImageOverrides choose other images for an architecture or for types
	// with accelerators. The first that fits counts.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	BootImageOverrides []BootImageOverride `json:"bootImageOverrides,omitempty"`

	// cloudInit is user data as cloud-init takes it. A cloud-config document is
	// merged with Kip's own, anything else (a script, a MIME message) becomes a
	// part of a message beside it. A change reaches the next cell.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	CloudInit string `json:"cloudInit,omitempty"`

	// cloudInitFrom reads it from a ConfigMap or a Secret in the operator's
	// namespace. A change there reaches the next cell too.
	// +optional
	CloudInitFrom *CloudInitSource `json:"cloudInitFrom,omitempty"`

	// useCloudParameterStore hands cells their certificates through SSM
	// Parameter Store instead of user data. Cells need an instance profile that
	// may read them.
	// +optional
	UseCloudParameterStore bool `json:"useCloudParameterStore,omitempty"`

	// defaultIAMPermissions is the name or the ARN of the instance profile of
	// cells whose pods name none. Pods reach its credentials only where they
	// name a profile themselves.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^([A-Za-z0-9+=,.@_-]{1,128}|arn:aws[a-z-]*:iam::[0-9]{12}:instance-profile/[!-~]+)$`
	DefaultIAMPermissions string `json:"defaultIAMPermissions,omitempty"`

	// itzo says where a cell gets its agent.
	// +optional
	Itzo ItzoSpec `json:"itzo,omitempty,omitzero"`

	// cellConfig reaches cells as /tmp/itzo/cell_config.yaml, which launchers of
	// the first Kip's images read.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'))",message="keys must have 1 to 128 letters, digits, dots, hyphens and underscores"
	CellConfig map[string]CellConfigValue `json:"cellConfig,omitempty"`

	// powerOffAfter is for how long a cell may hear nothing of the operator before
	// it powers itself off, such as "24h" or "90m", so that nothing costs money
	// for ever; "0" is never. At least 2m, at most a year.
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$|^0$')",message="must be a duration such as 24h or 1h30m, or 0 for never"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$') || duration(self) == duration('0s') || (duration(self) >= duration('2m') && duration(self) <= duration('8784h'))",message="must be between 2m and 8784h, or 0 for never"
	// +optional
	PowerOffAfter *metav1.Duration `json:"powerOffAfter,omitempty"`

	// bootTimeout is how long the agent of a cell may take to answer from when
	// its instance runs, such as "5m" or "90s". Then the instance is ended and
	// another offering tried, once. "0" is for ever. At least 30s, at most a day.
	// Bare metal types take 10 minutes and more.
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$|^0$')",message="must be a duration such as 5m or 90s, or 0 for no limit"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$') || duration(self) == duration('0s') || (duration(self) >= duration('30s') && duration(self) <= duration('24h'))",message="must be between 30s and 24h, or 0 for no limit"
	// +optional
	BootTimeout *metav1.Duration `json:"bootTimeout,omitempty"`

	// healthCheck says what ready cells are given up by; by nothing but the end of
	// their instances where it is absent.
	// +optional
	HealthCheck *HealthCheckSpec `json:"healthCheck,omitempty"`

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

	// nodePerZone: true gives the class a virtual node for each zone of its
	// subnets, kip-<class>-<zone>, instead of one for all, so that the scheduler
	// can spread pods over zones and place them by zone. Each of them offers the
	// capacity. The pods that are on a node that goes stay there until they end.
	// +optional
	NodePerZone bool `json:"nodePerZone,omitempty"`

	// standbyCells are kept booted without a pod. A new pod that one of them
	// satisfies gets that, the cheapest, instead of a cell of its own making, and
	// another takes its place.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, a.instanceType == b.instanceType && (has(a.launchType) ? a.launchType : '') == (has(b.launchType) ? b.launchType : '') && (has(a.zone) ? a.zone : '') == (has(b.zone) ? b.zone : '')))",message="must not have two entries of the same instanceType, launchType and zone: add their counts"
	StandbyCells []StandbyCells `json:"standbyCells,omitempty"`

	// claimUserCells: true lets pods get cells that users have applied without a
	// podRef, too.
	// +optional
	ClaimUserCells bool `json:"claimUserCells,omitempty"`

	// disruption says what becomes of cells that run a pod when the class changes.
	// +optional
	Disruption DisruptionSpec `json:"disruption,omitempty,omitzero"`

	// dns says where the cluster's names are resolved, for pods with dnsPolicy
	// ClusterFirst or ClusterFirstWithHostNet. Where it is absent these use the
	// cell's own name servers. A change reaches the next pod's cell.
	// +optional
	DNS *DNSSpec `json:"dns,omitempty"`

	// runDaemonSets: true gives pods of DaemonSets cells too. By default they
	// stay Pending: most tolerate every taint, and each would get a machine.
	// +optional
	RunDaemonSets bool `json:"runDaemonSets,omitempty"`

	// aws holds what is particular to AWS.
	AWS AWSSpec `json:"aws"`
}

// InstanceTypesSpec limits the choice of types. * in a pattern stands for any
// characters: c5*, *.large, g4dn.xlarge.
type InstanceTypesSpec struct {
	// allowed: a type must match one of these patterns; all are allowed where
	// there are none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	Allowed []TypePattern `json:"allowed,omitempty"`
	// excluded: a type must match none of these patterns.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	Excluded []TypePattern `json:"excluded,omitempty"`
	// burstable: Unlimited lets a pod that needs more CPU than a burstable
	// type's baseline have it for what surplus credits cost, when that is the
	// cheapest; Standard takes burstable types only up to their baseline; Never
	// not at all, unless a pod or defaultInstanceType names one.
	// +kubebuilder:default=Unlimited
	// +optional
	Burstable BurstableMode `json:"burstable,omitempty"`
}

// TypePattern is the name of an instance type in which * stands for any
// characters.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:Pattern=`^[a-z0-9.*-]+$`
type TypePattern string

// BurstableMode says how burstable types (T2, T3, T3a, T4g) may be used.
//
// +kubebuilder:validation:Enum=Unlimited;Standard;Never
type BurstableMode string

// The modes.
const (
	BurstableUnlimited BurstableMode = "Unlimited"
	BurstableStandard  BurstableMode = "Standard"
	BurstableNever     BurstableMode = "Never"
)

// PodPrivileges lists namespaces by what their pods may ask for; "*" is all.
type PodPrivileges struct {
	// securityGroups: the annotation pod.elotl.co/security-groups.
	// +optional
	SecurityGroups NamespaceNames `json:"securityGroups,omitempty"`
	// instanceProfiles: the annotation pod.elotl.co/instance-profile, and, of
	// classes with defaultIAMPermissions, hostNetwork.
	// +optional
	InstanceProfiles NamespaceNames `json:"instanceProfiles,omitempty"`
	// routes: the annotation pod.elotl.co/cloud-route.
	// +optional
	Routes NamespaceNames `json:"routes,omitempty"`
}

// NamespaceNames are names of namespaces; "*" stands for all.
//
// +listType=set
// +kubebuilder:validation:MaxItems=64
// +kubebuilder:validation:items:MaxLength=63
// +kubebuilder:validation:items:Pattern=`^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$`
type NamespaceNames []string

// AWSSpec is the part of a class that is particular to AWS.
type AWSSpec struct {
	// subnets are the IDs of the subnets that cells may be launched in, all of
	// one VPC; of those that cost the same the one with more free addresses is
	// preferred.
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
	// rootVolume is what the root volume is like besides its size.
	// +optional
	RootVolume RootVolumeSpec `json:"rootVolume,omitempty,omitzero"`
	// parameterStore is how parameters are stored where
	// spec.useCloudParameterStore is true.
	// +optional
	ParameterStore ParameterStoreSpec `json:"parameterStore,omitempty,omitzero"`
	// tenancy: dedicated runs cells on hardware of the account's own.
	// +optional
	// +kubebuilder:validation:Enum=default;dedicated
	Tenancy string `json:"tenancy,omitempty"`
}

// ParameterStoreSpec is how cells' parameters are stored.
type ParameterStoreSpec struct {
	// kmsKeyID encrypts them: the key's ID, ARN, alias/name or alias ARN; the
	// account's alias/aws/ssm where it is absent. Cells need kms:Decrypt for it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9a-fA-F-]{36}|mrk-[0-9a-f]{32}|alias/[a-zA-Z0-9/_-]+|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key/(mrk-[0-9a-f]{32}|[0-9a-fA-F-]{36})|alias/[a-zA-Z0-9/_-]+))$')",message="must be a key's ID, such as 1234abcd-12ab-34cd-56ef-1234567890ab, its ARN, alias/name or an alias's ARN"
	KMSKeyID string `json:"kmsKeyID,omitempty"`
	// endpoint is the URL at which cells reach Parameter Store, where it is not
	// the region's own.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^https?://[^\s'"$]+$`
	Endpoint string `json:"endpoint,omitempty"`
}

// RootVolumeSpec is what a cell's root volume is like. What is absent is as in
// the image (docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html).
//
// +kubebuilder:validation:XValidation:rule="!has(self.iops) || (has(self.type) && self.type in ['gp3', 'io1', 'io2'])",message="iops is for the types gp3, io1 and io2 only: set type to one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.throughput) || (has(self.type) && self.type == 'gp3')",message="throughput is for the type gp3 only: set type to gp3"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || !(self.type in ['io1', 'io2']) || has(self.iops)",message="the types io1 and io2 need iops"
// +kubebuilder:validation:XValidation:rule="!has(self.kmsKeyID) || (has(self.encrypted) && self.encrypted)",message="kmsKeyID needs encrypted: true"
type RootVolumeSpec struct {
	// +optional
	// +kubebuilder:validation:Enum=gp2;gp3;io1;io2
	Type string `json:"type,omitempty"`
	// iops are I/O operations per second.
	// +optional
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=256000
	IOPS *int32 `json:"iops,omitempty"`
	// throughput is in MiB/s.
	// +optional
	// +kubebuilder:validation:Minimum=125
	// +kubebuilder:validation:Maximum=2000
	Throughput *int32 `json:"throughput,omitempty"`
	// +optional
	Encrypted *bool `json:"encrypted,omitempty"`
	// kmsKeyID is the key's ID, ARN, alias/name or alias ARN; the account's
	// default key where it is absent.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9a-fA-F-]{36}|mrk-[0-9a-f]{32}|alias/[a-zA-Z0-9/_-]+|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key/(mrk-[0-9a-f]{32}|[0-9a-fA-F-]{36})|alias/[a-zA-Z0-9/_-]+))$')",message="must be a key's ID, such as 1234abcd-12ab-34cd-56ef-1234567890ab, its ARN, alias/name or an alias's ARN"
	KMSKeyID string `json:"kmsKeyID,omitempty"`
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
	// node is the name of the class's RuntimeClass, and that of its virtual node
	// unless there is one for each zone.
	// +optional
	Node string `json:"node,omitempty"`
	// nodes are the names of the class's virtual nodes, those among them that go
	// once they have no pods.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	Nodes []string `json:"nodes,omitempty"`
	// images are the images chosen, at most one per architecture and accelerator.
	// +optional
	// +listType=map
	// +listMapKey=architecture
	// +listMapKey=accelerator
	// +kubebuilder:validation:MaxItems=6
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
	// securityGroups are the IDs of the groups that every cell is in:
	// spec.extraSecurityGroups, or the VPC's default group.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=32
	SecurityGroups []string `json:"securityGroups,omitempty"`
	// instanceProfile is the one of spec.defaultIAMPermissions.
	// +optional
	InstanceProfile *ResolvedProfile `json:"instanceProfile,omitempty"`
	// agents are those that cells of this generation of the class were last seen
	// with, by their image. What they refuse gets no cell.
	// +optional
	// +listType=map
	// +listMapKey=imageID
	// +kubebuilder:validation:MaxItems=6
	Agents []KnownAgent `json:"agents,omitempty"`
	// cells counts the Cells of this class, readyCells those whose agent answers.
	// +optional
	Cells int32 `json:"cells"`
	// +optional
	ReadyCells int32 `json:"readyCells"`
}

// KnownAgent is the agent that cells of an image have, as one of them told.
type KnownAgent struct {
	ImageID string `json:"imageID"`
	// classGeneration is the metadata.generation of the class at which the cell
	// was made.
	ClassGeneration int64 `json:"classGeneration"`
	// name, version, runtime and appArmor are those of the Cell's status.agent.
	Name string `json:"name"`
	// +optional
	Version string `json:"version,omitempty"`
	// +optional
	Runtime string `json:"runtime,omitempty"`
	// +optional
	AppArmor *bool `json:"appArmor,omitempty"`
}

// ResolvedImage is the machine image chosen for an architecture.
type ResolvedImage struct {
	// architecture is amd64 or arm64.
	Architecture string `json:"architecture"`
	// accelerator is none, nvidia or neuron: which types the image is for.
	// +kubebuilder:default=none
	Accelerator string `json:"accelerator"`
	ID          string `json:"id"`
	// +optional
	Name string `json:"name,omitempty"`
	// rootDevice is the device name of the root volume, such as /dev/xvda.
	RootDevice string `json:"rootDevice"`
	// minVolumeGiB is the size of the image's own root volume.
	// +optional
	MinVolumeGiB int32 `json:"minVolumeGiB,omitempty"`
	// needs lists what a type must support to boot the image, of: hvm,
	// paravirtual; uefi, legacy-bios. withoutENA: it lacks the driver that
	// newer types need.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	Needs []string `json:"needs,omitempty"`
	// +optional
	WithoutENA bool `json:"withoutENA,omitempty"`
}

// ResolvedProfile is an instance profile as it was found.
type ResolvedProfile struct {
	ARN string `json:"arn"`
	// roleID is the unique ID of its role, such as AROAEXAMPLEID.
	RoleID string `json:"roleID"`
}

// ResolvedSubnet is a subnet as it was found.
type ResolvedSubnet struct {
	ID   string `json:"id"`
	Zone string `json:"zone"`
	// freeAddresses is how many addresses were free when the subnet was last
	// looked at.
	// +optional
	FreeAddresses int32 `json:"freeAddresses,omitempty"`
	// public: instances launched in it get a public address unless told otherwise.
	// +optional
	Public bool `json:"public,omitempty"`
}

// CellClass says how cells of a kind are made. For every class there is a
// virtual node and a RuntimeClass, both called kip-<name>; or, with
// nodePerZone, a node kip-<name>-<zone> for each zone.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=cellclass,categories=kip
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Runtime Class",type=string,JSONPath=`.status.node`
// +kubebuilder:printcolumn:name="Default Type",type=string,JSONPath=`.spec.defaultInstanceType`
// +kubebuilder:printcolumn:name="Cells",type=integer,JSONPath=`.status.cells`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Nodes",type=string,priority=1,JSONPath=`.status.nodes`
// +kubebuilder:printcolumn:name="Image",type=string,priority=1,JSONPath=`.status.images[*].id`
// +kubebuilder:printcolumn:name="VPC",type=string,priority=1,JSONPath=`.status.vpcID`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 59",message="metadata.name must have at most 59 characters: the virtual node is called kip-<name>"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.nodePerZone) || !self.spec.nodePerZone || self.metadata.name.size() <= 35",message="metadata.name must have at most 35 characters with spec.nodePerZone: the virtual nodes are called kip-<name>-<zone>"
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
