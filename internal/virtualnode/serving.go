package virtualnode

import "sync"

// Serving is how the kubelet API of all virtual nodes is served.
type Serving struct {
	// Reason is v1beta1.ReasonSigned, …NotSigned, …SelfSigned or …NotRenewed; empty before
	// anything is known.
	Reason string
	// Message says more, in words for whoever runs the cluster.
	Message string
}

// ServingState is what is known of Serving. It may be used by several goroutines.
type ServingState struct {
	mu      sync.Mutex
	is      Serving
	changed chan struct{}
}

// NewServingState makes a ServingState that knows nothing.
func NewServingState() *ServingState { return &ServingState{changed: make(chan struct{})} }

// Set tells how it is served from now on.
func (s *ServingState) Set(is Serving) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.is == is {
		return
	}
	s.is = is
	close(s.changed)
	s.changed = make(chan struct{})
}

// Get gives what was told last, and a channel that is closed when that is
// otherwise.
func (s *ServingState) Get() (Serving, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is, s.changed
}
