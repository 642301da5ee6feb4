package world

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/catalog"
)

// LaunchRequest is RunInstances after decoding. What is empty was not asked
// for.
type LaunchRequest struct {
	ClientToken string
	// Fingerprint is equal for equal parameters, the token left out.
	Fingerprint string
	DryRun      bool
	Min, Max    int

	ImageID, InstanceType string
	SubnetID, Zone        string
	Groups, GroupNames    []string
	SecondaryIPs          int
	PublicIP              *bool // nil leaves it to the subnet
	KeepInterface         bool  // when the instance ends

	UserData              []byte
	ProfileName           string // exactly one of the two, or none
	ProfileARN            string
	Metadata              boot.MetadataOptions
	Market                string // OnDemand or Spot
	MaxPrice              string
	CPUCredits            string
	OnShutdown            string
	DisableAPITermination bool
	EBSOptimized          bool
	DetailedMonitoring    bool
	Tenancy               string
	Devices               []Device

	Tags, VolumeTags, InterfaceTags map[string]string
}

// Device is one BlockDeviceMapping.
type Device struct {
	Name                string
	NoDevice            bool
	SizeGiB             *int
	Type                string
	Encrypted           bool
	DeleteOnTermination *bool
	SnapshotID          string
	// IOPS and Throughput, in MiB/s, are 0 when not asked for.
	IOPS, Throughput int
	KMSKeyID         string
}

// Launched is the outcome of a launch.
type Launched struct {
	ReservationID string
	Instances     []*Instance
	// Created is false when the client token was seen before: the instances are
	// those of the first launch, as they are now.
	Created bool
}

// Launch makes the instances asked for and starts to boot them. When it
// returns they are saved. A client token is remembered for as long as one of
// its instances is listed, and of no use any more once all are terminated.
func (w *World) Launch(req LaunchRequest) (Launched, error) {
	w.mu.Lock()
	out, r, gone, err := w.launchLocked(req)
	w.mu.Unlock()
	for _, old := range gone {
		w.saveLogged(old)
	}
	if err != nil {
		return Launched{}, err
	}
	// A repeated launch saves too: it must not answer before the first is safe.
	if err := w.save(r); err != nil {
		w.Log.Error(err, "launch not saved", "reservation", r.ID)
		return Launched{}, awserr.New("InternalError", "An internal error has occurred")
	}
	if out.Created {
		for _, i := range out.Instances {
			w.start(i.ID)
		}
	}
	return out, nil
}

