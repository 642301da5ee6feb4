package ec2

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/market"
	"kip.elotl.co/hack/localaws/query"
)

type spotPricesResponse struct {
	header
	Prices    []spotPriceXML `xml:"spotPriceHistorySet>item"`
	NextToken string         `xml:"nextToken,omitempty"`
}

type spotPriceXML struct {
	Type      string `xml:"instanceType"`
	Product   string `xml:"productDescription"`
	Price     string `xml:"spotPrice"`
	Timestamp string `xml:"timestamp"`
	Zone      string `xml:"availabilityZone"`
	ZoneID    string `xml:"availabilityZoneId"`

	key string
}

// The operating systems there are prices for. Windows costs more by the vCPU.
const (
	linux          = "Linux/UNIX"
	windows        = "Windows"
	windowsPerVCPU = 0.046 // USD per hour
	inVPC          = " (Amazon VPC)"
)

func (s *Server) describeSpotPriceHistory(_ context.Context, c *Call) (response, error) {
	types, products, zone := c.Params.Strings("InstanceType"), c.Params.Strings("ProductDescription"), c.Params.String("AvailabilityZone")
	from, to, err := readSpan(c.Params)
	if err != nil {
		return nil, err
	}
	pages, err := readPaging(c.Params, 1, 1000, 1000)
	if err != nil {
		return nil, err
	}
	test, err := selects(readFilters(c.Params), spotPriceFields(), nil)
	if err != nil {
		return nil, err
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	if _, ok := s.World.Catalog.Zone(zone); zone != "" && !ok {
		return nil, awserr.New("InvalidParameterValue", "Invalid availability zone: [%s]", zone)
	}
	if err := s.checkTypes(types); err != nil {
		return nil, err
	}
	for i, p := range products {
		products[i] = strings.TrimSuffix(p, inVPC)
	}
	among := func(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }
	found, next := page(keep(s.spotPrices(from, to), func(p spotPriceXML) bool {
		return among(types, p.Type) && among(products, p.Product) && (zone == "" || zone == p.Zone) && test(p)
	}), pages, func(p spotPriceXML) string { return p.key })
	return &spotPricesResponse{Prices: found, NextToken: next}, nil
}

// readSpan reads a span of time, either end of which may be open: zero.
func readSpan(p query.Params) (from, to time.Time, err error) {
	if from, err = readTime(p, "StartTime"); err != nil {
		return from, to, err
	}
	if to, err = readTime(p, "EndTime"); err != nil {
		return from, to, err
	}
	if !to.IsZero() && to.Before(from) {
		return from, to, awserr.New("InvalidParameterValue", "The startTime must be before the endTime")
	}
	return from, to, nil
}

func (s *Server) checkTypes(names []string) error {
	unknown := keep(names, func(n string) bool { _, ok := s.World.Catalog.Type(n); return !ok })
	if len(unknown) > 0 {
		return awserr.New("InvalidParameterValue", "Invalid value '%s' for InstanceType.", unknown[0])
	}
	return nil
}

func spotPriceFields() fields[spotPriceXML] {
	return fields[spotPriceXML]{
		"instance-type":        one(func(p spotPriceXML) string { return p.Type }),
		"availability-zone":    one(func(p spotPriceXML) string { return p.Zone }),
		"availability-zone-id": one(func(p spotPriceXML) string { return p.ZoneID }),
		"product-description":  func(p spotPriceXML) []string { return []string{p.Product, p.Product + inVPC} },
		"spot-price":           one(func(p spotPriceXML) string { return p.Price }),
		"timestamp":            one(func(p spotPriceXML) string { return p.Timestamp }),
	}
}

// spotPrices are the prices of a span of time in the order of their keys: by
// type, zone and product, the newest first.
func (s *Server) spotPrices(from, to time.Time) []spotPriceXML {
	var out []spotPriceXML
	for _, p := range s.World.Market.History(from, to) {
		zone, _ := s.World.Catalog.Zone(p.Zone)
		t, _ := s.World.Catalog.Type(p.InstanceType)
		add := func(product string, perHour float64) {
			out = append(out, spotPriceXML{
				Type: p.InstanceType, Product: product, Price: strconv.FormatFloat(perHour, 'f', 6, 64), Timestamp: timestamp(p.Since),
				Zone: p.Zone, ZoneID: zone.ID, key: spotPriceKey(p, product),
			})
		}
		add(linux, p.PerHour)
		if slices.Contains(t.BootModes, "legacy-bios") {
			add(windows, p.PerHour+windowsPerVCPU*float64(t.VCPUs))
		}
	}
	slices.SortFunc(out, func(a, b spotPriceXML) int { return strings.Compare(a.key, b.key) })
	return out
}

// spotPriceKey orders newer prices before older ones.
func spotPriceKey(p market.Price, product string) string {
	const beyond = int64(1) << 62
	return strings.Join([]string{p.InstanceType, p.Zone, product, strconv.FormatInt(beyond-p.Since.UnixNano(), 10)}, " ")
}

// readTime reads a time of RFC 3339; zero when absent.
func readTime(p query.Params, name string) (time.Time, error) {
	s, given := p.Lookup(name)
	if !given {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, awserr.New("InvalidParameterValue", "Invalid value '%s' for %s. It is not a time such as 2026-11-20T12:00:00Z.", s, name)
	}
	return t, nil
}
