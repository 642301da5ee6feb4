package world

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/catalog"
)

// groupsPerInterface is EC2's default quota.
const groupsPerInterface = 5

// plan is a launch with every name in it resolved and every limit kept.
type plan struct {
	image                 catalog.Image
	instanceType          catalog.InstanceType
	subnet                catalog.Subnet
	groups                []string
	profileARN, profileID string
	cpuCredits            string
	volumes               []Volume
	count                 int
}

// plan resolves a request step by step; the first step that fails names the
// error. The caller holds w.mu.
func (w *World) plan(req LaunchRequest) (plan, error) {
	var p plan
	for _, step := range []func(LaunchRequest, *plan) error{
		w.resolveImage, w.resolveType, w.resolveGroups, w.resolveProfile, w.resolveCredits, w.resolveVolumes, w.resolvePlace, w.resolveCount,
	} {
		if err := step(req, &p); err != nil {
			return plan{}, err
		}
	}
	return p, nil
}

var imageID = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)

func (w *World) resolveImage(req LaunchRequest, p *plan) error {
	if !imageID.MatchString(req.ImageID) {
		return awserr.New("InvalidAMIID.Malformed", "Invalid id: %q (expecting \"ami-...\")", req.ImageID)
	}
	image, ok := w.Catalog.Image(req.ImageID)
	if !ok {
		return awserr.New("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", req.ImageID)
	}
	if image.State != "available" {
		return awserr.New("InvalidAMIID.Unavailable", "The image ID '%s' is not available for use: it is %s", image.ID, image.State)
	}
	p.image = image
	return nil
}

func (w *World) resolveType(req LaunchRequest, p *plan) error {
	t, ok := w.Catalog.Type(req.InstanceType)
	if !ok {
		return awserr.New("InvalidParameterValue", "Invalid value '%s' for InstanceType.", req.InstanceType)
	}
	if t.Architecture != p.image.Architecture {
		return awserr.New("InvalidParameterValue",
			"The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI. "+
				"Specify an instance type and an AMI that have matching architectures, and try again.", t.Architecture, p.image.Architecture)
	}
	if 1+req.SecondaryIPs > t.AddressesPerInterface {
		return awserr.New("PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit: %s allows %d per interface", t.Name, t.AddressesPerInterface)
	}
	p.instanceType = t
	return bootable(p.image, t)
}

// bootable says why a type cannot boot an image of its architecture.
func bootable(image catalog.Image, t catalog.InstanceType) error {
	switch {
	case !slices.Contains(t.Virtualization, image.Virtualization):
		if image.Virtualization == "paravirtual" {
			return awserr.New("InvalidParameterCombination", "Non-Windows instances with a virtualization type of 'paravirtual' are currently not supported for this instance type.")
		}
		return awserr.New("InvalidParameterCombination", "The specified instance type only supports images of the virtualization type '%s'.", t.Virtualization[0])
	case t.ENA == "required" && !image.ENA:
		return awserr.New("InvalidParameterCombination", "Enhanced networking with the Elastic Network Adapter (ENA) is required for the '%s' instance type. "+
			"Ensure that you are using an AMI that is enabled for ENA.", t.Name)
	case image.BootMode == "uefi" && !slices.Contains(t.BootModes, "uefi"):
		return awserr.New("InvalidParameterValue", "The %s instance type does not support an AMI with a boot mode of UEFI. "+
			"Only instance types built on the Nitro System support UEFI. Specify an instance type that supports UEFI, and try again.", t.Name)
	case image.BootMode == "legacy-bios" && !slices.Contains(t.BootModes, "legacy-bios"):
		return awserr.New("InvalidParameterValue", "The %s instance type does not support an AMI with a boot mode of Legacy BIOS.", t.Name)
	}
	return nil
}

