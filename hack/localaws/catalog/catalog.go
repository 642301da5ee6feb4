// Package catalog holds what the emulated region offers and never changes
// while the emulator runs: zones, network, images and instance types.
package catalog

import (
	"fmt"
	"net/netip"
	"slices"
)

// Account ids: the account that calls, and the owners of the public images.
const (
	Account       = "123456789012"
	AmazonAccount = "137112412989"
	DebianAccount = "136693071363"
	UbuntuAccount = "099720109477"
)

// Catalog is one region. All its slices are sorted by id or name and must not
// be changed.
type Catalog struct {
	Region  string
	Account string
	VPC     VPC
	Zones   []Zone
	Subnets []Subnet
	Groups  []SecurityGroup
	Images  []Image
	Types   []InstanceType

	RouteTables []RouteTable
	// Profiles are the names of the account's instance profiles.
	Profiles []string
}

// Zone is an availability zone.
type Zone struct {
	Name string // us-east-1a
	ID   string // use1-az1
}

// VPC is the account's default VPC.
type VPC struct {
	ID   string
	CIDR netip.Prefix
}

// Subnet is the default subnet of one zone.
type Subnet struct {
	ID   string
	VPC  string
	Zone Zone
	CIDR netip.Prefix
	// MapPublicIP says that instances get a public address unless the launch
	// says otherwise.
	MapPublicIP bool
}

// SecurityGroup is a group of the VPC.
type SecurityGroup struct {
	ID, Name, Description, VPC string
}

// New makes the catalog of a region whose VPC has the given range: three zones
// with a subnet each, in the first three quarters of the range. The range must
// be IPv4, between /16 (the largest VPC) and /26 (so that a subnet has at least
// the 16 addresses EC2 asks for).
func New(region string, network netip.Prefix) (*Catalog, error) {
	if !network.Addr().Is4() || network.Bits() < 16 || network.Bits() > 26 || network != network.Masked() {
		return nil, fmt.Errorf("network %s: want an IPv4 range from /16 to /26 without host bits", network)
	}
	c := &Catalog{
		Region:  region,
		Account: Account,
		VPC:     VPC{ID: fmt.Sprintf("vpc-%017x", 0xc0ffee0001), CIDR: network},
		Types:   instanceTypes(),
		Images:  images(),
	}
	for i := range 3 {
		letter := string(rune('a' + i))
		zone := Zone{Name: region + letter, ID: fmt.Sprintf("%s-az%d", shortRegion(region), i+1)}
		c.Zones = append(c.Zones, zone)
		c.Subnets = append(c.Subnets, Subnet{
			ID:   fmt.Sprintf("subnet-%017x", 0xc0ffee0010+i),
			VPC:  c.VPC.ID,
			Zone: zone,
			CIDR: quarter(network, i),
			// One is public, so that whoever does not say can get either.
			MapPublicIP: i == 2,
		})
	}
	c.RouteTables = routeTables(c)
	c.Profiles = []string{"cell", "kip-cell", "kip-profile", "web"}
	c.Groups = []SecurityGroup{
		{ID: fmt.Sprintf("sg-%017x", 0xc0ffee0020), Name: "default", Description: "default VPC security group", VPC: c.VPC.ID},
		{ID: fmt.Sprintf("sg-%017x", 0xc0ffee0021), Name: "kip-extra", Description: "a second group, for cells that ask for one", VPC: c.VPC.ID},
	}
	return c, nil
}

// quarter is the i-th of the four equal parts of p.
func quarter(p netip.Prefix, i int) netip.Prefix {
	bits := p.Bits() + 2
	return netip.PrefixFrom(addToAddr(p.Addr(), uint32(i)<<(32-bits)), bits)
}

func addToAddr(a netip.Addr, n uint32) netip.Addr {
	b := a.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += n
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// shortRegion turns us-east-1 into use1, as zone ids spell it.
func shortRegion(region string) string {
	short := ""
	for i, r := range region {
		if i == 0 || i == 1 || region[i-1] == '-' {
			short += string(r)
		}
	}
	return short
}

// Size is the number of addresses in the subnet, the reserved ones included.
func (s Subnet) Size() int { return 1 << (32 - s.CIDR.Bits()) }

// Usable is the number of addresses interfaces can have: EC2 keeps the first
// four of a subnet and its last.
func (s Subnet) Usable() int { return s.Size() - 5 }

// Address is the i-th usable address, 0 ≤ i < Usable().
func (s Subnet) Address(i int) netip.Addr { return addToAddr(s.CIDR.Addr(), uint32(i)+4) }

// Subnet finds a subnet by id.
func (c *Catalog) Subnet(id string) (Subnet, bool) {
	return find(c.Subnets, func(s Subnet) bool { return s.ID == id })
}

// Image finds an image by id.
func (c *Catalog) Image(id string) (Image, bool) {
	return find(c.Images, func(i Image) bool { return i.ID == id })
}

// Type finds an instance type by name.
func (c *Catalog) Type(name string) (InstanceType, bool) {
	return find(c.Types, func(t InstanceType) bool { return t.Name == name })
}

// Zone finds a zone by name.
func (c *Catalog) Zone(name string) (Zone, bool) {
	return find(c.Zones, func(z Zone) bool { return z.Name == name })
}

// Group finds a security group by id.
func (c *Catalog) Group(id string) (SecurityGroup, bool) {
	return find(c.Groups, func(g SecurityGroup) bool { return g.ID == id })
}

// Offered says whether a zone offers a type.
func (c *Catalog) Offered(t InstanceType, zone string) bool {
	for i, z := range c.Zones {
		if z.Name == zone {
			return !slices.Contains(t.notInZones, i)
		}
	}
	return false
}

func find[T any](list []T, match func(T) bool) (T, bool) {
	if i := slices.IndexFunc(list, match); i >= 0 {
		return list[i], true
	}
	var none T
	return none, false
}
