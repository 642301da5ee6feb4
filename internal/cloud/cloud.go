// Package cloud is the port to the cloud: what Kip needs of it, in words that
// name no SDK. Every method may return an *Error; what is said of errors here
// is part of the interface.
package cloud

import (
	"context"
	"net/netip"
	"time"
)

// Cloud is all of the port; its users take the part that they need.
type Cloud interface {
	Instances
	Images
	Networks
	InstanceTypes
}

// Instances launches, finds and ends instances.
type Instances interface {
	// Launch launches one instance. The same ClientToken with the same request
	// gives the same instance however often it is called; with another request
	// it gives KindTokenReused, and the instance is to be had by FindByToken.
	Launch(ctx context.Context, req LaunchRequest) (Instance, error)
	// Instance describes one instance. KindNotFound when the cloud does not
	// know it: for some seconds after Launch that may only mean "not yet".
	// Calls at about the same time share one request.
	Instance(ctx context.Context, id string) (Instance, error)
	// FindByToken describes the instance that a ClientToken launched,
	// terminated ones included; KindNotFound when there is none, or not yet.
	FindByToken(ctx context.Context, token string) (Instance, error)
	// FindByTags describes the instances that carry all of the tags,
	// terminated ones included. KindInvalid without tags.
	FindByTags(ctx context.Context, tags map[string]string) ([]Instance, error)
	// Terminate asks for the end of an instance: nil when the cloud has taken
	// the request or the instance is ending already, KindNotFound when it is
	// not known. Calls at about the same time share one request.
	Terminate(ctx context.Context, id string) error
}

// Images finds machine images.
type Images interface {
	// Images gives the available images that match all of the query, in no
	// order. KindNotFound, naming one of ImageQuery.IDs in Error.Subject, when
	// there is no such image; KindInvalid when the query is empty.
	Images(ctx context.Context, q ImageQuery) ([]Image, error)
}

// Networks describes where instances can be put.
type Networks interface {
	// Subnets describes the subnets in the order of ids. KindNotFound, naming
	// the first one that does not exist in Error.Subject.
	Subnets(ctx context.Context, ids []string) ([]Subnet, error)
	// SecurityGroups describes the groups in the order of ids. KindNotFound as
	// for Subnets.
	SecurityGroups(ctx context.Context, ids []string) ([]SecurityGroup, error)
}

// InstanceTypes describes what can be launched.
type InstanceTypes interface {
	// InstanceType describes one type, and the zones of the region that offer
	// it. KindNotFound when the region has no such type.
	InstanceType(ctx context.Context, name string) (InstanceType, error)
}

// Market is how an instance is bought.
type Market string

// The markets.
const (
	OnDemand Market = "on-demand"
	Spot     Market = "spot"
)

// LaunchRequest is all that shapes an instance.
type LaunchRequest struct {
	// ClientToken makes the launch idempotent; 1 to 64 ASCII characters.
	ClientToken    string
	InstanceType   string
	ImageID        string
	SubnetID       string
	SecurityGroups []string // the VPC's default group when empty
	// AssociatePublicIP: nil leaves it to the subnet.
	AssociatePublicIP *bool
	// UserData is raw, at most MaxUserData bytes.
	UserData []byte
	// RootDevice and VolumeGiB size the root volume; it has the image's size
	// when VolumeGiB is 0, is encrypted if the account or the image says so,
	// and ends with the instance.
	RootDevice string
	VolumeGiB  int32
	// Tags go onto the instance, its volumes and its interfaces.
	Tags map[string]string
}

// MaxUserData is the limit for raw user data, in bytes
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html).
const MaxUserData = 16384

// State is an instance's state, in EC2's words.
type State string

// The states.
const (
	StatePending      State = "pending"
	StateRunning      State = "running"
	StateShuttingDown State = "shutting-down"
	StateTerminated   State = "terminated"
	StateStopping     State = "stopping"
	StateStopped      State = "stopped"
)

// Live says whether the instance exists or may come back: all states but
// shutting-down and terminated.
func (s State) Live() bool { return s != StateShuttingDown && s != StateTerminated }

// Instance is an instance as the cloud describes it.
type Instance struct {
	ID           string
	State        State
	StateReason  string // such as Server.SpotInstanceTermination, empty when none
	InstanceType string
	ImageID      string
	SubnetID     string
	Zone         string
	Market       Market
	// PrivateIP is the primary address, PodIP the secondary one; both are
	// invalid once the instance is terminated.
	PrivateIP  netip.Addr
	PodIP      netip.Addr
	LaunchTime time.Time
	Tags       map[string]string
}

// ImageQuery chooses images; all that is given must match.
type ImageQuery struct {
	IDs             []string
	Owners          []string
	ExecutableUsers []string
	Filters         map[string][]string
}

// Image is a machine image.
type Image struct {
	ID           string
	Name         string
	Architecture Architecture
	Created      time.Time
	RootDevice   string // device name, such as /dev/xvda
	VolumeGiB    int32  // size of its root volume
}

// Architecture is a processor architecture in Kubernetes' words.
type Architecture string

// The architectures that cells can have.
const (
	AMD64 Architecture = "amd64"
	ARM64 Architecture = "arm64"
)

// Subnet is a subnet.
type Subnet struct {
	ID            string
	VPCID         string
	Zone          string
	CIDR          netip.Prefix
	FreeAddresses int
}

// SecurityGroup is a security group.
type SecurityGroup struct {
	ID    string
	Name  string
	VPCID string
}

// InstanceType is an instance type and where it is offered.
type InstanceType struct {
	Name          string
	Architectures []Architecture
	VCPUs         int32
	MemoryMiB     int64
	// IPv4PerInterface is how many addresses the primary interface can hold; a
	// cell needs two.
	IPv4PerInterface int32
	Zones            []string
}
