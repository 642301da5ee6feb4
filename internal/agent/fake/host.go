package fake

import (
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/podfields"
)

// Host is a fake agent.Host: it has no files, forgets what packages hold, and
// keeps the agent's state in memory, so that an agent made anew with the same
// Host goes on.
type Host struct {
	resources agent.Resources
	started   time.Time

	mu       sync.Mutex
	state    []byte
	packages map[string]bool
	devices  map[netip.Addr]string
	metadata agent.MetadataAccess
	ports    map[string]int
	held     map[string]uint64
	broken   map[string]error // volumes
}

// NewHost makes a host for a cell with these resources.
func NewHost(resources agent.Resources) *Host {
	return &Host{resources: resources, started: time.Now(), packages: map[string]bool{}, devices: map[netip.Addr]string{}, ports: map[string]int{},
		held: map[string]uint64{}, broken: map[string]error{}}
}

// Load implements agent.Host.
func (h *Host) Load() ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state, nil
}

// Save implements agent.Host.
func (h *Host) Save(state []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = state
	return nil
}

// Deploy implements agent.Host.
func (h *Host) Deploy(name string, archive io.Reader) error {
	if _, err := io.Copy(io.Discard, archive); err != nil {
		return fmt.Errorf("%w: %w", agent.ErrBadPackage, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.packages[name] = true
	return nil
}

// HasPackage implements agent.Host.
func (h *Host) HasPackage(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.packages[name]
}

// BreakVolume has a volume fail with an error from now on; nil: mends it.
func (h *Host) BreakVolume(name string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken[name] = err
}

// MakeVolume implements agent.Host.
func (h *Host) MakeVolume(_ *corev1.Pod, volume *corev1.Volume) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.broken[volume.Name]
}

// Mounts implements agent.Host.
func (h *Host) Mounts(files agent.ContainerFiles) ([]agent.Mount, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, mount := range files.Container.VolumeMounts {
		if err := h.broken[mount.Name]; err != nil {
			return nil, &podfields.MountError{Volume: mount.Name, Err: err}
		}
	}
	return nil, nil
}

// TerminationMessage implements agent.Host: the fake Runtime tells messages.
func (h *Host) TerminationMessage(agent.ContainerID, int64) (string, error) { return "", nil }

// DeviceWithAddress implements agent.Host.
func (h *Host) DeviceWithAddress(address netip.Addr) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.devices[address], nil
}

// SetDevice has a network interface take an address, or with an empty name give
// it up.
func (h *Host) SetDevice(address netip.Addr, device string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.devices[address] = device
}

// GuardMetadata implements agent.Host.
func (h *Host) GuardMetadata(access agent.MetadataAccess) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.metadata = access
	return nil
}

// Metadata says who may reach the instance's metadata.
func (h *Host) Metadata() agent.MetadataAccess {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.metadata
}

// OpenFile implements agent.Host.
func (h *Host) OpenFile(path string) (io.ReadSeekCloser, error) {
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

// Resources implements agent.Host.
func (h *Host) Resources() agent.Resources { return h.resources }