func (w *World) launchLocked(req LaunchRequest) (Launched, *reservation, []*reservation, error) {
	if w.closed {
		return Launched{}, nil, nil, awserr.New("Unavailable", "The service is unavailable. Please try again shortly.")
	}
	gone := w.forgetExpired()
	if r := w.tokens[req.ClientToken]; r != nil && req.ClientToken != "" && !req.DryRun {
		if err := w.checkRepeated(req, r); err != nil {
			return Launched{}, nil, gone, err
		}
		return w.launched(r, false), r, gone, nil
	}
	p, err := w.plan(req)
	if err != nil {
		return Launched{}, nil, gone, err
	}
	if req.DryRun {
		return Launched{}, nil, gone, awserr.New("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	}
	r := w.reserve(req, p)
	return w.launched(r, true), r, gone, nil
}

// checkRepeated says whether a request may be answered with what its token
// launched before. The caller holds w.mu.
func (w *World) checkRepeated(req LaunchRequest, r *reservation) error {
	if r.Fingerprint != req.Fingerprint {
		return awserr.New("IdempotentParameterMismatch",
			"The request uses the same client token as a previous, but non-identical request. Do not reuse a client token with different requests, unless the requests are identical")
	}
	left := slices.ContainsFunc(r.instances, func(id string) bool { return w.slots[id].instance.State != Terminated })
	if !left {
		return awserr.New("IdempotentInstanceTerminated",
			"The request to launch an instance uses the same client token as a previous request for which the instance has been terminated.")
	}
	return nil
}

func (w *World) launched(r *reservation, created bool) Launched {
	out := Launched{ReservationID: r.ID, Created: created}
	for _, id := range r.instances {
		out.Instances = append(out.Instances, w.slots[id].instance)
	}
	return out
}

// reserve makes the records of a planned launch. The caller holds w.mu.
func (w *World) reserve(req LaunchRequest, p plan) *reservation {
	r := &reservation{ID: newID("r"), Token: req.ClientToken, Fingerprint: req.Fingerprint}
	now := w.Clock.Now().UTC()
	for n := range p.count {
		i := w.newInstance(req, p, now)
		i.ReservationID, i.LaunchIndex = r.ID, n
		w.slots[i.ID] = newSlot(i)
		r.instances = append(r.instances, i.ID)
	}
	w.reservations[r.ID] = r
	if r.Token != "" {
		w.tokens[r.Token] = r
	}
	return r
}

func (w *World) newInstance(req LaunchRequest, p plan, now time.Time) *Instance {
	w.seq++
	i := &Instance{
		ID: newID("i"), Seq: w.seq, ClientToken: req.ClientToken, LaunchTime: now,
		State: Pending, StateReason: StateReason{"pending", "pending"},
		ImageID: p.image.ID, InstanceType: p.instanceType.Name, Architecture: p.image.Architecture,
		Market: req.Market, MaxPrice: req.MaxPrice,
		Zone: p.subnet.Zone.Name, SubnetID: p.subnet.ID, VPCID: p.subnet.VPC, Groups: p.groups,
		InterfaceID: newID("eni"), AttachmentID: newID("eni-attach"), MAC: newMAC(),
		ProfileARN: p.profileARN, ProfileID: p.profileID, UserData: req.UserData, Metadata: req.Metadata,
		OnShutdown: req.OnShutdown, CPUCredits: p.cpuCredits, DisableAPITermination: req.DisableAPITermination,
		EBSOptimized: req.EBSOptimized, DetailedMonitoring: req.DetailedMonitoring, SourceDestCheckOn: true,
		Tenancy: req.Tenancy, RootDevice: p.image.RootDevice,
		Tags: req.Tags, InterfaceTags: req.InterfaceTags, KeepInterface: req.KeepInterface,
	}
	if i.Market == Spot {
		i.SpotRequestID = "sir-" + randomHex(4)
	}
	for _, v := range p.volumes {
		v.ID, v.Tags = newID("vol"), req.VolumeTags
		i.Volumes = append(i.Volumes, v)
	}
	i.PrivateIPs = w.takeAddresses(p.subnet, 1+req.SecondaryIPs, i.ID)
	if orElse(req.PublicIP, p.subnet.MapPublicIP) {
		i.PublicIP = w.takePublic(i.ID)
	}
	return i
}

// spec is what the back end is told about an instance.
func (w *World) spec(i *Instance) boot.Spec {
	t, _ := w.Catalog.Type(i.InstanceType)
	subnet, _ := w.Catalog.Subnet(i.SubnetID)
	gpus, neurons := w.accelerators(i.ImageID, t)
	return boot.Spec{
		InstanceID: i.ID, InstanceType: i.InstanceType, ImageID: i.ImageID, Architecture: i.Architecture,
		Region: w.Catalog.Region, Zone: i.Zone, VCPUs: t.VCPUs, MemoryMiB: t.MemoryMiB, GPUs: gpus, Neurons: neurons,
		PrivateIPs: i.PrivateIPs, SubnetCIDR: subnet.CIDR, MAC: i.MAC,
		UserData: i.UserData, InstanceProfileARN: i.ProfileARN, Metadata: i.Metadata, Notices: w.notices(i.ID), MetadataDelay: w.metadataDelay(),
	}
}

// accelerators are those that the image shows of the type's.
func (w *World) accelerators(imageID string, t catalog.InstanceType) (gpus, neurons int) {
	image, _ := w.Catalog.Image(imageID)
	switch {
	case image.Driver == "nvidia" && t.GPU != nil && t.GPU.Manufacturer == "NVIDIA":
		return t.GPU.Count, 0
	case image.Driver == "neuron" && t.Neuron != nil:
		return 0, t.Neuron.Count
	}
	return 0, 0
}

// newID is an id of the present form: 17 hexadecimal digits.
func newID(prefix string) string { return prefix + "-0" + randomHex(8) }

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	// crypto/rand.Read never fails.
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// newMAC is a random locally administered unicast address.
func newMAC() string {
	b := make([]byte, 5)
	_, _ = rand.Read(b)
	return fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4])
}

// quotaUsed is the number of vCPUs of live instances in a market, of a group of
// families or, for "", of all. The caller holds w.mu.
func (w *World) quotaUsed(market, group string) int {
	sum := 0
	for _, s := range w.slots {
		if s.instance.Market == market && s.instance.State.Live() {
			t, _ := w.Catalog.Type(s.instance.InstanceType)
			if group == "" || group == t.QuotaGroup() {
				sum += t.VCPUs
			}
		}
	}
	return sum
}

// offeringsElsewhere names the zones that have a type, as EC2's messages do.
func (w *World) offeringsElsewhere(t catalog.InstanceType, not string) string {
	var zones []string
	for _, z := range w.Catalog.Zones {
		if z.Name != not && w.Catalog.Offered(t, z.Name) {
			zones = append(zones, z.Name)
		}
	}
	return strings.Join(zones, ", ")
}
