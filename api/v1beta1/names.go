package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// Finalizer holds a Cell until its instance is gone, and a CellClass until
	// its Cells are.
	Finalizer = "kip.elotl.co/finalizer"

	// AnnotationNotices is on a Cell whose agent was told of the end of its
	// instance: the agent's notices as JSON.
	AnnotationNotices = "kip.elotl.co/notices"

	// LabelCellClass is on the virtual node, the RuntimeClass and the Cells of a class.
	LabelCellClass = "kip.elotl.co/cell-class"
	// LabelStandby is on Cells that were made to be standby cells; "true".
	LabelStandby = "kip.elotl.co/standby"
	// AnnotationLeaving is on a node that Kip has cordoned because its class does
	// not need it any more.
	AnnotationLeaving = "kip.elotl.co/leaving"
	// LabelNodeType and NodeType mark virtual nodes, as other virtual kubelets do.
	LabelNodeType = "type"
	NodeType      = "virtual-kubelet"
	// TaintProvider and Provider keep ordinary pods off virtual nodes.
	TaintProvider = "virtual-kubelet.io/provider"
	Provider      = "kip"

	// TagCluster, TagClass and TagCell are on everything that Kip makes in the
	// cloud: the cluster's ID, the class's name and the Cell's UID.
	TagCluster = "kip.elotl.co/cluster"
	TagClass   = "kip.elotl.co/cell-class"
	TagCell    = "kip.elotl.co/cell-uid"
	// TagClusterUID is there too where the cluster's ID was given to it: the UID
	// of namespace kube-system.
	TagClusterUID = "kip.elotl.co/cluster-uid"
	// TagName is what the console shows.
	TagName = "Name"
)

// Annotations of pods, by which they ask for a cell that is as they need it.
const (
	// AnnotationInstanceType is an instance type, which overrides the pod's
	// resources, or a pattern with *.
	AnnotationInstanceType = "pod.elotl.co/instance-type"
	// AnnotationLaunchType is on-demand, spot or spot-preferred.
	AnnotationLaunchType = "pod.elotl.co/launch-type"
	// AnnotationPrivateIPOnly is true or false.
	AnnotationPrivateIPOnly = "pod.elotl.co/private-ip-only"
	// AnnotationSecurityGroups are IDs of security groups, with commas between.
	AnnotationSecurityGroups = "pod.elotl.co/security-groups"
	// AnnotationInstanceProfile is the name or ARN of an instance profile.
	AnnotationInstanceProfile = "pod.elotl.co/instance-profile"
	// AnnotationHealthyTimeout is in seconds; 0 is never.
	AnnotationHealthyTimeout = "pod.elotl.co/healthcheck-healthy-timeout"
	// AnnotationCloudRoute are CIDRs, with white space between.
	AnnotationCloudRoute = "pod.elotl.co/cloud-route"
	// AnnotationVolumeSize is the size of the root volume, a quantity.
	AnnotationVolumeSize = "pod.elotl.co/volume-size"
	// AnnotationImageOverlayRootfs is true or false.
	AnnotationImageOverlayRootfs = "pod.elotl.co/image-overlay-rootfs"
	// AnnotationTaskRole and AnnotationTaskExecutionRole were for pods on
	// Fargate, where Kip puts none.
	AnnotationTaskRole          = "pod.elotl.co/task-role"
	AnnotationTaskExecutionRole = "pod.elotl.co/task-execution-role"
	// AnnotationPrefix begins all of them.
	AnnotationPrefix = "pod.elotl.co/"
)

// Resources of pods, beside cpu and memory, that decide which types will do.
const (
	ResourceGPU    corev1.ResourceName = "nvidia.com/gpu"
	ResourceNeuron corev1.ResourceName = "aws.amazon.com/neuron"
)

// Accelerators of images.
const (
	AcceleratorNone   = "none"
	AcceleratorNvidia = "nvidia"
	AcceleratorNeuron = "neuron"
)

// Types of conditions.
const (
	// ConditionReady: of a Cell, its agent answers; of a CellClass, cells can
	// be made from it.
	ConditionReady = "Ready"
	// ConditionLaunched: the Cell's instance is launched.
	ConditionLaunched = "Launched"
	// ConditionBooted is of a Cell, and only there where it is False: an instance
	// of it did not come up. The message has the end of its console.
	ConditionBooted = "Booted"
	// ConditionImpaired is of a Cell, and only there where it is True: EC2's status
	// checks of its instance fail.
	ConditionImpaired = "Impaired"
	// ConditionMaintenance is of a Cell, and only there where it is True: EC2 is
	// going to do something to its instance.
	ConditionMaintenance = "MaintenanceScheduled"
	// ConditionInterruption is of a Cell, and only there where it is True: its
	// agent was told that the instance is, or may soon be, taken back.
	ConditionInterruption = "InterruptionNotice"
	// ConditionDrifted is of a Cell, and only there where it is True: its class
	// would make it otherwise now.
	ConditionDrifted = "Drifted"
	// ConditionInUse: Cells of the class exist that hold up its deletion.
	ConditionInUse = "InUse"
	// ConditionKubeletServing is of a CellClass: the kubelet API of its nodes is
	// served with a certificate.
	ConditionKubeletServing = "KubeletServing"
	// ConditionNodesLeaving is of a CellClass, and only there where it is True:
	// nodes that it does not need any more wait for their pods.
	ConditionNodesLeaving = "NodesLeaving"
	// ConditionDefaultType is of a CellClass, and only there where it is False:
	// the class leaves no cells of its default type.
	ConditionDefaultType = "DefaultInstanceTypeUsable"
)

