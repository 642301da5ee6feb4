package ec2

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/world"
)

type describeSubnetsResponse struct {
	header
	Subnets   []subnetXML `xml:"subnetSet>item"`
	NextToken string      `xml:"nextToken,omitempty"`
}

type subnetXML struct {
	ID          string   `xml:"subnetId"`
	ARN         string   `xml:"subnetArn"`
	State       string   `xml:"state"`
	OwnerID     string   `xml:"ownerId"`
	VPCID       string   `xml:"vpcId"`
	CIDR        string   `xml:"cidrBlock"`
	Free        int      `xml:"availableIpAddressCount"`
	Zone        string   `xml:"availabilityZone"`
	ZoneID      string   `xml:"availabilityZoneId"`
	Default     bool     `xml:"defaultForAz"`
	MapPublicIP bool     `xml:"mapPublicIpOnLaunch"`
	Tags        []tagXML `xml:"tagSet>item"`
}

// listing is what the calls that list the catalog's things have in common.
type listing[T any] struct {
	ids    string // name of the list of ids among the parameters
	id     func(T) string
	fields fields[T]
	tags   func(T) map[string]string
	// missing is the error for an id that nothing has.
	missing func(ids []string) error
	least   int // smallest MaxResults
	most    int // largest MaxResults; 0 for 1000
	// idsOrMax calls refuse ids together with MaxResults.
	idsOrMax bool
}

// list reads the parameters of such a call and picks from items.
func list[T any](c *Call, items []T, l listing[T]) ([]T, string, error) {
	ids := c.Params.Strings(l.ids)
	pages, err := readPaging(c.Params, l.least, cmp.Or(l.most, 1000), 0)
	if err != nil {
		return nil, "", err
	}
	if l.idsOrMax && len(ids) > 0 && pages.size > 0 {
		return nil, "", awserr.New("InvalidParameterCombination", "The parameter %s cannot be used with the parameter MaxResults", l.ids)
	}
	test, err := selects(readFilters(c.Params), l.fields, l.tags)
	if err != nil {
		return nil, "", err
	}
	if err := c.finish(); err != nil {
		return nil, "", err
	}
	unknown := keep(ids, func(id string) bool { return !slices.ContainsFunc(items, func(t T) bool { return l.id(t) == id }) })
	if len(unknown) > 0 {
		return nil, "", l.missing(unknown)
	}
	found := keep(items, func(t T) bool { return (len(ids) == 0 || slices.Contains(ids, l.id(t))) && test(t) })
	slices.SortFunc(found, func(a, b T) int { return strings.Compare(l.id(a), l.id(b)) })
	out, next := page(found, pages, l.id)
	return out, next, nil
}

func (s *Server) describeSubnets(_ context.Context, c *Call) (response, error) {
	type subnet = catalog.Subnet
	found, next, err := list(c, s.World.Catalog.Subnets, listing[subnet]{
		ids: "SubnetId", least: 5,
		id:      func(n subnet) string { return n.ID },
		tags:    func(n subnet) map[string]string { return s.World.TagsOf(n.ID) },
		missing: func(ids []string) error { return world.NotFound("InvalidSubnetID", "subnet", ids) },
		fields: fields[subnet]{
			"subnet-id":                  one(func(n subnet) string { return n.ID }),
			"vpc-id":                     one(func(n subnet) string { return n.VPC }),
			"availability-zone":          one(func(n subnet) string { return n.Zone.Name }),
			"availability-zone-id":       one(func(n subnet) string { return n.Zone.ID }),
			"cidr-block":                 one(func(n subnet) string { return n.CIDR.String() }),
			"available-ip-address-count": one(func(n subnet) string { return itoa(s.World.Free(n)) }),
			"state":                      always[subnet]("available"),
			"default-for-az":             always[subnet]("true"),
			"map-public-ip-on-launch":    one(func(n subnet) string { return btoa(n.MapPublicIP) }),
			"owner-id":                   always[subnet](s.World.Catalog.Account),
		},
	})
	if err != nil {
		return nil, err
	}
	out := &describeSubnetsResponse{NextToken: next}
	for _, n := range found {
		out.Subnets = append(out.Subnets, subnetXML{
			ID: n.ID, ARN: s.arn("subnet/" + n.ID), State: "available", OwnerID: s.World.Catalog.Account, VPCID: n.VPC, CIDR: n.CIDR.String(),
			Free: s.World.Free(n), Zone: n.Zone.Name, ZoneID: n.Zone.ID, Default: true, MapPublicIP: n.MapPublicIP, Tags: tagSet(s.World.TagsOf(n.ID)),
		})
	}
	return out, nil
}

