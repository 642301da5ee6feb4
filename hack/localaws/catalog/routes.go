package catalog

import (
	"net/netip"
)

// RouteTable is a route table of the VPC: the main one, for all subnets that
// have none of their own, or that of some subnets.
type RouteTable struct {
	ID, VPC string
	Main    bool
	// Associations are by subnet id; the main table's own has an empty one.
	Associations map[string]string
}

// FixedRoute is an entry that every table has.
type FixedRoute struct {
	CIDR    netip.Prefix
	Gateway string // local, or the id of an internet gateway
	Origin  string // CreateRouteTable or CreateRoute
}

const internetGateway = "igw-0000000c0ffee0040"

// routeTables gives the second subnet a table of its own.
func routeTables(c *Catalog) []RouteTable {
	return []RouteTable{
		{ID: "rtb-0000000c0ffee0030", VPC: c.VPC.ID, Main: true, Associations: map[string]string{"": "rtbassoc-0000000c0ffee030"}},
		{ID: "rtb-0000000c0ffee0031", VPC: c.VPC.ID, Associations: map[string]string{c.Subnets[1].ID: "rtbassoc-0000000c0ffee031"}},
	}
}

// RouteTable finds a route table by id.
func (c *Catalog) RouteTable(id string) (RouteTable, bool) {
	return find(c.RouteTables, func(t RouteTable) bool { return t.ID == id })
}

// FixedRoutes are what a table holds from the start: the VPC itself first.
func (c *Catalog) FixedRoutes(RouteTable) []FixedRoute {
	return []FixedRoute{
		{CIDR: c.VPC.CIDR, Gateway: "local", Origin: "CreateRouteTable"},
		{CIDR: netip.MustParsePrefix("0.0.0.0/0"), Gateway: internetGateway, Origin: "CreateRoute"},
	}
}
