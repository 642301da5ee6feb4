package ec2

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/world"
)

type reservationXML struct {
	ReservationID string        `xml:"reservationId"`
	OwnerID       string        `xml:"ownerId"`
	Groups        []groupXML    `xml:"groupSet>item"`
	Instances     []instanceXML `xml:"instancesSet>item"`
}

type groupXML struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

type stateXML struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

type reasonXML struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

type instanceXML struct {
	ID               string             `xml:"instanceId"`
	ImageID          string             `xml:"imageId"`
	State            stateXML           `xml:"instanceState"`
	PrivateDNSName   string             `xml:"privateDnsName"`
	DNSName          string             `xml:"dnsName"`
	TransitionReason string             `xml:"reason"`
	AMILaunchIndex   int                `xml:"amiLaunchIndex"`
	InstanceType     string             `xml:"instanceType"`
	LaunchTime       string             `xml:"launchTime"`
	Placement        placementXML       `xml:"placement"`
	Monitoring       string             `xml:"monitoring>state"`
	SubnetID         string             `xml:"subnetId,omitempty"`
	VPCID            string             `xml:"vpcId,omitempty"`
	PrivateIP        string             `xml:"privateIpAddress,omitempty"`
	PublicIP         string             `xml:"ipAddress,omitempty"`
	SourceDestCheck  bool               `xml:"sourceDestCheck"`
	Groups           []groupXML         `xml:"groupSet>item"`
	StateReason      *reasonXML         `xml:"stateReason"`
	Architecture     string             `xml:"architecture"`
	RootDeviceType   string             `xml:"rootDeviceType"`
	RootDeviceName   string             `xml:"rootDeviceName"`
	Devices          []instanceDevice   `xml:"blockDeviceMapping>item"`
	Virtualization   string             `xml:"virtualizationType"`
	Lifecycle        string             `xml:"instanceLifecycle,omitempty"`
	SpotRequestID    string             `xml:"spotInstanceRequestId,omitempty"`
	ClientToken      string             `xml:"clientToken"`
	Tags             []tagXML           `xml:"tagSet>item"`
	Hypervisor       string             `xml:"hypervisor"`
	Interfaces       []interfaceXML     `xml:"networkInterfaceSet>item"`
	Profile          *profileXML        `xml:"iamInstanceProfile"`
	EBSOptimized     bool               `xml:"ebsOptimized"`
	ENASupport       bool               `xml:"enaSupport"`
	CPU              cpuXML             `xml:"cpuOptions"`
	Metadata         metadataOptionsXML `xml:"metadataOptions"`
	PlatformDetails  string             `xml:"platformDetails"`
	UsageOperation   string             `xml:"usageOperation"`
	BootMode         string             `xml:"currentInstanceBootMode"`
}

type placementXML struct {
	Zone    string `xml:"availabilityZone"`
	ZoneID  string `xml:"availabilityZoneId"`
	Group   string `xml:"groupName"`
	Tenancy string `xml:"tenancy"`
}

type profileXML struct {
	ARN string `xml:"arn"`
	ID  string `xml:"id"`
}

type cpuXML struct {
	Cores   int `xml:"coreCount"`
	Threads int `xml:"threadsPerCore"`
}

type metadataOptionsXML struct {
	State    string `xml:"state"`
	Tokens   string `xml:"httpTokens"`
	HopLimit int    `xml:"httpPutResponseHopLimit"`
	Endpoint string `xml:"httpEndpoint"`
	IPv6     string `xml:"httpProtocolIpv6"`
	Tags     string `xml:"instanceMetadataTags"`
}

type instanceDevice struct {
	Name string `xml:"deviceName"`
	EBS  struct {
		VolumeID            string `xml:"volumeId"`
		Status              string `xml:"status"`
		AttachTime          string `xml:"attachTime"`
		DeleteOnTermination bool   `xml:"deleteOnTermination"`
	} `xml:"ebs"`
}

