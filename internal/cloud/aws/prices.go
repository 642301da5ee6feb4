package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	pricingtypes "github.com/aws/aws-sdk-go-v2/service/pricing/types"

	"kip.elotl.co/internal/cloud"
)

// pricingRegion is the region whose price list API tells the prices of a
// region: there are three, and one for China
// (docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-the-aws-price-list-bulk-api.html).
func pricingRegion(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "cn-northwest-1"
	case strings.HasPrefix(region, "ap-"):
		return "ap-south-1"
	case strings.HasPrefix(region, "eu-"):
		return "eu-central-1"
	}
	return "us-east-1"
}

// The tenancies of the price list.
const (
	sharedTenancy    = "Shared"
	dedicatedTenancy = "Dedicated"
)

// OnDemandPrices implements cloud.Prices: Linux without software, shared tenancy.
func (c *Client) OnDemandPrices(ctx context.Context) (map[string]float64, error) {
	return c.pricesOf(ctx, sharedTenancy, dedicatedTenancy)
}

// DedicatedPrices implements cloud.Prices: Linux without software.
func (c *Client) DedicatedPrices(ctx context.Context) (map[string]float64, error) {
	return c.pricesOf(ctx, dedicatedTenancy, sharedTenancy)
}

// pricesOf gives the prices of a tenancy. Bare metal is nobody else's in any
// case: types that are not listed with the tenancy cost what the other one says.
func (c *Client) pricesOf(ctx context.Context, tenancy, other string) (map[string]float64, error) {
	prices := map[string]float64{}
	for _, list := range []struct{ family, tenancy string }{
		{"Compute Instance (bare metal)", other}, {"Compute Instance (bare metal)", tenancy}, {"Compute Instance", tenancy},
	} {
		listed, err := c.priceList(ctx, list.family, list.tenancy)
		if err != nil {
			return nil, err
		}
		maps.Copy(prices, listed)
	}
	if len(prices) == 0 {
		return nil, fmt.Errorf("the price list has no prices for %s", c.region)
	}
	return prices, nil
}

// priceList asks for the prices of a product family with a tenancy.
func (c *Client) priceList(ctx context.Context, family, tenancy string) (map[string]float64, error) {
	prices := map[string]float64{}
	pages := pricing.NewGetProductsPaginator(c.pricing, &pricing.GetProductsInput{
		ServiceCode: aws.String("AmazonEC2"),
		Filters: productFilters(map[string]string{
			"regionCode": c.region, "productFamily": family, "operatingSystem": "Linux", "preInstalledSw": "NA",
			"capacitystatus": "Used", "marketoption": "OnDemand", "tenancy": tenancy,
		}),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sortedOf("pricing", "GetProducts", err)
		}
		for _, product := range page.PriceList {
			if err := addPrice(prices, product); err != nil {
				return nil, fmt.Errorf("reading the price list: %w", err)
			}
		}
	}
	return prices, nil
}

func productFilters(fields map[string]string) []pricingtypes.Filter {
	var filters []pricingtypes.Filter
	for field, value := range fields {
		filters = append(filters, pricingtypes.Filter{
			Type: pricingtypes.FilterTypeTermMatch, Field: aws.String(field), Value: aws.String(value),
		})
	}
	return filters
}

// product is the part that is looked at of an entry of the price list.
type product struct {
	Product struct {
		Attributes struct {
			InstanceType string `json:"instanceType"`
		} `json:"attributes"`
	} `json:"product"`
	Terms struct {
		OnDemand map[string]struct {
			PriceDimensions map[string]struct {
				Unit         string            `json:"unit"`
				PricePerUnit map[string]string `json:"pricePerUnit"`
			} `json:"priceDimensions"`
		}
	} `json:"terms"`
}

// addPrice takes the price of an entry into prices. One in another currency
// than USD, or of nothing, is left out; of several the highest counts.
func addPrice(prices map[string]float64, entry string) error {
	var p product
	if err := json.Unmarshal([]byte(entry), &p); err != nil {
		return err
	}
	name := p.Product.Attributes.InstanceType
	for _, term := range p.Terms.OnDemand {
		for _, dimension := range term.PriceDimensions {
			price, ok := usd(dimension.PricePerUnit["USD"])
			if ok && dimension.Unit == "Hrs" && name != "" {
				prices[name] = max(prices[name], price)
			}
		}
	}
	return nil
}

// usd reads a price of more than nothing.
func usd(s string) (float64, bool) {
	price, err := strconv.ParseFloat(s, 64)
	return price, err == nil && price > 0 && !math.IsInf(price, 0)
}

// SpotPrices implements cloud.Prices: what is in force now.
func (c *Client) SpotPrices(ctx context.Context) ([]cloud.SpotPrice, error) {
	newest := map[[2]string]cloud.SpotPrice{}
	pages := ec2.NewDescribeSpotPriceHistoryPaginator(c.ec2, &ec2.DescribeSpotPriceHistoryInput{
		StartTime:           aws.Time(time.Now()),
		ProductDescriptions: []string{"Linux/UNIX", "Linux/UNIX (Amazon VPC)"},
		MaxResults:          aws.Int32(c.pageSize),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sorted("DescribeSpotPriceHistory", err)
		}
		for _, entry := range page.SpotPriceHistory {
			perHour, ok := usd(aws.ToString(entry.SpotPrice))
			if !ok {
				continue
			}
			price := cloud.SpotPrice{
				InstanceType: string(entry.InstanceType), Zone: aws.ToString(entry.AvailabilityZone),
				PerHour: perHour, Since: aws.ToTime(entry.Timestamp),
			}
			key := [2]string{price.InstanceType, price.Zone}
			if known, ok := newest[key]; !ok || price.Since.After(known.Since) {
				newest[key] = price
			}
		}
	}
	out := make([]cloud.SpotPrice, 0, len(newest))
	for _, price := range newest {
		out = append(out, price)
	}
	return out, nil
}
