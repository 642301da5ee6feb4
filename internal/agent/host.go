package agent

import (
	"context"
	"io"
	"net"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// Host is what the agent needs of the cell's file system and network. All methods may be
// called at once from several goroutines.
type Host interface {
	// Load reads what Save wrote last; nil when there is nothing.
	Load() ([]byte, error)
	// Save replaces the agent's state; it survives a crash right after.
	Save(state []byte) error

	// Deploy unpacks a package, replacing what a package of that name held
	// before. ErrBadPackage is wrapped when the archive is at fault.
	Deploy(name string, archive io.Reader) error
	// HasPackage says whether a package of that name was deployed.
	HasPackage(name string) bool

	// MakeVolume makes one of the pod's volumes ready, unless it is.
	MakeVolume(pod *corev1.Pod, volume *corev1.Volume) error
	// Mounts makes the volumes ready that a container uses, together with its
	// hosts file and termination message file, and answers how to mount them. Of a
	// volume that cannot be made the error is a podfields.MountError.
	Mounts(files ContainerFiles) ([]Mount, error)
	// VolumeUsage measures what an emptyDir or the volume of a package holds.
	// fs.ErrNotExist: it has not been made yet.
	VolumeUsage(ctx context.Context, volume *corev1.Volume) (statsapi.FsStats, error)
	// TerminationMessage reads at most limit bytes of what a container left in
	// its termination message file; empty when it left none.
	TerminationMessage(container ContainerID, limit int64) (string, error)

	// DeviceWithAddress names the cell's network interface that has an address;
	// empty when none has.
	DeviceWithAddress(address netip.Addr) (string, error)
	// GuardMetadata says who reaches the instance's metadata from now on.
	GuardMetadata(access MetadataAccess) error

	// Dial connects to a TCP address as the cell, for the pod's probes and hooks.
	Dial(ctx context.Context, address string) (net.Conn, error)

	// OpenFile opens any file of the cell, as the protocol's file endpoint wants.
	OpenFile(path string) (io.ReadSeekCloser, error)
	// Resources are the cell's.
	Resources() Resources
	// Usage measures the cell.
	Usage() (*statsapi.NodeStats, error)
}

// MetadataAccess says who reaches the instance's metadata.
type MetadataAccess int

const (
	// MetadataForCell: what the cell itself sends, and nothing that comes through
	// its network, as the traffic of pods does that have one of their own.
	MetadataForCell MetadataAccess = iota
	// MetadataForPods: everybody.
	MetadataForPods
	// MetadataForNone: nobody; who shares the cell's network cannot be told from it.
	MetadataForNone
)

// ContainerFiles is what Host.Mounts works from.
type ContainerFiles struct {
	ID        ContainerID
	Pod       *corev1.Pod
	Container *corev1.Container
	// Hosts is the content of /etc/hosts.
	Hosts string
}

// Resources of a cell.
type Resources struct {
	MemoryBytes int64
	CPUs        int
	// StorageBytes is the size of the file system that holds the pod's files.
	StorageBytes int64
	BootID       string
	// AppArmor says whether the kernel enforces AppArmor profiles.
	AppArmor bool
}
