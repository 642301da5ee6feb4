package world

import (
	"maps"
	"net/netip"
	"time"

	"kip.elotl.co/hack/localaws/boot"
)

// State is an instance's state.
type State struct {
	Code int
	Name string
}

// The states, with EC2's numbers.
var (
	Pending      = State{0, "pending"}
	Running      = State{16, "running"}
	ShuttingDown = State{32, "shutting-down"}
	Terminated   = State{48, "terminated"}
	Stopping     = State{64, "stopping"}
	Stopped      = State{80, "stopped"}
)

// Live says whether a machine stands behind an instance in this state.
func (s State) Live() bool { return s == Pending || s == Running }

// StateReason says why an instance is in its state.
type StateReason struct {
	Code, Message string
}

// Reasons for the end of an instance, as DescribeInstances gives them.
var (
	UserShutdown     = StateReason{"Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown"}
	InstanceShutdown = StateReason{"Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown"}
	InternalError    = StateReason{"Server.InternalError", "Server.InternalError: Internal error on launch"}
	SpotTermination  = StateReason{"Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Spot instance termination"}
	ScheduledStop    = StateReason{"Server.ScheduledStop", "Server.ScheduledStop: Stopped due to scheduled retirement"}
)

// Markets as InstanceLifecycle and the quotas name them.
const (
	OnDemand = "on-demand"
	Spot     = "spot"
)

// Instance is what EC2 knows of one instance. A value is never changed once
// others can see it: changes are made to a copy.
type Instance struct {
	ID            string
	ReservationID string
	// Seq orders instances by launch, over restarts too.
	Seq         int64
	LaunchIndex int
	ClientToken string
	LaunchTime  time.Time

	State            State
	StateReason      StateReason
	TransitionReason string    // "User initiated (2026-11-20 20:12:00 GMT)"
	EndedAt          time.Time // zero until terminated

	ImageID, InstanceType, Architecture   string
	Market                                string // OnDemand or Spot
	SpotRequestID, MaxPrice               string
	Zone, SubnetID, VPCID                 string
	Groups                                []string
	PrivateIPs                            []netip.Addr // the primary one first; empty once terminated
	PublicIP                              netip.Addr   // invalid for none
	InterfaceID, AttachmentID, MAC        string
	ProfileARN, ProfileID                 string
	UserData                              []byte
	Metadata                              boot.MetadataOptions
	OnShutdown                            string // terminate or stop
	CPUCredits                            string // standard or unlimited; "" for types without credits
	DisableAPITermination, EBSOptimized   bool
	DetailedMonitoring, SourceDestCheckOn bool
	Tenancy                               string
	RootDevice                            string
	Volumes                               []Volume
	Tags, InterfaceTags                   map[string]string
	// KeepInterface leaves the interface behind when the instance ends.
	KeepInterface bool
	Trouble       Trouble
}

// Volume is an EBS volume made with its instance.
type Volume struct {
	ID, Device, Type    string
	SizeGiB             int
	Encrypted           bool
	DeleteOnTermination bool
	SnapshotID          string
	IOPS, Throughput    int
	KMSKeyARN           string // "" unless encrypted
	Tags                map[string]string
}

// PrivateIP is the primary address; invalid once the instance is terminated.
func (i *Instance) PrivateIP() netip.Addr {
	if len(i.PrivateIPs) == 0 {
		return netip.Addr{}
	}
	return i.PrivateIPs[0]
}

func (i *Instance) clone() *Instance {
	c := *i
	return &c
}

// with is a copy of tags with more put over it.
func with(tags, more map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, tags)
	maps.Copy(out, more)
	return out
}

// without is a copy of tags with drop taken out; a nil value in drop takes the
// key whatever its value is.
func without(tags map[string]string, drop map[string]*string) map[string]string {
	out := with(tags, nil)
	for k, v := range drop {
		if have, ok := out[k]; ok && (v == nil || *v == have) {
			delete(out, k)
		}
	}
	return out
}
