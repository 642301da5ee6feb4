package agent

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"kip.elotl.co/internal/itzo"
)

// ErrNoEvents is Runtime.Watch's answer when the runtime tells no events.
var ErrNoEvents = errors.New("runtime tells no events")

// Runtime is the container runtime of a cell. All methods may be called at
// once from several goroutines. What is to be stopped or removed and is gone
// already is not an error.
type Runtime interface {
	StreamRuntime

	// Info fails as long as the runtime does not answer.
	Info(ctx context.Context) (itzo.RuntimeInfo, error)

	// RunSandbox makes the pod's namespaces and network and answers the
	// sandbox's ID. When it fails nothing of the sandbox runs.
	RunSandbox(ctx context.Context, sandbox SandboxSpec) (string, error)
	// StopSandbox kills what runs in the sandbox and takes its network away.
	StopSandbox(ctx context.Context, id string) error
	// RemoveSandbox removes a stopped sandbox and its containers.
	RemoveSandbox(ctx context.Context, id string) error

	// Image looks for an image on the cell; ok is false when it is not there.
	Image(ctx context.Context, name string) (image Image, ok bool, err error)
	// PullImage fetches an image; credentials may be nil.
	PullImage(ctx context.Context, name string, credentials *itzo.RegistryCredentials) (Image, error)

	// Devices lists the cell's devices of one resource that podsupport.IsDevice
	// knows, in their order; that there are none is an error, which says why.
	Devices(ctx context.Context, resource corev1.ResourceName) ([]Device, error)

	// CreateContainer answers the new container's ID.
	CreateContainer(ctx context.Context, container ContainerSpec) (string, error)
	StartContainer(ctx context.Context, id string) error
	// StopContainer sends the container's stop signal, and SIGKILL after the
	// grace period; it returns when the container has ended. A second call with
	// a shorter period wins over the first.
	StopContainer(ctx context.Context, id string, grace time.Duration) error
	RemoveContainer(ctx context.Context, id string) error

	// Exec runs a command in a running container and answers what it wrote, and its
	// exit code. After a timeout that is not 0 it fails with ErrExecTimeout.
	Exec(ctx context.Context, id string, command []string, timeout time.Duration) (output []byte, exitCode int32, err error)

	// List shows all sandboxes and containers of the pod, whatever their state.
	List(ctx context.Context, pod types.UID) (Observation, error)
	// Watch calls changed soon after anything that List shows may have changed,
	// until ctx ends or the runtime's events do.
	Watch(ctx context.Context, changed func()) error
	// Log reads what a container wrote, in the CRI format: one line each
	// "<RFC 3339 time> <stdout|stderr> <F|P> <text>", as far as it has not been
	// rotated away. A rotation while it is open does no harm to the reader.
	// fs.ErrNotExist: nothing was ever written.
	Log(ctx context.Context, container ContainerID) (io.ReadSeekCloser, error)
	// RotateLog begins a new file of a running container's log when that has grown
	// too large, and removes old ones; id is the runtime's.
	RotateLog(ctx context.Context, container ContainerID, id string) error

	// Stats measures the pod's sandbox and its running containers. What cannot be
	// known is nil.
	Stats(ctx context.Context, pod types.UID) (*statsapi.PodStats, error)
	// ImageStats measures the images, and the file system that they are in.
	ImageStats(ctx context.Context) (*statsapi.FsStats, error)
}

// ContainerID names one run of one container of a pod.
type ContainerID struct {
	Namespace, Pod string
	UID            types.UID
	Container      string
	Attempt        uint32
}

// SandboxSpec says what a sandbox shall be.
type SandboxSpec struct {
	Pod     *corev1.Pod
	Attempt uint32
	// Hostname has at most 63 characters.
	Hostname string
	// IP is the pod's address, CellIP the cell's own.
	IP, CellIP netip.Addr
	// DNS nil: the cell's own resolv.conf.
	DNS *DNS
}

// DNS is the content of a resolv.conf.
type DNS struct {
	Servers, Searches, Options []string
}

// Image is an image on the cell.
type Image struct {
	// ID is what containers are created from.
	ID string
	// UID is the numeric user of the image; nil when the image names its user
	// (Username), or none, which means root.
	UID      *int64
	Username string
	// Size in bytes; 0 where the runtime does not tell.
	Size uint64
}

// ContainerSpec says what a container shall be, everything resolved.
type ContainerSpec struct {
	Sandbox   SandboxSpec
	SandboxID string
	Container *corev1.Container
	Attempt   uint32
	Image     Image
	// Command and Args have their $(VAR) expanded.
	Command, Args []string
	Env           []corev1.EnvVar
	Mounts        []Mount
	// TargetID is the container whose process namespace is used; empty: as the
	// pod says.
	TargetID string
	Devices  []Device
	// MemoryCapacity is the cell's, in bytes: the OOM score depends on it.
	MemoryCapacity int64
}

// Mount binds a path of the cell into a container.
type Mount struct {
	HostPath, ContainerPath string
	ReadOnly                bool
	// Propagation empty: none.
	Propagation corev1.MountPropagationMode
}

// Observation is what the runtime has of a pod.
type Observation struct {
	Sandboxes  []Sandbox
	Containers []Container
}

// Sandbox is one that the runtime knows.
type Sandbox struct {
	ID      string
	Attempt uint32
	Ready   bool
	IPs     []netip.Addr
}

// ContainerState is the state of a container in the runtime's words.
type ContainerState int

// The states of a container.
const (
	ContainerUnknown ContainerState = iota
	ContainerCreated
	ContainerRunning
	ContainerExited
)

// Container is one that the runtime knows.
type Container struct {
	ID        string
	SandboxID string
	// URI is the ID as the status shows it: containerd://…
	URI     string
	Name    string
	Attempt uint32
	State   ContainerState
	// Image is the name as the runtime spells it, ImageRef its digest.
	Image, ImageRef string
	// SpecImage is the name as the pod's spec had it when the container was made;
	// empty where that is not known.
	SpecImage                        string
	CreatedAt, StartedAt, FinishedAt time.Time
	ExitCode                         int32
	// Reason and Message of an end, e.g. OOMKilled.
	Reason, Message string
	// User is whom its first process was started as, StopSignal what it is stopped
	// with; nil where the runtime does not tell.
	User       *corev1.ContainerUser
	StopSignal *corev1.Signal
}
