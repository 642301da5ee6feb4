package catalog

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestSubnetsLieInTheNetwork(t *testing.T) {
	for _, network := range []string{"100.64.77.0/24", "127.77.0.0/16", "10.1.2.64/26"} {
		t.Run(network, func(t *testing.T) {
			whole := netip.MustParsePrefix(network)
			c, err := New("eu-central-1", whole)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[netip.Addr]string{}
			for _, s := range c.Subnets {
				if !strings.HasPrefix(s.Zone.ID, "euc1-az") || !strings.HasPrefix(s.Zone.Name, "eu-central-1") {
					t.Errorf("zone %+v", s.Zone)
				}
				for i := range s.Usable() {
					a := s.Address(i)
					if !whole.Contains(a) || !s.CIDR.Contains(a) {
						t.Fatalf("%s of subnet %s lies outside", a, s.CIDR)
					}
					if other, ok := seen[a]; ok {
						t.Fatalf("%s is in %s and %s", a, other, s.ID)
					}
					seen[a] = s.ID
				}
				if _, given := seen[whole.Addr().Next()]; given {
					t.Errorf("the machine's own address %s is given to instances", whole.Addr().Next())
				}
			}
		})
	}
}

func TestNewRefusesNetworks(t *testing.T) {
	for _, network := range []string{"10.0.0.0/8", "10.0.0.0/27", "10.0.0.1/24", "fd00::/24"} {
		if _, err := New("us-east-1", netip.MustParsePrefix(network)); err == nil {
			t.Errorf("%s accepted", network)
		}
	}
}

func TestTypes(t *testing.T) {
	c, err := New("us-east-1", netip.MustParsePrefix("10.0.0.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, it := range c.Types {
		if names[it.Name] {
			t.Errorf("%s occurs twice", it.Name)
		}
		names[it.Name] = true
		if it.VCPUs < 1 || it.MemoryMiB < 512 || it.Interfaces < 2 || it.AddressesPerInterface < 2 {
			t.Errorf("%+v has no sense", it)
		}
		if !slices.ContainsFunc(c.Zones, func(z Zone) bool { return c.Offered(it, z.Name) }) {
			t.Errorf("%s is offered nowhere", it.Name)
		}
	}
	// Figures of the EC2 pages of these types.
	for name, want := range map[string]InstanceType{
		"t3.nano":      {VCPUs: 2, MemoryMiB: 512, Interfaces: 2, AddressesPerInterface: 2},
		"m7g.medium":   {VCPUs: 1, MemoryMiB: 4096, Interfaces: 2, AddressesPerInterface: 4},
		"c5.18xlarge":  {VCPUs: 72, MemoryMiB: 147456, Interfaces: 15, AddressesPerInterface: 50},
		"g4dn.xlarge":  {VCPUs: 4, MemoryMiB: 16384, Interfaces: 3, AddressesPerInterface: 10},
		"r6i.16xlarge": {VCPUs: 64, MemoryMiB: 524288, Interfaces: 15, AddressesPerInterface: 50},
	} {
		got, ok := c.Type(name)
		if !ok || got.VCPUs != want.VCPUs || got.MemoryMiB != want.MemoryMiB ||
			got.Interfaces != want.Interfaces || got.AddressesPerInterface != want.AddressesPerInterface {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	disks, _ := c.Type("m5d.16xlarge")
	if want := []Disk{{Count: 4, SizeGB: 600}}; !slices.Equal(disks.Disks, want) {
		t.Errorf("disks of m5d.16xlarge %v, want %v", disks.Disks, want)
	}
	inf, _ := c.Type("inf2.xlarge")
	if c.Offered(inf, "us-east-1c") || !c.Offered(inf, "us-east-1a") || c.Offered(inf, "us-east-1z") {
		t.Error("inf2 is to be offered in the first two zones only")
	}
}

func TestNewestImageIsNotTheFirst(t *testing.T) {
	var newest Image
	list := images()
	for _, i := range list {
		if i.Owner == Account && i.Architecture == X86 && i.State == "available" && i.CreationDate.After(newest.CreationDate) {
			newest = i
		}
	}
	if newest.ID == list[0].ID || newest.ID == list[len(list)-1].ID || newest.ID != "ami-0c0ffee0000000002" {
		t.Errorf("newest is %s", newest.ID)
	}
}
