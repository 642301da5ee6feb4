package ec2

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/query"
	"kip.elotl.co/hack/localaws/world"
)

// EC2's limits on RunInstances.
const (
	maxUserData    = 16384 // bytes, before base64
	maxClientToken = 64
)

type runInstancesResponse struct {
	header
	reservationXML
}

func (s *Server) runInstances(_ context.Context, c *Call) (response, error) {
	req, err := readLaunch(c)
	if err != nil {
		return nil, err
	}
	out, err := s.World.Launch(req)
	if err != nil {
		return nil, err
	}
	if out.Created {
		for _, i := range out.Instances {
			c.Created = append(c.Created, i.ID)
		}
	}
	return &runInstancesResponse{reservationXML: s.reservation(out.ReservationID, out.Instances)}, nil
}

// readLaunch reads what a launch can ask for; what else is in the call is
// refused as unknown.
func readLaunch(c *Call) (world.LaunchRequest, error) {
	p := c.Params
	req := world.LaunchRequest{
		ClientToken:           p.String("ClientToken"),
		Fingerprint:           fingerprint(c.Form),
		ImageID:               p.Required("ImageId"),
		InstanceType:          p.Required("InstanceType"),
		SubnetID:              p.String("SubnetId"),
		Groups:                p.Strings("SecurityGroupId"),
		GroupNames:            p.Strings("SecurityGroup"),
		OnShutdown:            orElse(p.OneOf("InstanceInitiatedShutdownBehavior", "stop", "terminate"), "stop"),
		DisableAPITermination: isTrue(p.Bool("DisableApiTermination")),
		EBSOptimized:          isTrue(p.Bool("EbsOptimized")),
		DryRun:                isTrue(p.Bool("DryRun")),
	}
	steps := []func(query.Params, *world.LaunchRequest) error{
		readCounts, readUserData, readPlacement, readInterface, readMarket, readMetadata, readDevices, readTagSpecifications,
	}
	for _, step := range steps {
		if err := step(p, &req); err != nil {
			return req, err
		}
	}
	profile, _ := p.Struct("IamInstanceProfile")
	req.ProfileARN, req.ProfileName = profile.String("Arn"), profile.String("Name")
	credits, _ := p.Struct("CreditSpecification")
	req.CPUCredits = credits.OneOf("CpuCredits", "standard", "unlimited")
	monitoring, _ := p.Struct("Monitoring")
	req.DetailedMonitoring = isTrue(monitoring.Bool("Enabled"))
	if key := p.String("KeyName"); key != "" {
		return req, awserr.New("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", key)
	}
	if len(req.ClientToken) > maxClientToken || strings.ContainsFunc(req.ClientToken, func(r rune) bool { return r > unicode.MaxASCII }) {
		return req, awserr.New("InvalidParameterValue", "Value (%s) for parameter clientToken is invalid. It must be at most %d ASCII characters.", req.ClientToken, maxClientToken)
	}
	return req, p.Finish()
}

