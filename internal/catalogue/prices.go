package catalogue

import (
	"slices"

	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

// pricer gives every offering the best price that is known for it.
type pricer struct {
	region    string
	table     *table
	onDemand  dated[map[string]float64]
	spot      dated[[]cloud.SpotPrice]
	overrides Overrides
	// dedicated: the prices are for dedicated tenancy, and alone are those that
	// AWS tells.
	dedicated bool
	alone     dated[map[string]float64]
}

// listings are the offerings of all types.
func (p *pricer) listings(types []cloud.InstanceType) []selection.Listing {
	spot := p.spotByOffering()
	var out []selection.Listing
	for i := range types {
		t := &types[i]
		onDemand := p.onDemandPrice(t.Name)
		for _, zone := range t.Zones {
			if slices.Contains(t.Markets, cloud.OnDemand) {
				out = append(out, p.listing(t.Name, zone, selection.OnDemand, onDemand))
			}
			if price, sold := p.spotPrice(t, zone, spot, onDemand); sold {
				out = append(out, p.listing(t.Name, zone, selection.Spot, price))
			}
		}
	}
	return out
}

func (p *pricer) listing(instanceType, zone string, market selection.Market, price selection.Price) selection.Listing {
	return selection.Listing{Type: instanceType, Zone: zone, Market: market, Price: p.overrides.apply(instanceType, market, price)}
}

// onDemandPrice is AWS's own price for the tenancy. That for shared tenancy is
// an estimate of the one for dedicated.
func (p *pricer) onDemandPrice(instanceType string) selection.Price {
	if !p.dedicated {
		return p.sharedPrice(instanceType)
	}
	if price, ok := p.alone.value[instanceType]; ok {
		return selection.Price{PerHour: price, Source: selection.SourcePricingAPI, AsOf: p.alone.asOf}
	}
	price := p.sharedPrice(instanceType)
	if price.Source != "" {
		price.Source = selection.SourceEstimate
	}
	return price
}

// sharedPrice is AWS's own price, else that of the built-in table.
func (p *pricer) sharedPrice(instanceType string) selection.Price {
	if price, ok := p.onDemand.value[instanceType]; ok {
		return selection.Price{PerHour: price, Source: selection.SourcePricingAPI, AsOf: p.onDemand.asOf}
	}
	return p.table.price(p.region, instanceType)
}

type spotPlace struct{ instanceType, zone string }

func (p *pricer) spotByOffering() map[spotPlace]float64 {
	out := make(map[spotPlace]float64, len(p.spot.value))
	for _, s := range p.spot.value {
		out[spotPlace{s.InstanceType, s.Zone}] = s.PerHour
	}
	return out
}

// spotPrice is the last one paid in the zone. Where the history is known, an
// offering that is not in it is not sold. Until then the On-demand price is an
// estimate: no Spot instance costs more.
func (p *pricer) spotPrice(t *cloud.InstanceType, zone string, known map[spotPlace]float64, onDemand selection.Price) (selection.Price, bool) {
	if !slices.Contains(t.Markets, cloud.Spot) {
		return selection.Price{}, false
	}
	if p.spot.asOf.IsZero() {
		if onDemand.Source != "" {
			onDemand.Source = selection.SourceEstimate
		}
		return onDemand, true
	}
	price, sold := known[spotPlace{t.Name, zone}]
	return selection.Price{PerHour: price, Source: selection.SourceSpotHistory, AsOf: p.spot.asOf}, sold
}

// regionFactor is how much more m5.large costs On-demand in a region than in
// us-east-1, as AWS's price list says; for a region that is not known here, as
// much as in most of the far ones.
func regionFactor(region string) float64 {
	switch region {
	case "us-east-1", "us-east-2", "us-west-2":
		return 1
	case "ap-south-1":
		return 1.05
	case "eu-north-1":
		return 1.06
	case "eu-west-1", "ca-central-1":
		return 1.11
	case "eu-west-2", "eu-west-3", "eu-south-1", "us-west-1":
		return 1.17
	case "eu-central-1":
		return 1.20
	case "ap-northeast-1", "ap-northeast-3":
		return 1.29
	case "af-south-1":
		return 1.32
	case "ap-east-1":
		return 1.38
	case "sa-east-1":
		return 1.59
	}
	return 1.25
}

// What cells cost besides their instance, in us-east-1 (aws.amazon.com/ebs/pricing,
// aws.amazon.com/vpc/pricing).
const (
	hoursPerMonth     = 730
	publicIPv4PerHour = 0.005
	gp2PerGiBMonth    = 0.10
	gp3PerGiBMonth    = 0.08
	ioPerGiBMonth     = 0.125
	gp3PerIOPSMonth   = 0.005
	gp3PerMiBpsMonth  = 0.04
	ioPerIOPSMonth    = 0.065
	gp3IncludedIOPS   = 3000
	gp3IncludedMiBps  = 125

	io2FirstTier          = 32_000
	io2SecondTier         = 64_000
	io2SecondPerIOPSMonth = 0.046
	io2ThirdPerIOPSMonth  = 0.032
)

// VolumePerHour is what a volume costs, in USD: an estimate in other regions
// than us-east-1.
func VolumePerHour(region string, v cloud.Volume) float64 {
	return volumePerMonth(v) / hoursPerMonth * regionFactor(region)
}

func volumePerMonth(v cloud.Volume) float64 {
	size := float64(v.GiB)
	switch v.Type {
	case "gp2":
		return size * gp2PerGiBMonth
	case "io1":
		return size*ioPerGiBMonth + float64(v.IOPS)*ioPerIOPSMonth
	case "io2":
		return size*ioPerGiBMonth + io2IOPSPerMonth(v.IOPS)
	}
	return size*gp3PerGiBMonth +
		float64(max(0, v.IOPS-gp3IncludedIOPS))*gp3PerIOPSMonth +
		float64(max(0, v.Throughput-gp3IncludedMiBps))*gp3PerMiBpsMonth
}

// io2IOPSPerMonth: the more are provisioned, the less does each above a
// threshold cost.
func io2IOPSPerMonth(iops int32) float64 {
	first, second := min(iops, io2FirstTier), min(iops, io2SecondTier)
	return float64(first)*ioPerIOPSMonth + float64(second-first)*io2SecondPerIOPSMonth + float64(iops-second)*io2ThirdPerIOPSMonth
}

// PublicIPv4PerHour is what a public address costs, in USD, in all regions.
func PublicIPv4PerHour() float64 { return publicIPv4PerHour }