func (s *Server) arn(resource string) string {
	return "arn:aws:ec2:" + s.World.Catalog.Region + ":" + s.World.Catalog.Account + ":" + resource
}

type describeVpcsResponse struct {
	header
	VPCs      []vpcXML `xml:"vpcSet>item"`
	NextToken string   `xml:"nextToken,omitempty"`
}

type vpcXML struct {
	ID      string   `xml:"vpcId"`
	OwnerID string   `xml:"ownerId"`
	State   string   `xml:"state"`
	CIDR    string   `xml:"cidrBlock"`
	Blocks  []cidr   `xml:"cidrBlockAssociationSet>item"`
	Tenancy string   `xml:"instanceTenancy"`
	Default bool     `xml:"isDefault"`
	Tags    []tagXML `xml:"tagSet>item"`
}

type cidr struct {
	Block string `xml:"cidrBlock"`
	State string `xml:"cidrBlockState>state"`
}

func (s *Server) describeVpcs(_ context.Context, c *Call) (response, error) {
	type vpc = catalog.VPC
	found, next, err := list(c, []vpc{s.World.Catalog.VPC}, listing[vpc]{
		ids: "VpcId", least: 5,
		id:      func(v vpc) string { return v.ID },
		tags:    func(v vpc) map[string]string { return s.World.TagsOf(v.ID) },
		missing: func(ids []string) error { return world.NotFound("InvalidVpcID", "vpc", ids) },
		fields: fields[vpc]{
			"vpc-id":                            one(func(v vpc) string { return v.ID }),
			"cidr":                              one(func(v vpc) string { return v.CIDR.String() }),
			"cidr-block-association.cidr-block": one(func(v vpc) string { return v.CIDR.String() }),
			"is-default":                        always[vpc]("true"),
			"state":                             always[vpc]("available"),
			"owner-id":                          always[vpc](s.World.Catalog.Account),
		},
	})
	if err != nil {
		return nil, err
	}
	out := &describeVpcsResponse{NextToken: next}
	for _, v := range found {
		out.VPCs = append(out.VPCs, vpcXML{
			ID: v.ID, OwnerID: s.World.Catalog.Account, State: "available", CIDR: v.CIDR.String(), Blocks: []cidr{{v.CIDR.String(), "associated"}},
			Tenancy: "default", Default: true, Tags: tagSet(s.World.TagsOf(v.ID)),
		})
	}
	return out, nil
}

type describeZonesResponse struct {
	header
	Zones []zoneXML `xml:"availabilityZoneInfo>item"`
}

type zoneXML struct {
	Name        string `xml:"zoneName"`
	ID          string `xml:"zoneId"`
	State       string `xml:"zoneState"`
	Region      string `xml:"regionName"`
	Type        string `xml:"zoneType"`
	OptIn       string `xml:"optInStatus"`
	Group       string `xml:"groupName"`
	BorderGroup string `xml:"networkBorderGroup"`
}

func (s *Server) describeAvailabilityZones(_ context.Context, c *Call) (response, error) {
	type zone = catalog.Zone
	region := s.World.Catalog.Region
	ids := c.Params.Strings("ZoneId")
	c.Params.Bool("AllAvailabilityZones")
	items := keep(s.World.Catalog.Zones, func(z zone) bool { return len(ids) == 0 || slices.Contains(ids, z.ID) })
	if len(items) < len(ids) {
		return nil, awserr.New("InvalidParameterValue", "Invalid availability zone-id: [%s]", ids[0])
	}
	found, _, err := list(c, items, listing[zone]{
		ids: "ZoneName", least: 1,
		id: func(z zone) string { return z.Name },
		missing: func(ids []string) error {
			return awserr.New("InvalidParameterValue", "Invalid availability zone: [%s]", ids[0])
		},
		fields: fields[zone]{
			"zone-name":     one(func(z zone) string { return z.Name }),
			"zone-id":       one(func(z zone) string { return z.ID }),
			"region-name":   always[zone](region),
			"state":         always[zone]("available"),
			"zone-type":     always[zone]("availability-zone"),
			"opt-in-status": always[zone]("opt-in-not-required"),
			"group-name":    always[zone](region + "-zg-1"),
		},
	})
	if err != nil {
		return nil, err
	}
	out := &describeZonesResponse{}
	for _, z := range found {
		out.Zones = append(out.Zones, zoneXML{
			Name: z.Name, ID: z.ID, State: "available", Region: region, Type: "availability-zone", OptIn: "opt-in-not-required",
			Group: region + "-zg-1", BorderGroup: region,
		})
	}
	return out, nil
}
