package itzo

import (
	"k8s.io/apimachinery/pkg/types"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// StatsReply is the body of stats: the pieces of a kubelet's Summary.
type StatsReply struct {
	// PodUID is empty, and Pod nil, as long as the cell has no pod.
	PodUID types.UID `json:"podUID"`
	// Node is the cell; it has no name.
	Node *statsapi.NodeStats `json:"node"`
	// Pod has the containers that run. VolumeStats are absent before the first
	// measuring, which the first question begins.
	Pod *statsapi.PodStats `json:"pod,omitempty"`
	// Times are exact where those of Node and Pod are not.
	Times StatsTimes `json:"times"`
}

// StatsTimes are when processors' times were read, in nanoseconds since 1970: the
// times of a Summary have whole seconds on the wire, which is too coarse to tell
// how much is used from two answers. 0: nothing was read.
type StatsTimes struct {
	Node int64 `json:"node,omitempty"`
	Pod  int64 `json:"pod,omitempty"`
	// Containers are by name.
	Containers map[string]int64 `json:"containers,omitempty"`
}
