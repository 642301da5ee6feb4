// Package ec2types gives tests a catalogue of EC2's size: of EC2's own types
// and On-demand prices, where there is a file of them, or of made-up ones. Spot
// prices and zones are always made up, the same for the same seed.
package ec2types

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"kip.elotl.co/internal/selection"
)

// Catalogue is what can be launched in a region.
type Catalogue struct {
	Types    []selection.Type
	Listings []selection.Listing
	Zones    []string
	byType   map[string][]selection.Listing
}

// ByType are the listings by the name of their type.
func (c *Catalogue) ByType() map[string][]selection.Listing { return c.byType }

// Real gives EC2's types. It skips the test where there is no file of them, and
// fails it where there must be one.
func Real(t testing.TB, seed uint64) Catalogue {
	t.Helper()
	file := load(t)
	return catalogue(file.types(), file.prices(), rand.New(rand.NewPCG(seed, 1)))
}

// Generated makes up n types.
func Generated(seed uint64, n int) Catalogue {
	r := rand.New(rand.NewPCG(seed, 2))
	types, prices := generatedTypes(r, n)
	return catalogue(types, prices, r)
}

// catalogue adds zones and Spot prices to types. Of the types one in eight is
// missing in each zone; one in ten has no Spot price, some have no On-demand
// price.
func catalogue(types []selection.Type, prices map[string]float64, r *rand.Rand) Catalogue {
	c := Catalogue{Types: types}
	for _, letter := range "abcdef" {
		c.Zones = append(c.Zones, "us-east-1"+string(letter))
	}
	asOf := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	for i := range types {
		name := types[i].Name
		onDemand, known := prices[name]
		sold := known && r.IntN(10) > 0
		for _, zone := range c.Zones {
			if r.IntN(8) == 0 {
				continue
			}
			price := selection.Price{}
			if known {
				price = selection.Price{PerHour: onDemand, Source: selection.SourcePricingAPI, AsOf: asOf}
			}
			c.Listings = append(c.Listings, selection.Listing{Type: name, Zone: zone, Market: selection.OnDemand, Price: price})
			if sold {
				price.PerHour, price.Source = spotPrice(onDemand, r), selection.SourceSpotHistory
				c.Listings = append(c.Listings, selection.Listing{Type: name, Zone: zone, Market: selection.Spot, Price: price})
			}
		}
	}
	r.Shuffle(len(c.Listings), func(i, j int) { c.Listings[i], c.Listings[j] = c.Listings[j], c.Listings[i] })
	c.byType = map[string][]selection.Listing{}
	for _, l := range c.Listings {
		c.byType[l.Type] = append(c.byType[l.Type], l)
	}
	return c
}

// spotPrice is from 20 to 100 % of the On-demand price, with EC2's four decimals.
func spotPrice(onDemand float64, r *rand.Rand) float64 {
	return min(onDemand, math.Ceil(onDemand*(0.2+0.8*r.Float64())*1e4)/1e4)
}

// usableMemory is what a pod can use of a type of which no agent has told yet.
func usableMemory(nominal int64) int64 { return nominal*925/1000 - 128<<20 }

// burstOf is what is particular to a burstable type, nil for others: the share
// of each vCPU that it gives for good
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-credits-baseline-concepts.html).
func burstOf(name string, milliCPU int64) *selection.Burst {
	family, size, _ := strings.Cut(name, ".")
	surplus, burstable := map[string]float64{"t2": 0.05, "t3": 0.05, "t3a": 0.05, "t4g": 0.04}[family]
	if !burstable {
		return nil
	}
	share := map[string]float64{
		"nano": 0.05, "micro": 0.10, "small": 0.20, "medium": 0.20, "large": 0.30, "xlarge": 0.40, "2xlarge": 0.40,
	}[size]
	switch name {
	case "t2.xlarge":
		share = 0.225
	case "t2.2xlarge":
		share = 0.16875
	}
	return &selection.Burst{BaselineMilliCPU: int64(math.Round(share * float64(milliCPU))), SurplusPerVCPUHour: surplus}
}
