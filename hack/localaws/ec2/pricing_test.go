package ec2_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	"github.com/aws/aws-sdk-go-v2/service/pricing/types"

	"kip.elotl.co/hack/localaws/faults"
)

func (c *cloud) pricing(region string) *pricing.Client {
	return pricing.New(pricing.Options{
		Region: region, BaseEndpoint: aws.String(c.url), Credentials: credentials.NewStaticCredentialsProvider("AKIDLOCAL", "secret", ""),
		Retryer: aws.NopRetryer{}, HTTPClient: plainBody{awshttp.NewBuildableClient()},
	})
}

func term(field, value string) types.Filter {
	return types.Filter{Type: types.FilterTypeTermMatch, Field: aws.String(field), Value: aws.String(value)}
}

// entry is what a caller of the price list looks at.
type entry struct {
	Product struct {
		ProductFamily string
		Attributes    map[string]string
	}
	Terms struct {
		OnDemand map[string]struct {
			PriceDimensions map[string]struct {
				Unit         string
				PricePerUnit map[string]string
			}
		}
	}
}

func (e entry) price(t *testing.T) float64 {
	t.Helper()
	for _, term := range e.Terms.OnDemand {
		for _, d := range term.PriceDimensions {
			price, err := strconv.ParseFloat(d.PricePerUnit["USD"], 64)
			if err != nil || d.Unit != "Hrs" {
				t.Errorf("a price of %+v", d)
			}
			return price
		}
	}
	t.Errorf("no price: %+v", e)
	return 0
}

func (c *cloud) products(t *testing.T, filters ...types.Filter) []entry {
	t.Helper()
	var out []entry
	pages := pricing.NewGetProductsPaginator(c.pricing("us-east-1"), &pricing.GetProductsInput{ServiceCode: aws.String("AmazonEC2"), Filters: filters})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(page.PriceList) > 100 || *page.FormatVersion != "aws_v1" {
			t.Errorf("a page of %d, format %s", len(page.PriceList), *page.FormatVersion)
		}
		for _, document := range page.PriceList {
			var e entry
			if err := json.Unmarshal([]byte(document), &e); err != nil {
				t.Fatal(err)
			}
			out = append(out, e)
		}
	}
	return out
}

// The filters that leave plain Linux on demand give each type once, at the
// price that Spot prices are a share of.
func TestPriceList(t *testing.T) {
	c := newCloud(t)
	seen := map[string]float64{}
	for _, family := range []string{"Compute Instance", "Compute Instance (bare metal)"} {
		for _, e := range c.products(t, term("regionCode", "us-east-1"), term("productFamily", family), term("operatingSystem", "Linux"),
			term("preInstalledSw", "NA"), term("capacitystatus", "Used"), term("marketoption", "OnDemand"), term("tenancy", "Shared")) {
			name := e.Product.Attributes["instanceType"]
			if _, twice := seen[name]; twice || strings.Contains(name, "metal") != strings.Contains(family, "metal") {
				t.Errorf("%s twice, or in the wrong family", name)
			}
			seen[name] = e.price(t)
		}
	}
	if len(seen) != len(c.world.Catalog.Types) {
		t.Errorf("%d prices of %d types", len(seen), len(c.world.Catalog.Types))
	}
	for _, it := range c.world.Catalog.Types {
		if seen[it.Name] != it.PricePerHour() || seen[it.Name] <= 0 {
			t.Errorf("%s costs %v, want %v", it.Name, seen[it.Name], it.PricePerHour())
		}
	}
}

// Without filters there is much that nobody wants by mistake.
func TestPriceListHasMoreThanLinux(t *testing.T) {
	c := newCloud(t)
	all := c.products(t, term("instanceType", "m5.large"))
	price := map[string]float64{}
	for _, e := range all {
		price[e.Product.Attributes["operatingSystem"]+" "+e.Product.Attributes["tenancy"]+" "+e.Product.Attributes["capacitystatus"]] = e.price(t)
	}
	if len(all) != 12 || len(price) != 12 || price["Windows Shared Used"] <= price["Linux Shared Used"] ||
		price["Linux Dedicated Used"] <= price["Linux Shared Used"] || price["Linux Shared AllocatedCapacityReservation"] != 0 {
		t.Errorf("%d products: %v", len(all), price)
	}
	if got := c.products(t, term("regionCode", "eu-west-1")); len(got) != 0 {
		t.Errorf("%d products of another region", len(got))
	}
}

func TestPriceListRefuses(t *testing.T) {
	c := newCloud(t)
	for name, test := range map[string]struct {
		in   pricing.GetProductsInput
		code string
	}{
		"service":     {pricing.GetProductsInput{ServiceCode: aws.String("AmazonS3")}, "InvalidParameterException"},
		"page size":   {pricing.GetProductsInput{ServiceCode: aws.String("AmazonEC2"), MaxResults: aws.Int32(101)}, "InvalidParameterException"},
		"token":       {pricing.GetProductsInput{ServiceCode: aws.String("AmazonEC2"), NextToken: aws.String("x")}, "InvalidNextTokenException"},
		"format":      {pricing.GetProductsInput{ServiceCode: aws.String("AmazonEC2"), FormatVersion: aws.String("aws_v2")}, "InvalidParameterException"},
		"filter type": {pricing.GetProductsInput{ServiceCode: aws.String("AmazonEC2"), Filters: []types.Filter{{Type: types.FilterTypeNoneOf, Field: aws.String("a"), Value: aws.String("b")}}}, "InvalidParameterException"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.pricing("us-east-1").GetProducts(t.Context(), &test.in)
			wantCode(t, err, test.code)
		})
	}
	in := &pricing.GetProductsInput{ServiceCode: aws.String("AmazonEC2"), MaxResults: aws.Int32(1)}
	_, err := c.pricing("us-west-2").GetProducts(t.Context(), in)
	wantCode(t, err, "AuthFailure")
	_, err = c.pricing("eu-central-1").GetProducts(t.Context(), in)
	wantCode(t, err, "")
	_, err = c.pricing("us-east-1").DescribeServices(t.Context(), &pricing.DescribeServicesInput{})
	wantCode(t, err, "UnknownOperationException")
}

// Calls of the price list go the way of all others: through faults, into the
// journal.
func TestPriceListIsSpoiltAndRecorded(t *testing.T) {
	c := newCloud(t)
	if err := c.faults.Replace(faults.Plan{Errors: []faults.Refusal{{Action: "GetProducts", Code: "ThrottlingException", Count: 1}}}); err != nil {
		t.Fatal(err)
	}
	in := &pricing.GetProductsInput{ServiceCode: aws.String("AmazonEC2"), MaxResults: aws.Int32(1)}
	_, err := c.pricing("us-east-1").GetProducts(t.Context(), in)
	wantCode(t, err, "ThrottlingException")
	_, err = c.pricing("us-east-1").GetProducts(t.Context(), in)
	wantCode(t, err, "")
	got := c.journal.Since(0, "GetProducts")
	if len(got) != 2 || got[0].Code != "ThrottlingException" || got[1].Code != "" || !strings.Contains(got[1].Params["Body"], "AmazonEC2") {
		t.Errorf("journal %+v", got)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url, strings.NewReader("{"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "AWSPriceListService.GetProducts")
	req.Header.Set("Authorization", strings.Replace(signed, "/ec2/", "/pricing/", 1))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("X-Amzn-Errortype") != "SerializationException" {
		t.Errorf("half a document: %s %v", resp.Status, resp.Header)
	}
}