type interfaceXML struct {
	ID              string          `xml:"networkInterfaceId"`
	SubnetID        string          `xml:"subnetId"`
	VPCID           string          `xml:"vpcId"`
	Zone            string          `xml:"availabilityZone,omitempty"` // DescribeNetworkInterfaces only
	OwnerID         string          `xml:"ownerId"`
	Status          string          `xml:"status"`
	MAC             string          `xml:"macAddress"`
	PrivateIP       string          `xml:"privateIpAddress"`
	PrivateDNSName  string          `xml:"privateDnsName"`
	SourceDestCheck bool            `xml:"sourceDestCheck"`
	Groups          []groupXML      `xml:"groupSet>item"`
	Attachment      *attachmentXML  `xml:"attachment"` // absent once it is attached to nothing
	Association     *associationXML `xml:"association"`
	Addresses       []addressXML    `xml:"privateIpAddressesSet>item"`
	InterfaceType   string          `xml:"interfaceType"`
	Tags            []tagXML        `xml:"tagSet>item"` // DescribeNetworkInterfaces only
}

type attachmentXML struct {
	ID                  string `xml:"attachmentId"`
	InstanceID          string `xml:"instanceId,omitempty"`
	DeviceIndex         int    `xml:"deviceIndex"`
	Status              string `xml:"status"`
	AttachTime          string `xml:"attachTime"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
}

type associationXML struct {
	PublicIP  string `xml:"publicIp"`
	PublicDNS string `xml:"publicDnsName"`
	Owner     string `xml:"ipOwnerId"`
}

type addressXML struct {
	IP          string          `xml:"privateIpAddress"`
	DNS         string          `xml:"privateDnsName"`
	Primary     bool            `xml:"primary"`
	Association *associationXML `xml:"association"`
}

func (s *Server) reservation(id string, instances []*world.Instance) reservationXML {
	r := reservationXML{ReservationID: id, OwnerID: s.World.Catalog.Account}
	for _, i := range instances {
		r.Instances = append(r.Instances, s.instance(i))
	}
	return r
}

func (s *Server) instance(i *world.Instance) instanceXML {
	t, _ := s.World.Catalog.Type(i.InstanceType)
	image, _ := s.World.Catalog.Image(i.ImageID)
	x := instanceXML{
		ID: i.ID, ImageID: i.ImageID, State: stateXML(i.State), TransitionReason: i.TransitionReason,
		PrivateDNSName: s.privateDNS(i.PrivateIP()), DNSName: s.publicDNS(i.PublicIP),
		AMILaunchIndex: i.LaunchIndex, InstanceType: i.InstanceType, LaunchTime: timestamp(i.LaunchTime),
		Placement: s.placement(i), Monitoring: monitoring(i), SourceDestCheck: i.SourceDestCheckOn,
		Architecture: i.Architecture, RootDeviceType: "ebs", RootDeviceName: i.RootDevice,
		Virtualization: image.Virtualization, Hypervisor: "xen", ClientToken: i.ClientToken, Tags: tagSet(i.Tags),
		EBSOptimized: i.EBSOptimized, ENASupport: image.ENA, CPU: cpuXML{t.VCPUs / max(1, t.ThreadsPerCore), t.ThreadsPerCore},
		Metadata: metadataOptions(i), PlatformDetails: "Linux/UNIX", UsageOperation: "RunInstances", BootMode: currentBootMode(image, t),
		SpotRequestID: i.SpotRequestID,
	}
	if i.Market == world.Spot {
		x.Lifecycle = "spot"
	}
	if i.StateReason.Code != "" {
		x.StateReason = (*reasonXML)(&i.StateReason)
	}
	if i.ProfileARN != "" {
		x.Profile = &profileXML{i.ProfileARN, i.ProfileID}
	}
	if i.State == world.Terminated {
		// Nothing is attached to what is gone.
		return x
	}
	x.SubnetID, x.VPCID, x.PrivateIP = i.SubnetID, i.VPCID, i.PrivateIP().String()
	x.Groups = s.groups(i.Groups)
	x.Interfaces = []interfaceXML{s.networkInterface(i)}
	if i.PublicIP.IsValid() {
		x.PublicIP = i.PublicIP.String()
	}
	for _, v := range i.Volumes {
		x.Devices = append(x.Devices, attachedVolume(i, v))
	}
	return x
}

// currentBootMode is how an instance booted: in the mode the image prefers,
// where its type can.
func currentBootMode(image catalog.Image, t catalog.InstanceType) string {
	if strings.HasPrefix(image.BootMode, "uefi") && slices.Contains(t.BootModes, "uefi") || !slices.Contains(t.BootModes, "legacy-bios") {
		return "uefi"
	}
	return "legacy-bios"
}

func (s *Server) placement(i *world.Instance) placementXML {
	zone, _ := s.World.Catalog.Zone(i.Zone)
	return placementXML{Zone: i.Zone, ZoneID: zone.ID, Tenancy: i.Tenancy}
}

func monitoring(i *world.Instance) string {
	if i.DetailedMonitoring {
		return "enabled"
	}
	return "disabled"
}

func metadataOptions(i *world.Instance) metadataOptionsXML {
	x := metadataOptionsXML{State: "applied", Tokens: "optional", HopLimit: i.Metadata.HopLimit, Endpoint: "enabled", IPv6: "disabled", Tags: "disabled"}
	if i.State == world.Pending {
		x.State = "pending"
	}
	if i.Metadata.TokensRequired {
		x.Tokens = "required"
	}
	if i.Metadata.Disabled {
		x.Endpoint = "disabled"
	}
	return x
}

func (s *Server) groups(ids []string) []groupXML {
	var out []groupXML
	for _, id := range ids {
		g, _ := s.World.Group(id)
		out = append(out, groupXML{ID: id, Name: g.Name})
	}
	return out
}

func attachedVolume(i *world.Instance, v world.Volume) instanceDevice {
	d := instanceDevice{Name: v.Device}
	d.EBS.VolumeID, d.EBS.Status, d.EBS.AttachTime, d.EBS.DeleteOnTermination = v.ID, "attached", timestamp(i.LaunchTime), v.DeleteOnTermination
	return d
}

func (s *Server) networkInterface(i *world.Instance) interfaceXML {
	x := interfaceXML{
		ID: i.InterfaceID, SubnetID: i.SubnetID, VPCID: i.VPCID, OwnerID: s.World.Catalog.Account, Status: "in-use", MAC: i.MAC,
		PrivateIP: i.PrivateIP().String(), PrivateDNSName: s.privateDNS(i.PrivateIP()), SourceDestCheck: i.SourceDestCheckOn,
		Groups: s.groups(i.Groups), InterfaceType: "interface",
		Attachment: &attachmentXML{ID: i.AttachmentID, Status: "attached", AttachTime: timestamp(i.LaunchTime), DeleteOnTermination: !i.KeepInterface},
	}
	if i.PublicIP.IsValid() {
		x.Association = &associationXML{PublicIP: i.PublicIP.String(), PublicDNS: s.publicDNS(i.PublicIP), Owner: "amazon"}
	}
	for n, a := range i.PrivateIPs {
		addr := addressXML{IP: a.String(), DNS: s.privateDNS(a), Primary: n == 0}
		if n == 0 {
			addr.Association = x.Association
		}
		x.Addresses = append(x.Addresses, addr)
	}
	return x
}

// privateDNS is the name the region's resolver would give an address.
func (s *Server) privateDNS(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	domain := s.World.Catalog.Region + ".compute.internal"
	if s.World.Catalog.Region == "us-east-1" {
		domain = "ec2.internal"
	}
	return fmt.Sprintf("ip-%s.%s", dashed(a), domain)
}

// publicDNS is the name that a public address has in the region.
func (s *Server) publicDNS(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	domain := s.World.Catalog.Region + ".compute"
	if s.World.Catalog.Region == "us-east-1" {
		domain = "compute-1"
	}
	return fmt.Sprintf("ec2-%s.%s.amazonaws.com", dashed(a), domain)
}

func dashed(a netip.Addr) string { return strings.ReplaceAll(a.String(), ".", "-") }
