package itzo

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PodStatusReply is the body of status.
type PodStatusReply struct {
	// UnitStatus is null until the agent has processed its first update. Match
	// by name: agents of generation 1.1 answer in random order.
	UnitStatus     []UnitStatus `json:"unitStatus"`
	InitUnitStatus []UnitStatus `json:"initUnitStatus"`
	// ResourceUsage is absent when it was asked for less than 14 s ago.
	ResourceUsage map[string]float64 `json:"resourceUsage,omitempty"`
	PodIP         string             `json:"podIP"`
}

// UnitStatus is the state of one unit.
type UnitStatus struct {
	Name         string    `json:"name"`
	State        UnitState `json:"state"`
	LastState    UnitState `json:"lastState"`
	RestartCount int32     `json:"restartCount"`
	// Image is not comparable with the one that was sent.
	Image   string `json:"image"`
	Ready   bool   `json:"ready"`
	Started *bool  `json:"started"`
}

// UnitState has at most one of its fields set.
type UnitState struct {
	Waiting    *UnitStateWaiting    `json:"waiting,omitempty"`
	Running    *UnitStateRunning    `json:"running,omitempty"`
	Terminated *UnitStateTerminated `json:"terminated,omitempty"`
}

// UnitStateWaiting says why a unit does not run.
type UnitStateWaiting struct {
	Reason string `json:"reason"`
	// StartFailure means that the unit could not be started at all.
	StartFailure bool `json:"startFailure"`
}

// UnitStateRunning belongs to a unit that runs. Times on this wire have whole
// seconds; a zero time is null.
type UnitStateRunning struct {
	StartedAt metav1.Time `json:"startedAt"`
}

// UnitStateTerminated belongs to a unit that has ended. Old agents report a
// signal as exit code -1, and may lose a code: 0 with the reason "Error".
type UnitStateTerminated struct {
	ExitCode   int32       `json:"exitCode"`
	FinishedAt metav1.Time `json:"finishedAt"`
	Reason     string      `json:"reason,omitempty"`
	Message    string      `json:"message,omitempty"`
	StartedAt  metav1.Time `json:"startedAt"`
}

// Reasons that agents give.
const (
	ReasonPodInitializing   = "PodInitializing"
	ReasonContainerCreating = "ContainerCreating"
	ReasonCompleted         = "Completed"
	ReasonError             = "Error"
)
