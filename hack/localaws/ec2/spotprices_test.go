package ec2_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"kip.elotl.co/hack/localaws/market"
	"kip.elotl.co/hack/localaws/world"
)

// spotPrices pages through the history.
func (c *cloud) spotPrices(t *testing.T, in *sdk.DescribeSpotPriceHistoryInput) []types.SpotPrice {
	t.Helper()
	var out []types.SpotPrice
	pages := sdk.NewDescribeSpotPriceHistoryPaginator(c, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if in.MaxResults != nil && len(page.SpotPriceHistory) > int(*in.MaxResults) {
			t.Errorf("a page of %d", len(page.SpotPriceHistory))
		}
		out = append(out, page.SpotPriceHistory...)
	}
	return out
}

// What is in force now is one price for each type and zone that offers it.
func TestSpotPricesInForce(t *testing.T) {
	c := newCloud(t)
	got := c.spotPrices(t, &sdk.DescribeSpotPriceHistoryInput{
		StartTime: aws.Time(time.Now()), ProductDescriptions: []string{"Linux/UNIX", "Linux/UNIX (Amazon VPC)"}, MaxResults: aws.Int32(300),
	})
	seen := map[string]bool{}
	for _, p := range got {
		key := string(p.InstanceType) + " " + *p.AvailabilityZone
		want, ok := c.world.Market.Now(string(p.InstanceType), *p.AvailabilityZone)
		if perHour, err := strconv.ParseFloat(*p.SpotPrice, 64); err != nil || !ok || perHour != want || seen[key] {
			t.Errorf("%s: %s, want %v once (%v)", key, *p.SpotPrice, want, seen[key])
		}
		if p.ProductDescription != types.RIProductDescriptionLinuxUnix || p.Timestamp.After(time.Now()) {
			t.Errorf("%s: %s at %v", key, p.ProductDescription, p.Timestamp)
		}
		seen[key] = true
	}
	for _, it := range c.world.Catalog.Types {
		for _, z := range c.world.Catalog.Zones {
			if _, sold := c.world.Market.Now(it.Name, z.Name); sold != seen[it.Name+" "+z.Name] {
				t.Errorf("%s in %s: listed %v", it.Name, z.Name, !sold)
			}
		}
	}
}

func TestSpotPricesAreChosen(t *testing.T) {
	c := newCloud(t)
	if _, err := c.world.Market.Set(market.Change{InstanceType: "t3.nano", Zone: "us-east-1a", PerHour: 0.0077}); err != nil {
		t.Fatal(err)
	}
	nano := []types.InstanceType{types.InstanceTypeT3Nano}
	linux := []string{"Linux/UNIX"}
	for name, test := range map[string]struct {
		in   sdk.DescribeSpotPriceHistoryInput
		want int
	}{
		"all products":   {sdk.DescribeSpotPriceHistoryInput{InstanceTypes: nano}, 8},
		"history":        {sdk.DescribeSpotPriceHistoryInput{InstanceTypes: nano, ProductDescriptions: linux}, 4},
		"before":         {sdk.DescribeSpotPriceHistoryInput{InstanceTypes: nano, ProductDescriptions: linux, EndTime: aws.Time(time.Now().Add(-time.Hour))}, 3},
		"zone":           {sdk.DescribeSpotPriceHistoryInput{InstanceTypes: nano, ProductDescriptions: linux, AvailabilityZone: aws.String("us-east-1a")}, 2},
		"zone by filter": {sdk.DescribeSpotPriceHistoryInput{Filters: []types.Filter{filter("availability-zone", "us-east-1b"), filter("instance-type", "t3.nano"), filter("product-description", "Linux/UNIX")}}, 1},
		"price":          {sdk.DescribeSpotPriceHistoryInput{Filters: []types.Filter{filter("spot-price", "0.007700"), filter("instance-type", "t3.nano")}}, 1},
	} {
		if got := c.spotPrices(t, &test.in); len(got) != test.want {
			t.Errorf("%s: %d prices, want %d: %+v", name, len(got), test.want, got)
		}
	}
	newest := c.spotPrices(t, &sdk.DescribeSpotPriceHistoryInput{InstanceTypes: nano, ProductDescriptions: linux, AvailabilityZone: aws.String("us-east-1a")})[0]
	if *newest.SpotPrice != "0.007700" {
		t.Errorf("the newest comes first: %s", *newest.SpotPrice)
	}
	for name, test := range map[string]struct {
		in   sdk.DescribeSpotPriceHistoryInput
		code string
	}{
		"unknown type":    {sdk.DescribeSpotPriceHistoryInput{InstanceTypes: []types.InstanceType{"t9.huge"}}, "InvalidParameterValue"},
		"unknown zone":    {sdk.DescribeSpotPriceHistoryInput{AvailabilityZone: aws.String("us-east-1z")}, "InvalidParameterValue"},
		"unknown filter":  {sdk.DescribeSpotPriceHistoryInput{Filters: []types.Filter{filter("colour", "red")}}, "InvalidParameterValue"},
		"end before time": {sdk.DescribeSpotPriceHistoryInput{StartTime: aws.Time(time.Now()), EndTime: aws.Time(time.Now().Add(-time.Hour))}, "InvalidParameterValue"},
		"dry run":         {sdk.DescribeSpotPriceHistoryInput{DryRun: aws.Bool(true)}, "DryRunOperation"},
		"page too large":  {sdk.DescribeSpotPriceHistoryInput{MaxResults: aws.Int32(1001)}, "InvalidParameterValue"},
	} {
		_, err := c.DescribeSpotPriceHistory(t.Context(), &test.in)
		t.Run(name, func(t *testing.T) { wantCode(t, err, test.code) })
	}
}

