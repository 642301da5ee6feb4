package itzo

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Feature is one thing that an agent of ours can do beyond Itzo 1.0.
type Feature string

// The features that an agent may list in Info.
const (
	// FeaturePod: updatepod takes the whole pod (PodParameters.Pod).
	FeaturePod Feature = "pod"
	// FeatureWait: status by long poll (Client.WaitStatus).
	FeatureWait Feature = "wait"
	// FeatureStop: graceful stop (Client.Stop).
	FeatureStop Feature = "stop"
	// FeatureStats: what the cell and its pod use (Client.Stats).
	FeatureStats Feature = "stats"
	// FeatureCredentials: the agent takes new credentials (Client.SetCredentials).
	FeatureCredentials Feature = "credentials"
	// FeatureEvents: the status answer has what happened (StatusReply.Events).
	FeatureEvents Feature = "events"
	// FeatureExec, FeatureAttach and FeaturePortForward: the agent has streams of
	// these kinds (Client.OpenExec, OpenAttach, OpenPort).
	FeatureExec        Feature = "exec"
	FeatureAttach      Feature = "attach"
	FeaturePortForward Feature = "portforward"
	// FeatureFollow: it goes on with a log as that is written (Client.FollowLogs).
	FeatureFollow Feature = "follow"
)

// AgentName is Info.Agent of the agent in this repository.
const AgentName = "kip"

// ExtensionProtocol is the version of the extensions; a higher one keeps what
// a lower one had.
const ExtensionProtocol = 1

// Info is what an agent tells of itself and its cell.
type Info struct {
	Agent    string    `json:"agent"`
	Version  string    `json:"version"`
	Protocol int       `json:"protocol"`
	Features []Feature `json:"features"`
	// MemoryBytes is the cell's MemTotal.
	MemoryBytes int64 `json:"memoryBytes"`
	// StorageBytes is the size of the file system with the pod's files; 0: not told.
	StorageBytes int64       `json:"storageBytes,omitempty"`
	CPUs         int         `json:"cpus"`
	Runtime      RuntimeInfo `json:"runtime"`
	// AppArmor says whether the cell's kernel enforces AppArmor profiles.
	AppArmor bool `json:"appArmor,omitempty"`
	// BootID changes when the cell reboots.
	BootID string `json:"bootID"`
	// PodUID is empty as long as the cell has no pod.
	PodUID types.UID `json:"podUID"`
}

// RuntimeInfo names the container runtime below the agent.
type RuntimeInfo struct {
	Name string `json:"name"`
	// Version as the runtime spells it, e.g. 1.6.20 or v2.1.3; empty as long as
	// the runtime has not answered.
	Version string `json:"version"`
	// Problem says why the runtime does not answer, as far as the agent knows,
	// also that it is being installed.
	Problem string `json:"problem,omitempty"`
}

// Has says whether the agent has the feature.
func (i Info) Has(feature Feature) bool {
	return slices.Contains(i.Features, feature)
}

// StatusQuery is a question for StatusReply.
type StatusQuery struct {
	// Epoch and After are those of the last answer: the next one comes when the
	// status is another, at the latest after Wait (rounded up to seconds, at most
	// MaxWait). Empty epoch: at once.
	Epoch string
	After int64
	Wait  time.Duration
	// Events asks for the events after this number, which are taken to have
	// arrived: the agent may forget them. nil: for none.
	Events *int64
}

// StatusReply is the answer of the long poll.
type StatusReply struct {
	// Revision counts the changes of status and events since the agent started.
	Revision int64 `json:"revision"`
	// Epoch is random per start of the agent: revisions of different epochs
	// cannot be compared.
	Epoch string `json:"epoch"`
	// PodUID is empty, and Status zero, as long as the cell has no pod.
	PodUID types.UID        `json:"podUID"`
	Status corev1.PodStatus `json:"status"`
	// Events are those that were asked for, in order; of many the last MaxEvents.
	Events []Event `json:"events,omitempty"`
	// LastEvent is the number of the last event; 0 when there was none, or the
	// agent tells none.
	LastEvent int64 `json:"lastEvent,omitempty"`
	// Notices are what the cloud has told the cell of its end; nil: it has not
	// answered yet, or the agent does not ask.
	Notices *Notices `json:"notices,omitempty"`
}

// StopRequest is the body of stop.
type StopRequest struct {
	PodUID types.UID `json:"podUID"`
	// GracePeriodSeconds is the time from SIGTERM to SIGKILL; 0 kills at once.
	GracePeriodSeconds int64 `json:"gracePeriodSeconds"`
}

// CredentialsRequest is the body of credentials: what an agent is to serve with
// from now on. All are PEM.
type CredentialsRequest struct {
	// CACertificates are the authorities whose clients the agent lets in.
	CACertificates string `json:"caCertificates"`
	// Certificate is the agent's chain, leaf first, Key its private key.
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

// String says nothing of the key.
func (r CredentialsRequest) String() string { return "credentials of an agent" }

// GoString says nothing of the key.
func (r CredentialsRequest) GoString() string { return r.String() }
