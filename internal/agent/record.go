package agent

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
)

// record is what the agent must remember over its own restart.
type record struct {
	Pod         *corev1.Pod                         `json:"pod"`
	Credentials map[string]itzo.RegistryCredentials `json:"credentials,omitempty"`
	// Secrets and ConfigMaps are what environments refer to, by name and key.
	Secrets    map[string]map[string][]byte `json:"secrets,omitempty"`
	ConfigMaps map[string]map[string]string `json:"configMaps,omitempty"`
	// Services are the variables of services.
	Services map[string]string `json:"services,omitempty"`
	PodIP    netip.Addr        `json:"podIP"`
	// HostIP is the address at which the operator reaches the cell.
	HostIP netip.Addr `json:"hostIP"`
	// AcceptedAt is the pod's start time.
	AcceptedAt time.Time `json:"acceptedAt"`
	// StopBy is when the last container has to be killed; zero as long as
	// nobody wants the pod stopped.
	StopBy time.Time `json:"stopBy,omitzero"`
	// Overdue: the pod was active for longer than its activeDeadlineSeconds.
	Overdue bool `json:"overdue,omitempty"`
	// Evicted says why the pod was evicted; empty as long as it was not.
	Evicted string `json:"evicted,omitempty"`
	// SilentFor is how long the operator had been silent when the pod was ended
	// for that; 0: it was not.
	SilentFor time.Duration `json:"silentFor,omitempty"`
	// Interrupted is the notice for which the pod was ended; nil: it was not.
	Interrupted *itzo.Interruption `json:"interrupted,omitempty"`
	// ResizePending: the newest version of the pod asks for other resources than
	// it runs with, which are those of Pod.
	ResizePending bool `json:"resizePending,omitempty"`
	// Status is the last one made: transition times and ends of containers that
	// the runtime has forgotten come from it.
	Status corev1.PodStatus `json:"status"`
	// Backoff of each container that was restarted.
	Backoff map[string]backoff `json:"backoff,omitempty"`
	// Replaced holds, by container, the run that was ended last since the pod's image
	// for it is another by now.
	Replaced map[string]string `json:"replaced,omitempty"`
	// Events are those that nobody has asked for yet, LastEvent the number of the
	// last there ever was.
	Events    []itzo.Event `json:"events,omitempty"`
	LastEvent int64        `json:"lastEvent,omitempty"`
}

func decodeRecord(data []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("decoding the agent's state: %w", err)
	}
	if r.Pod == nil {
		return nil, fmt.Errorf("decoding the agent's state: it has no pod")
	}
	return &r, nil
}