func spotFor(price string) func(*sdk.RunInstancesInput) {
	return func(in *sdk.RunInstancesInput) {
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot, SpotOptions: &types.SpotMarketOptions{MaxPrice: aws.String(price)}}
	}
}

func TestMaxPrice(t *testing.T) {
	c := newCloud(t)
	if _, err := c.world.Market.Set(market.Change{InstanceType: "t3.nano", PerHour: 0.004}); err != nil {
		t.Fatal(err)
	}
	for price, code := range map[string]string{"0.0039": "SpotMaxPriceTooLow", "0.004": "", "1": "", "cheap": "InvalidParameterValue", "0": "InvalidParameterValue"} {
		_, err := c.RunInstances(t.Context(), launch(spotFor(price)))
		wantCode(t, err, code)
	}
	// What one zone sells too dear another may not.
	if _, err := c.world.Market.Set(market.Change{InstanceType: "t3.nano", Zone: "us-east-1a", PerHour: 0.005}); err != nil {
		t.Fatal(err)
	}
	if i := c.one(t, c.run(t, spotFor("0.0045"))[0]); *i.Placement.AvailabilityZone != "us-east-1b" {
		t.Errorf("launched in %s", *i.Placement.AvailabilityZone)
	}
	_, err := c.RunInstances(t.Context(), launch(func(in *sdk.RunInstancesInput) { in.InstanceType = "u-6tb1.metal" }, inSubnet(c, 0), spotFor("500")))
	wantCode(t, err, "InvalidParameterValue")
}

func TestInterruption(t *testing.T) {
	c := newCloud(t)
	id := c.run(t, spotFor("1"))[0]
	i := c.inState(t, id, types.InstanceStateNameRunning)
	if i.InstanceLifecycle != types.InstanceLifecycleTypeSpot || i.SpotInstanceRequestId == nil {
		t.Errorf("lifecycle %q, request %v", i.InstanceLifecycle, i.SpotInstanceRequestId)
	}
	if err := c.world.Kill(t.Context(), id, world.SpotTermination, false); err != nil {
		t.Fatal(err)
	}
	if i := c.inState(t, id, types.InstanceStateNameTerminated); *i.StateReason.Code != "Server.SpotInstanceTermination" {
		t.Errorf("reason %+v", i.StateReason)
	}
}
