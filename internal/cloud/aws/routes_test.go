package aws

import (
	"net/netip"
	"slices"
	"testing"

	"kip.elotl.co/internal/cloud"
)

const mainTable, ownTable = "rtb-0000000c0ffee0030", "rtb-0000000c0ffee0031"

func TestRouteTables(t *testing.T) {
	e := newEmulator(t)
	e.pageSize = 5 // the least that EC2 allows
	subnets := e.world.Catalog.Subnets
	for name, test := range map[string]struct {
		subnets []string
		want    []string
	}{
		"the main one":                  {[]string{subnets[0].ID}, []string{mainTable}},
		"one of its own":                {[]string{subnets[1].ID}, []string{ownTable}},
		"both, each once":               {[]string{subnets[0].ID, subnets[1].ID, subnets[0].ID}, []string{mainTable, ownTable}},
		"of no subnets":                 {nil, nil},
		"unknown subnets have the main": {[]string{"subnet-9"}, []string{mainTable}},
	} {
		tables, err := e.RouteTables(t.Context(), e.world.Catalog.VPC.ID, test.subnets)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, table := range tables {
			got = append(got, table.ID)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if tables, err := e.RouteTables(t.Context(), "vpc-*", []string{"x"}); len(tables) > 0 {
		t.Errorf("of a pattern: %v, %v", tables, err)
	}
}

func TestRoutes(t *testing.T) {
	e := newEmulator(t)
	mine, other := e.launch(t, "mine").ID, e.launch(t, "other").ID
	for _, text := range []string{"10.200.0.0/16", "fd00:1::/64"} {
		cidr := netip.MustParsePrefix(text)
		for range 2 { // the second time it is there already
			if err := e.CreateRoute(t.Context(), mainTable, cidr, mine); err != nil {
				t.Fatalf("%s: %v", cidr, err)
			}
		}
		wantKind(t, e.CreateRoute(t.Context(), mainTable, cidr, other), cloud.KindConflict, mainTable, text, mine)
		if err := e.DeleteRoute(t.Context(), mainTable, cidr, other); err != nil {
			t.Errorf("%s: %v", cidr, err)
		}
		if len(e.world.Routes(mainTable)) != 1 {
			t.Errorf("%s: another's route was deleted", cidr)
		}
		for range 2 {
			if err := e.DeleteRoute(t.Context(), mainTable, cidr, mine); err != nil {
				t.Errorf("%s: %v", cidr, err)
			}
		}
		if routes := e.world.Routes(mainTable); len(routes) != 0 {
			t.Errorf("%s: there still are %v", cidr, routes)
		}
	}
	local := e.world.Catalog.VPC.CIDR
	wantKind(t, e.CreateRoute(t.Context(), mainTable, local, mine), cloud.KindConflict, "local")
	if err := e.DeleteRoute(t.Context(), mainTable, local, mine); err != nil {
		t.Error(err)
	}
	wantKind(t, e.CreateRoute(t.Context(), "rtb-0123456789abcdef0", netip.MustParsePrefix("10.200.0.0/16"), mine), cloud.KindNotFound)
	wantKind(t, e.CreateRoute(t.Context(), mainTable, netip.MustParsePrefix("10.200.0.0/16"), "i-0123456789abcdef0"), cloud.KindNotFound)
	if err := e.DeleteRoute(t.Context(), "rtb-0123456789abcdef0", netip.MustParsePrefix("10.200.0.0/16"), mine); err != nil {
		t.Errorf("of a table that is gone: %v", err)
	}
}

// A route outlives its instance in the table, and can be deleted then.
func TestRouteOfAnInstanceThatIsGone(t *testing.T) {
	e := newEmulator(t)
	id, cidr := e.launch(t, "token").ID, netip.MustParsePrefix("10.200.0.0/16")
	if err := e.CreateRoute(t.Context(), mainTable, cidr, id); err != nil {
		t.Fatal(err)
	}
	if err := e.Terminate(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	e.waitFor(t, id, cloud.StateTerminated)
	if err := e.DeleteRoute(t.Context(), mainTable, cidr, id); err != nil || len(e.world.Routes(mainTable)) > 0 {
		t.Errorf("%v; there are %v", err, e.world.Routes(mainTable))
	}
}

// What only looks like one of ours, because its instance is stopped, stays.
func TestBlackHoleOfAnother(t *testing.T) {
	c, calls := answering(t, map[string]string{
		"DescribeRouteTables": `<DescribeRouteTablesResponse><routeTableSet><item><routeTableId>rtb-1</routeTableId><routeSet><item>
			<destinationCidrBlock>10.200.0.0/16</destinationCidrBlock><networkInterfaceId>eni-1</networkInterfaceId><state>blackhole</state>
			</item></routeSet></item></routeTableSet></DescribeRouteTablesResponse>`,
		"DescribeNetworkInterfaces": `<DescribeNetworkInterfacesResponse><networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId></item></networkInterfaceSet></DescribeNetworkInterfacesResponse>`,
	})
	if err := c.DeleteRoute(t.Context(), "rtb-1", netip.MustParsePrefix("10.200.0.0/16"), "i-1"); err != nil || calls.Load() != 2 {
		t.Errorf("%v, after %d calls", err, calls.Load())
	}
}

func TestAllowForwarding(t *testing.T) {
	e := newEmulator(t)
	id := e.launch(t, "token").ID
	if made, _ := e.world.Instance(id); !made.SourceDestCheckOn {
		t.Error("the check is off from the start")
	}
	for range 2 {
		if err := e.AllowForwarding(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if made, _ := e.world.Instance(id); made.SourceDestCheckOn {
		t.Error("the check is still on")
	}
	wantKind(t, e.AllowForwarding(t.Context(), "i-0123456789abcdef0"), cloud.KindNotFound)
	wantKind(t, e.AllowForwarding(t.Context(), "web"), cloud.KindInvalid)
}