// Reasons of conditions and events.
const (
	ReasonReady               = "Ready"
	ReasonClassNotFound       = "CellClassNotFound"
	ReasonClassNotReady       = "CellClassNotReady"
	ReasonImageNotFound       = "ImageNotFound"
	ReasonSubnetNotFound      = "SubnetNotFound"
	ReasonGroupNotFound       = "SecurityGroupNotFound"
	ReasonInvalidSubnets      = "InvalidSubnets"
	ReasonInvalidInstanceType = "InvalidInstanceType"
	ReasonInvalidCloudInit    = "InvalidCloudInit"
	ReasonNodeNameTaken       = "NodeNameTaken"
	ReasonNoKubeletPort       = "NoKubeletPort"
	ReasonInvalidVolumeSize   = "InvalidVolumeSize"
	ReasonInvalidAnnotation   = "InvalidAnnotation"
	ReasonInvalidAffinity     = "InvalidAffinity"
	ReasonDaemonSet           = "DaemonSetPod"
	ReasonNotPrivileged       = "NotPrivileged"
	ReasonNoFittingType       = "NoFittingType"
	ReasonRouteConflict       = "RouteConflict"
	ReasonQuotaExceeded       = "QuotaExceeded"
	ReasonCatalogueNotReady   = "CatalogueNotReady"
	ReasonInvalidPrices       = "InvalidPrices"
	ReasonNoAgent             = "NoAgent"
	ReasonParametersLeft      = "ParametersLeft"
	ReasonRoleChanged         = "InstanceRoleChanged"
	ReasonNoAcceleratorImage  = "NoAcceleratorImage"
	ReasonInvalidImageSpec    = "InvalidImageSpec"
	ReasonCloudInitNotFound   = "CloudInitNotFound"
	ReasonProfileNotFound     = "InstanceProfileNotFound"
	ReasonParametersTooLarge  = "ParametersTooLarge"
	ReasonUserDataTooLarge    = "UserDataTooLarge"
	ReasonNotAuthorized       = "NotAuthorized"
	ReasonCloudError          = "CloudError"
	ReasonThrottled           = "Throttled"
	ReasonLaunching           = "Launching"
	ReasonLaunched            = "Launched"
	ReasonLaunchFailed        = "LaunchFailed"
	ReasonNoCapacity          = "NoCapacity"
	ReasonNoVolumes           = "NoVolumes"
	ReasonWaitingForAgent     = "WaitingForAgent"
	ReasonBootTimeout         = "BootTimeout"
	ReasonBootFailed          = "BootFailed"
	ReasonWrongIdentity       = "WrongIdentity"
	ReasonAgentAnswers        = "AgentAnswers"
	ReasonAgentSilent         = "AgentSilent"
	ReasonInstanceGone        = "InstanceGone"
	ReasonStatusCheckFailed   = "StatusCheckFailed"
	ReasonMaintenance         = "MaintenanceScheduled"
	ReasonInterrupted         = "Interrupted"
	ReasonRebalance           = "RebalanceRecommended"
	ReasonReplacementStarted  = "ReplacementStarted"
	ReasonAgentLost           = "AgentLost"
	ReasonPoweredOff          = "PoweredOff"
	ReasonTerminating         = "Terminating"
	ReasonSigned              = "Signed"
	ReasonNotSigned           = "NotSigned"
	ReasonSelfSigned          = "SelfSigned"
	ReasonNotRenewed          = "NotRenewed"
	ReasonPodsBound           = "PodsBound"
	ReasonCellsExist          = "CellsExist"
	ReasonUnsupportedField    = "UnsupportedField"
	ReasonCellLost            = "CellLost"
	ReasonClassChanged        = "ClassChanged"
	ReasonDriftedReplaced     = "DriftedReplaced"
	ReasonCellPoweredOff      = "CellPoweredOff"
	ReasonCellPending         = "CellPending"
	ReasonDispatchFailed      = "DispatchFailed"
	ReasonNotItsInstance      = "NotItsInstance"
	ReasonGarbageFound        = "GarbageFound"
	ReasonGarbageKept         = "GarbageKept"
	ReasonGarbageRemoved      = "GarbageRemoved"
)

// NodeName is the name of a class's virtual node and RuntimeClass.
func NodeName(class string) string { return "kip-" + class }

// CellNameForPod is the name of the Cell made for a pod.
func CellNameForPod(uid types.UID) string { return "cell-" + string(uid) }
