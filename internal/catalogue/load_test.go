package catalogue_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

// answers is a Source that gives the same answer each time.
type answers struct {
	types    []cloud.InstanceType
	onDemand map[string]float64
	spot     []cloud.SpotPrice

	typesErr, onDemandErr, spotErr error
}

func (a *answers) InstanceTypes(context.Context) ([]cloud.InstanceType, error) {
	return a.types, a.typesErr
}

func (a *answers) OnDemandPrices(context.Context) (map[string]float64, error) {
	return a.onDemand, a.onDemandErr
}

func (a *answers) DedicatedPrices(context.Context) (map[string]float64, error) {
	return map[string]float64{"m5.large": 0.6}, nil
}

func (a *answers) SpotPrices(context.Context) ([]cloud.SpotPrice, error) { return a.spot, a.spotErr }

func oneType() *answers {
	return &answers{
		types: []cloud.InstanceType{{
			Name: "m5.large", Architectures: []cloud.Architecture{cloud.AMD64}, VCPUs: 2, MemoryMiB: 8192, IPv4PerInterface: 10,
			HVM: true, Markets: []cloud.Market{cloud.OnDemand, cloud.Spot}, Zones: []string{"us-east-1a"},
		}},
		onDemand: map[string]float64{"m5.large": 0.5},
		spot:     []cloud.SpotPrice{{InstanceType: "m5.large", Zone: "us-east-1a", PerHour: 0.25}},
	}
}

func load(t *testing.T, source *answers) (c *catalogue.Catalogue, missing []error, err error) {
	t.Helper()
	c, err = catalogue.New(catalogue.Options{
		Source: source, Region: "us-east-1", Clock: clocktesting.NewFakeClock(time.Unix(1_800_000_000, 0)), Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	missing, err = c.Load(t.Context())
	return c, missing, err
}

// priceIn is the price of the one offering in a market.
func priceIn(t *testing.T, c *catalogue.Catalogue, market v1beta1.LaunchType) selection.Price {
	t.Helper()
	class := selection.Class{
		Images:  []selection.Image{{ID: "ami-1", Architecture: selection.AMD64, Accelerator: v1beta1.AcceleratorNone, ENA: true}},
		Subnets: []selection.Subnet{{ID: "subnet-1", Zone: "us-east-1a", Free: 100}},
	}
	world := catalogue.NewCapacity(clocktesting.NewFakePassiveClock(time.Now())).For(catalogue.Hardware{})
	found := selection.Select(selection.NewRules(c.Index(), class), &selection.Ask{LaunchType: market}, world, 2)
	if len(found) != 1 {
		t.Fatalf("%s: found %+v", market, found)
	}
	return found[0].Price
}

func TestLoad(t *testing.T) {
	c, missing, err := load(t, oneType())
	if err != nil || len(missing) > 0 {
		t.Fatalf("missing %v, error %v", missing, err)
	}
	if p := priceIn(t, c, v1beta1.LaunchOnDemand); p.PerHour != 0.5 || p.Source != selection.SourcePricingAPI {
		t.Errorf("on-demand price %+v", p)
	}
	if p := priceIn(t, c, v1beta1.LaunchSpot); p.PerHour != 0.25 || p.Source != selection.SourceSpotHistory {
		t.Errorf("spot price %+v", p)
	}
}

// TestLoadWithoutPrices: the built-in prices stand in, and what lacks is told.
func TestLoadWithoutPrices(t *testing.T) {
	source := oneType()
	source.onDemandErr, source.spotErr = errors.New("no list"), errors.New("no history")
	c, missing, err := load(t, source)
	if err != nil {
		t.Fatal(err)
	}
	if p := priceIn(t, c, v1beta1.LaunchOnDemand); p.PerHour != 0.096 || p.Source != selection.SourceTable {
		t.Errorf("on-demand price %+v", p)
	}
	if p := priceIn(t, c, v1beta1.LaunchSpot); p.Source != selection.SourceEstimate {
		t.Errorf("spot price %+v", p)
	}
	text := errors.Join(missing...).Error()
	if len(missing) != 2 || !strings.Contains(text, "on-demand prices: no list") || !strings.Contains(text, "spot prices: no history") {
		t.Errorf("missing %q", text)
	}
	if !errors.Is(missing[0], source.onDemandErr) {
		t.Error("the cause is lost")
	}
}

func TestLoadWithoutTypes(t *testing.T) {
	source := oneType()
	source.types, source.typesErr = nil, errors.New("not allowed")
	c, missing, err := load(t, source)
	if err == nil || !errors.Is(err, source.typesErr) || !strings.Contains(err.Error(), "instance types") || len(missing) > 0 {
		t.Errorf("missing %v, error %v", missing, err)
	}
	if c.Index() != nil {
		t.Error("there is an index")
	}
	source.typesErr = nil
	if _, _, err := load(t, source); err == nil {
		t.Error("a region without types is no error")
	}
}