// fingerprint is the same for the same parameters in any order.
func fingerprint(form map[string]string) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(form)) {
		switch name {
		case "Action", "Version", "ClientToken", "DryRun":
		default:
			fmt.Fprintf(h, "%q=%q\n", name, form[name])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func readCounts(p query.Params, req *world.LaunchRequest) error {
	for _, n := range []struct {
		name string
		into *int
	}{{"MinCount", &req.Min}, {"MaxCount", &req.Max}} {
		if p.Required(n.name) == "" {
			return p.Err()
		}
		v := p.Int(n.name)
		if v == nil {
			return p.Err()
		}
		if *v < 1 {
			return awserr.New("InvalidParameterValue", "Value (%d) for parameter %s is invalid. Minimum value: 1", *v, n.name)
		}
		*n.into = *v
	}
	if req.Max < req.Min {
		return awserr.New("InvalidParameterValue", "Value (%d) for parameter maxCount is invalid. It must not be less than minCount (%d)", req.Max, req.Min)
	}
	return nil
}

func readUserData(p query.Params, req *world.LaunchRequest) error {
	raw, err := base64.StdEncoding.DecodeString(p.String("UserData"))
	if err != nil {
		return awserr.New("InvalidParameterValue", "Invalid BASE64 encoding of user data.")
	}
	if len(raw) > maxUserData {
		return awserr.New("InvalidParameterValue", "User data is limited to %d bytes", maxUserData)
	}
	if len(raw) > 0 {
		req.UserData = raw
	}
	return nil
}

func readPlacement(p query.Params, req *world.LaunchRequest) error {
	placement, _ := p.Struct("Placement")
	req.Zone = placement.String("AvailabilityZone")
	req.Tenancy = orElse(placement.OneOf("Tenancy", "default", "dedicated"), "default")
	return nil
}

// readInterface reads the one network interface a launch can describe. Subnet
// and groups are then the interface's, and EC2 refuses to find them twice.
func readInterface(p query.Params, req *world.LaunchRequest) error {
	list := p.Structs("NetworkInterface")
	if len(list) == 0 {
		return nil
	}
	if req.SubnetID != "" || len(req.Groups)+len(req.GroupNames) > 0 {
		return awserr.New("InvalidParameterCombination", "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request")
	}
	if len(list) > 1 {
		return awserr.New("UnsupportedOperation", "This emulator gives an instance one network interface")
	}
	n := list[0]
	if i := n.Int("DeviceIndex"); i == nil {
		return awserr.New("MissingParameter", "Each network interface requires a device index.")
	} else if *i != 0 {
		return awserr.New("InvalidParameterCombination", "The primary network interface must have the device index 0.")
	}
	req.SubnetID = n.String("SubnetId")
	req.Groups = n.Strings("SecurityGroupId")
	req.PublicIP = n.Bool("AssociatePublicIpAddress")
	n.String("Description")
	if v := n.Bool("DeleteOnTermination"); v != nil {
		req.KeepInterface = !*v
	}
	n.OneOf("InterfaceType", "interface")
	if v := n.Int("SecondaryPrivateIpAddressCount"); v != nil {
		if *v < 0 {
			return awserr.New("InvalidParameterValue", "Value (%d) for parameter secondaryPrivateIpAddressCount is invalid.", *v)
		}
		req.SecondaryIPs = *v
	}
	return nil
}

func readMarket(p query.Params, req *world.LaunchRequest) error {
	req.Market = world.OnDemand
	market, given := p.Struct("InstanceMarketOptions")
	if !given {
		return nil
	}
	spot, isSpot := market.Struct("SpotOptions")
	switch kind := market.OneOf("MarketType", "spot"); {
	case kind == "spot":
		req.Market = world.Spot
	case isSpot:
		return awserr.New("InvalidParameterCombination", "SpotOptions need the market type spot")
	}
	req.MaxPrice = spot.String("MaxPrice")
	if spot.OneOf("SpotInstanceType", "one-time", "persistent") == "persistent" {
		return awserr.New("UnsupportedOperation", "This emulator does not keep persistent Spot requests")
	}
	if b := spot.OneOf("InstanceInterruptionBehavior", "hibernate", "stop", "terminate"); b == "hibernate" || b == "stop" {
		return awserr.New("InvalidParameterCombination", "Interruption behavior %s is not supported for one-time Spot requests", b)
	}
	return nil
}

func readMetadata(p query.Params, req *world.LaunchRequest) error {
	m, _ := p.Struct("MetadataOptions")
	req.Metadata = boot.MetadataOptions{
		Disabled:       m.OneOf("HttpEndpoint", "enabled", "disabled") == "disabled",
		TokensRequired: m.OneOf("HttpTokens", "optional", "required") == "required",
		HopLimit:       1,
	}
	m.OneOf("HttpProtocolIpv6", "disabled")
	m.OneOf("InstanceMetadataTags", "disabled")
	if n := m.Int("HttpPutResponseHopLimit"); n != nil {
		if *n < 1 || *n > 64 {
			return awserr.New("InvalidParameterValue", "Value (%d) for parameter HttpPutResponseHopLimit is invalid. It must be from 1 to 64.", *n)
		}
		req.Metadata.HopLimit = *n
	}
	return nil
}

func readDevices(p query.Params, req *world.LaunchRequest) error {
	for _, m := range p.Structs("BlockDeviceMapping") {
		ebs, _ := m.Struct("Ebs")
		d := world.Device{
			Name: m.String("DeviceName"), SizeGiB: ebs.Int("VolumeSize"), Type: ebs.String("VolumeType"),
			Encrypted: isTrue(ebs.Bool("Encrypted")), DeleteOnTermination: ebs.Bool("DeleteOnTermination"),
			SnapshotID: ebs.String("SnapshotId"), KMSKeyID: ebs.String("KmsKeyId"),
		}
		_, d.NoDevice = m.Lookup("NoDevice")
		if n := ebs.Int("Iops"); n != nil {
			d.IOPS = *n
		}
		if n := ebs.Int("Throughput"); n != nil {
			d.Throughput = *n
		}
		req.Devices = append(req.Devices, d)
	}
	return nil
}

func readTagSpecifications(p query.Params, req *world.LaunchRequest) error {
	return tagSpecifications(p, map[string]*map[string]string{
		"instance": &req.Tags, "volume": &req.VolumeTags, "network-interface": &req.InterfaceTags,
		"spot-instances-request": new(map[string]string),
	})
}

// tagSpecifications reads the tags for each kind of resource that a call makes.
func tagSpecifications(p query.Params, into map[string]*map[string]string) error {
	for _, spec := range p.Structs("TagSpecification") {
		kind := spec.Required("ResourceType")
		tags := into[kind]
		if tags == nil {
			return awserr.New("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", kind)
		}
		if *tags != nil {
			return awserr.New("InvalidParameterValue", "The resource type '%s' occurs more than once in the tag specifications", kind)
		}
		read, err := readTags(spec)
		if err != nil {
			return err
		}
		if len(read) > world.MaxTags {
			return awserr.New("TagLimitExceeded", "The maximum number of tags per resource is %d", world.MaxTags)
		}
		*tags = read
	}
	return nil
}

// readTags reads Tag.N and refuses what EC2 does not take as a tag.
func readTags(p query.Params) (map[string]string, error) {
	out := map[string]string{}
	for _, t := range p.Structs("Tag") {
		key, value := t.Required("Key"), t.String("Value")
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, awserr.New("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		}
		if len([]rune(key)) > 127 || len([]rune(value)) > 256 {
			return nil, awserr.New("InvalidParameterValue", "Tag '%s': keys have at most 127 characters, values 256", key)
		}
		if _, twice := out[key]; twice {
			return nil, awserr.New("InvalidParameterValue", "Duplicate tag key '%s' specified.", key)
		}
		out[key] = value
	}
	return out, p.Err()
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func isTrue(b *bool) bool { return b != nil && *b }
