package v1beta1

import "k8s.io/apimachinery/pkg/types"

const (
	// Finalizer holds a Cell until its instance is gone, and a CellClass until
	// its Cells are.
	Finalizer = "kip.elotl.co/finalizer"

	// LabelCellClass is on the virtual node, the RuntimeClass and the Cells of a class.
	LabelCellClass = "kip.elotl.co/cell-class"
	// LabelNodeType and NodeType mark virtual nodes, as other virtual kubelets do.
	LabelNodeType = "type"
	NodeType      = "virtual-kubelet"
	// TaintProvider and Provider keep ordinary pods off virtual nodes.
	TaintProvider = "virtual-kubelet.io/provider"
	Provider      = "kip"

	// AnnotationInstanceType on a pod names the instance type to run it on.
	AnnotationInstanceType = "pod.elotl.co/instance-type"

	// TagCluster, TagClass and TagCell are on everything that Kip makes in the
	// cloud: the cluster's ID, the class's name and the Cell's UID.
	TagCluster = "kip.elotl.co/cluster"
	TagClass   = "kip.elotl.co/cell-class"
	TagCell    = "kip.elotl.co/cell-uid"
	// TagName is what the console shows.
	TagName = "Name"
)

// Types of conditions.
const (
	// ConditionReady: of a Cell, its agent answers; of a CellClass, cells can
	// be made from it.
	ConditionReady = "Ready"
	// ConditionLaunched: the Cell's instance is launched.
	ConditionLaunched = "Launched"
	// ConditionInUse: Cells of the class exist that hold up its deletion.
	ConditionInUse = "InUse"
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
	ReasonInvalidVolumeSize   = "InvalidVolumeSize"
	ReasonUserDataTooLarge    = "UserDataTooLarge"
	ReasonNotAuthorized       = "NotAuthorized"
	ReasonCloudError          = "CloudError"
	ReasonLaunching           = "Launching"
	ReasonLaunched            = "Launched"
	ReasonLaunchFailed        = "LaunchFailed"
	ReasonNoCapacity          = "NoCapacity"
	ReasonWaitingForAgent     = "WaitingForAgent"
	ReasonWrongIdentity       = "WrongIdentity"
	ReasonAgentAnswers        = "AgentAnswers"
	ReasonAgentSilent         = "AgentSilent"
	ReasonInstanceGone        = "InstanceGone"
	ReasonTerminating         = "Terminating"
	ReasonTerminated          = "Terminated"
	ReasonCellsExist          = "CellsExist"
	ReasonUnsupportedField    = "UnsupportedField"
	ReasonCellLost            = "CellLost"
	ReasonCellPending         = "CellPending"
	ReasonDispatched          = "Dispatched"
	ReasonDispatchFailed      = "DispatchFailed"
)

// NodeName is the name of a class's virtual node and RuntimeClass.
func NodeName(class string) string { return "kip-" + class }

// CellNameForPod is the name of the Cell made for a pod.
func CellNameForPod(uid types.UID) string { return "cell-" + string(uid) }