// orElse is what p points to, or what holds otherwise.
func orElse[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func (w *World) resolveGroups(req LaunchRequest, p *plan) error {
	for _, id := range req.Groups {
		g, err := w.findGroup(id, "")
		if err != nil {
			return err
		}
		p.groups = append(p.groups, g.ID)
	}
	for _, name := range req.GroupNames {
		g, err := w.findGroup("", name)
		if err != nil {
			return err
		}
		p.groups = append(p.groups, g.ID)
	}
	if len(p.groups) > groupsPerInterface {
		return awserr.New("SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface has been reached.")
	}
	if len(p.groups) == 0 {
		g, err := w.findGroup("", defaultGroup)
		if err != nil {
			return err
		}
		p.groups = []string{g.ID}
	}
	return nil
}

func (w *World) resolveCredits(req LaunchRequest, p *plan) error {
	if !p.instanceType.Burstable {
		if req.CPUCredits != "" {
			return awserr.New("InvalidParameterCombination", "The parameter CreditSpecification is not supported for instance type %s", p.instanceType.Name)
		}
		return nil
	}
	// T3 and later are unlimited unless told otherwise.
	p.cpuCredits = req.CPUCredits
	if p.cpuCredits == "" {
		p.cpuCredits = "unlimited"
		if p.instanceType.Family() == "t2" {
			p.cpuCredits = "standard"
		}
	}
	return nil
}

// resolvePlace picks the subnet: the one asked for, or the first default
// subnet (of the zone asked for) that can take the launch.
func (w *World) resolvePlace(req LaunchRequest, p *plan) error {
	candidates := w.Catalog.Subnets
	if req.Zone != "" {
		if _, ok := w.Catalog.Zone(req.Zone); !ok {
			return awserr.New("InvalidParameterValue", "Invalid availability zone: [%s]", req.Zone)
		}
		candidates = slices.DeleteFunc(slices.Clone(candidates), func(s catalog.Subnet) bool { return s.Zone.Name != req.Zone })
	}
	if req.SubnetID != "" {
		subnet, ok := w.Catalog.Subnet(req.SubnetID)
		if !ok {
			return awserr.New("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", req.SubnetID)
		}
		if req.Zone != "" && req.Zone != subnet.Zone.Name {
			return awserr.New("InvalidParameterValue", "The availability zone '%s' does not match the zone '%s' of subnet '%s'", req.Zone, subnet.Zone.Name, subnet.ID)
		}
		candidates = []catalog.Subnet{subnet}
	}
	var err error
	for _, p.subnet = range candidates {
		if err = w.checkPlace(req, *p); err == nil {
			return nil
		}
	}
	return err
}

func (w *World) checkPlace(req LaunchRequest, p plan) error {
	t, zone := p.instanceType, p.subnet.Zone.Name
	if !w.Catalog.Offered(t, zone) {
		return awserr.New("Unsupported", "Your requested instance type (%s) is not supported in your requested Availability Zone (%s). "+
			"Please retry your request by not specifying an Availability Zone or choosing %s.", t.Name, zone, w.offeringsElsewhere(t, zone))
	}
	if err := w.checkPrice(req, t, zone); err != nil {
		return err
	}
	if w.Capacity.Dry(t.Name, zone, req.Market) {
		if req.Market == Spot {
			return awserr.New("InsufficientInstanceCapacity", "There is no Spot capacity available that matches your request.")
		}
		return awserr.New("InsufficientInstanceCapacity", "We currently do not have sufficient %s capacity in the Availability Zone you requested (%s). "+
			"Our system will be working on provisioning additional capacity. You can currently get %s capacity by not specifying an Availability Zone in your request or choosing %s.",
			t.Name, zone, t.Name, w.offeringsElsewhere(t, zone))
	}
	if free := w.freeLocked(p.subnet); free < req.Min*(1+req.SecondaryIPs) {
		return awserr.New("InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", p.subnet.ID)
	}
	return nil
}

// checkPrice refuses Spot launches of what is not sold so, or for more than
// the request allows.
func (w *World) checkPrice(req LaunchRequest, t catalog.InstanceType, zone string) error {
	if req.Market != Spot {
		return nil
	}
	price, sold := w.Market.Now(t.Name, zone)
	if !sold {
		return awserr.New("InvalidParameterValue", "The instance type %s is not supported for Spot Instances in %s.", t.Name, zone)
	}
	if req.MaxPrice == "" {
		return nil
	}
	most, err := strconv.ParseFloat(req.MaxPrice, 64)
	if err != nil || most <= 0 {
		return awserr.New("InvalidParameterValue", "Value (%s) for parameter price is invalid. %q is an invalid spot instance price", req.MaxPrice, req.MaxPrice)
	}
	if most < price {
		return awserr.New("SpotMaxPriceTooLow", "Your Spot request price of %s is lower than the minimum required Spot request fulfillment price of %s.",
			req.MaxPrice, strconv.FormatFloat(price, 'f', -1, 64))
	}
	return nil
}

// resolveCount is the most that quota and addresses allow, up to Max.
func (w *World) resolveCount(req LaunchRequest, p *plan) error {
	p.count = min(req.Max, w.freeLocked(p.subnet)/(1+req.SecondaryIPs))
	limit, ok := w.vcpusLeft(req.Market, p.instanceType)
	if !ok {
		return nil
	}
	p.count = min(p.count, limit.left/p.instanceType.VCPUs)
	if p.count >= req.Min {
		return nil
	}
	if req.Market == Spot {
		return awserr.New("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
	}
	return awserr.New("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %d allows for the instance bucket that "+
		"the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.", limit.of)
}

// quota is a limit of vCPUs, and what is left of it.
type quota struct{ of, left int }

// vcpusLeft is the tightest of the quotas for a type in a market. The caller
// holds w.mu.
func (w *World) vcpusLeft(market string, t catalog.InstanceType) (tightest quota, ok bool) {
	add := func(limit int, limited bool, group string) {
		if !limited {
			return
		}
		if left := max(0, limit-w.quotaUsed(market, group)); !ok || left < tightest.left {
			tightest, ok = quota{limit, left}, true
		}
	}
	limit, limited := w.Capacity.VCPULimit(market)
	add(limit, limited, "")
	limit, limited = w.Capacity.GroupLimit(t.QuotaGroup(), market)
	add(limit, limited, t.QuotaGroup())
	return tightest, ok
}

func (w *World) freeLocked(s catalog.Subnet) int {
	if w.Capacity.Full(s.ID) {
		return 0
	}
	free := s.Usable()
	for a := range w.used {
		if s.CIDR.Contains(a) {
			free--
		}
	}
	return free
}

// takeAddresses gives n free addresses of a subnet to an instance. The search
// goes on behind the address given last, so that a released one rests as long
// as possible. The caller holds w.mu and knows that there are n.
func (w *World) takeAddresses(s catalog.Subnet, n int, id string) []netip.Addr {
	var out []netip.Addr
	for range s.Usable() {
		if len(out) == n {
			break
		}
		a := s.Address(w.cursor[s.ID] % s.Usable())
		w.cursor[s.ID]++
		if _, taken := w.used[a]; !taken {
			w.used[a] = id
			out = append(out, a)
		}
	}
	return out
}

// publicRange is TEST-NET-3: nothing answers there, which is what a cell's
// public address is good for on one machine.
var publicRange = netip.MustParsePrefix("203.0.113.0/24")

// takePublic gives out a public address, or none when all are taken.
func (w *World) takePublic(id string) netip.Addr {
	for a := publicRange.Addr().Next(); publicRange.Contains(a.Next()); a = a.Next() {
		if _, taken := w.used[a]; !taken {
			w.used[a] = id
			return a
		}
	}
	return netip.Addr{}
}

func (w *World) releaseAddresses(i *Instance) {
	for _, a := range append(slices.Clone(i.PrivateIPs), i.PublicIP) {
		if w.used[a] == i.ID {
			delete(w.used, a)
		}
	}
}
