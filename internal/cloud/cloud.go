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
	Statuses
	Images
	Networks
	Routes
	InstanceTypes
	Prices
	Parameters
	Profiles
	Leftovers
}

// Instances launches, finds and ends instances.
type Instances interface {
	// Launch launches one instance. The same ClientToken with the same request
	// gives the same instance however often it is called; with another request
	// it gives KindTokenReused, and the instance is to be had by FindByToken.
	Launch(ctx context.Context, req LaunchRequest) (Instance, error)
	// LaunchDelay is zero when Launch may be called now. Else so many calls wait
	// for the rate limit already that another would only hold up its caller: it
	// is when to ask again.
	LaunchDelay() time.Duration
	// Instance describes one instance. KindNotFound when the cloud does not
	// know it: for some seconds after Launch that may only mean "not yet".
	// Calls at about the same time share one request.
	Instance(ctx context.Context, id string) (Instance, error)
	// Console is the end of what the instance has written to its console, as it
	// is: at most 64 KiB of any bytes. Empty where there is nothing yet.
	// KindNotFound when the instance is not known.
	Console(ctx context.Context, id string) ([]byte, error)
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
	// Tag sets tags, in addition to those that something has: an instance, or
	// what belongs to one, such as a volume. KindNotFound when it is not known.
	// Calls at about the same time, with equal tags, share one request.
	Tag(ctx context.Context, id string, tags map[string]string) error
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
	// DefaultSecurityGroup describes the group that EC2 gives to what is
	// launched in a VPC without naming one. KindNotFound when there is no such
	// VPC.
	DefaultSecurityGroup(ctx context.Context, vpcID string) (SecurityGroup, error)
}

// Routes sends the traffic for other addresses to instances.
type Routes interface {
	// RouteTables describes those that the subnets use: their own, else the
	// main one of the VPC. Each once, in no order.
	RouteTables(ctx context.Context, vpcID string, subnetIDs []string) ([]RouteTable, error)
	// CreateRoute sends a CIDR to an instance: nil when the table does so
	// already, KindConflict when it sends it elsewhere, KindNotFound when table
	// or instance is not known.
	CreateRoute(ctx context.Context, tableID string, cidr netip.Prefix, instanceID string) error
	// DeleteRoute ends a route to that instance, or to what is gone: nil when
	// the table has none, or one to something else, which stays.
	DeleteRoute(ctx context.Context, tableID string, cidr netip.Prefix, instanceID string) error
	// AllowForwarding lets an instance take and send packets that are not for
	// or from itself (source/destination check off).
	AllowForwarding(ctx context.Context, instanceID string) error
}

// InstanceTypes describes what can be launched.
type InstanceTypes interface {
	// InstanceTypes describes all types of the region, with the zones that
	// offer them.
	InstanceTypes(ctx context.Context) ([]InstanceType, error)
}

// Prices tells what instances cost: Linux, shared tenancy unless told
// otherwise, in USD per hour.
type Prices interface {
	// OnDemandPrices gives the prices of the region by type.
	// KindUnauthorized where the account may not ask.
	OnDemandPrices(ctx context.Context) (map[string]float64, error)
	// DedicatedPrices gives those of instances with dedicated tenancy.
	// KindUnauthorized as for OnDemandPrices.
	DedicatedPrices(ctx context.Context) (map[string]float64, error)
	// SpotPrices gives the newest price of every type and zone that has one.
	SpotPrices(ctx context.Context) ([]SpotPrice, error)
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
	// Market is OnDemand when empty. A Spot instance is terminated when it is
	// interrupted.
	Market Market
	// SpotMaxPrice is the most that a Spot instance may cost, in USD per hour,
	// such as 0.0123; without it no more than On-demand. Only for Spot.
	SpotMaxPrice string
	// CPUCredits is standard or unlimited for burstable types, else empty.
	CPUCredits string
	// InstanceProfile is a name or an ARN; without it the instance has no role.
	InstanceProfile string
	// PodMetadata lets what runs in a network namespace of its own on the
	// instance reach the metadata service, and so the role's credentials.
	PodMetadata bool
	// Tenancy is default or dedicated; default when empty.
	Tenancy string
	// RootDevice is the device name of the root volume. It ends with the instance.
	RootDevice string
	Volume     Volume
	// Tags go onto the instance, its volumes and its interfaces.
	Tags map[string]string
}

// Volume is what a root volume is to be like. What is zero is as in the image,
// but the type, which is gp3.
type Volume struct {
	GiB        int32
	Type       string
	IOPS       int32
	Throughput int32 // MiB/s
	// Encrypted: nil leaves it to the account and the image.
	Encrypted *bool
	KMSKeyID  string
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
	PrivateIP netip.Addr
	PodIP     netip.Addr
	// PublicIP is invalid where it has none.
	PublicIP   netip.Addr
	LaunchTime time.Time
	// ClientToken is that of the launch, empty where that had none.
	ClientToken string
	Tags        map[string]string
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
	// Paravirtual, else HVM.
	Paravirtual bool
	// BootMode is uefi, legacy-bios or uefi-preferred; empty: the type decides.
	BootMode string
	// ENA: it has the driver of the Elastic Network Adapter.
	ENA bool
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
	// Public: instances get a public address unless they are told otherwise.
	Public bool
}

// RouteTable is a route table.
type RouteTable struct {
	ID    string
	VPCID string
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
	// GPUs counts NVIDIA's, Neurons AWS's accelerators.
	GPUs    int32
	Neurons int32
	// IPv4PerInterface is how many addresses the primary interface can hold; a
	// cell needs two.
	IPv4PerInterface int32
	Burstable        bool
	BareMetal        bool
	// HVM, Paravirtual, UEFI and LegacyBIOS are what images it boots;
	// NeedsENA: only those with the driver.
	HVM, Paravirtual, UEFI, LegacyBIOS, NeedsENA bool
	// Markets are those that the type is sold in.
	Markets []Market
	Zones   []string
}

// SpotPrice is the price of a type in a zone, in USD per hour.
type SpotPrice struct {
	InstanceType string
	Zone         string
	PerHour      float64
	// Since is when the price came into force.
	Since time.Time
}
