package catalogue

import "sync"

// A pod cannot use all of the memory that a type is sold with: firmware and
// kernel keep some from the start, the machine's own processes need some more.
const (
	// nominalShare is how much of its nominal memory Linux reports as MemTotal,
	// in thousandths: until a cell of the type has said. Karpenter's default
	// (vmMemoryOverheadPercent 0.075) holds for types from 1 GiB up.
	nominalShare = 925
	// SystemMemory is for what runs on a cell beside the pod: agent, container
	// runtime, the image's own services. In bytes.
	SystemMemory = 128 << 20
	// grain is what reports are rounded down to, in bytes: instances of one
	// type differ by some KiB, which is no reason to make the index anew.
	grain = 4 << 20
)

// Memory remembers how much memory instances really have. Several may use it
// at once.
type Memory struct {
	mu       sync.Mutex
	reported map[string]int64
	changed  chan struct{} // holds one when there is something new
}

// NewMemory makes a Memory that remembers nothing.
func NewMemory() *Memory {
	return &Memory{reported: map[string]int64{}, changed: make(chan struct{}, 1)}
}

// Report notes the MemTotal, in bytes, of an instance of a type. The least
// that any instance had counts.
func (m *Memory) Report(instanceType string, total int64) {
	total -= total % grain
	if total <= 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.reported[instanceType]; ok && known <= total {
		return
	}
	m.reported[instanceType] = total
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// Usable is what a pod can use of a type with so much nominal memory, in bytes.
func (m *Memory) Usable(instanceType string, nominal int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	total, known := m.reported[instanceType]
	if !known {
		total = nominal / 1000 * nominalShare
	}
	return max(0, min(total, nominal)-SystemMemory)
}
