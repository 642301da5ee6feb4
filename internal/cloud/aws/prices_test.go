package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/internal/cloud"
)

// All types of the region, over all pages, with what selection looks at.
func TestInstanceTypes(t *testing.T) {
	e := newEmulator(t)
	e.pageSize = 5
	got, err := e.InstanceTypes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := len(e.world.Catalog.Types); len(got) != want || want <= 5 {
		t.Errorf("%d types, want %d", len(got), want)
	}
	byName := map[string]cloud.InstanceType{}
	for _, kind := range got {
		if len(kind.Zones) == 0 || len(kind.Architectures) == 0 || len(kind.Markets) == 0 || kind.VCPUs == 0 || kind.MemoryMiB == 0 || !kind.HVM && !kind.Paravirtual {
			t.Errorf("%+v", kind)
		}
		byName[kind.Name] = kind
	}
	nano := byName["t3.nano"]
	if !nano.Burstable || nano.VCPUs != 2 || nano.MemoryMiB != 512 || nano.GPUs != 0 || nano.IPv4PerInterface != 2 || !nano.NeedsENA || nano.BareMetal {
		t.Errorf("%+v", nano)
	}
	if diff := cmp.Diff([]cloud.Architecture{cloud.AMD64}, nano.Architectures); diff != "" {
		t.Error(diff)
	}
	for _, action := range []string{"DescribeInstanceTypes", "DescribeInstanceTypeOfferings"} {
		if len(e.calls(action)) < 2 {
			t.Errorf("%d calls of %s", len(e.calls(action)), action)
		}
		e.plan(t, faults.Plan{Errors: []faults.Refusal{{Action: action, Code: "UnauthorizedOperation"}}})
		_, err := e.InstanceTypes(t.Context())
		wantKind(t, err, cloud.KindUnauthorized, "ec2:"+action)
	}
}

func TestAccelerators(t *testing.T) {
	c, _ := answering(t, map[string]string{
		"DescribeInstanceTypes": `<DescribeInstanceTypesResponse><instanceTypeSet>
			<item><instanceType>g4dn.12xlarge</instanceType><gpuInfo><gpus><item><name>T4</name><manufacturer>NVIDIA</manufacturer><count>4</count></item></gpus></gpuInfo></item>
			<item><instanceType>g4ad.xlarge</instanceType><gpuInfo><gpus><item><manufacturer>AMD</manufacturer><count>1</count></item></gpus></gpuInfo></item>
			<item><instanceType>inf1.6xlarge</instanceType><inferenceAcceleratorInfo><accelerators><member><manufacturer>AWS</manufacturer><count>4</count></member></accelerators></inferenceAcceleratorInfo></item>
			<item><instanceType>trn1.32xlarge</instanceType><neuronInfo><neuronDevices><item><count>16</count></item></neuronDevices></neuronInfo>
				<inferenceAcceleratorInfo><accelerators><member><manufacturer>AWS</manufacturer><count>1</count></member></accelerators></inferenceAcceleratorInfo></item>
			<item><instanceType>mac2.metal</instanceType><processorInfo><supportedArchitectures><item>arm64_mac</item></supportedArchitectures></processorInfo>
				<supportedUsageClasses><item>on-demand</item><item>capacity-block</item></supportedUsageClasses></item>
		</instanceTypeSet></DescribeInstanceTypesResponse>`,
		"DescribeInstanceTypeOfferings": `<DescribeInstanceTypeOfferingsResponse><instanceTypeOfferingSet>
			<item><instanceType>g4ad.xlarge</instanceType><location>b</location></item>
			<item><instanceType>g4ad.xlarge</instanceType><location>a</location></item>
		</instanceTypeOfferingSet></DescribeInstanceTypeOfferingsResponse>`,
	})
	got, err := c.InstanceTypes(t.Context())
	want := []cloud.InstanceType{
		{Name: "g4dn.12xlarge", GPUs: 4}, {Name: "g4ad.xlarge", Zones: []string{"a", "b"}}, {Name: "inf1.6xlarge", Neurons: 4},
		{Name: "trn1.32xlarge", Neurons: 16}, {Name: "mac2.metal", Markets: []cloud.Market{cloud.OnDemand}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestOnDemandPrices(t *testing.T) {
	e := newEmulator(t)
	got, err := e.OnDemandPrices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got["t3.nano"] != 0.0052 || len(got) < 50 {
		t.Errorf("%d prices; t3.nano costs %v", len(got), got["t3.nano"])
	}
	e.plan(t, faults.Plan{Errors: []faults.Refusal{{Action: "GetProducts", Code: "AccessDeniedException"}}})
	_, err = e.OnDemandPrices(t.Context())
	wantKind(t, err, cloud.KindUnauthorized, "pricing:GetProducts", "AccessDeniedException")
}

// TestDedicatedPrices: each type costs more than with shared tenancy.
func TestDedicatedPrices(t *testing.T) {
	e := newEmulator(t)
	shared, err := e.OnDemandPrices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.DedicatedPrices(t.Context())
	if err != nil || len(got) != len(shared) {
		t.Fatalf("%d prices, with shared tenancy %d; %v", len(got), len(shared), err)
	}
	for name, price := range got {
		if price <= shared[name] {
			t.Errorf("%s costs %v, with shared tenancy %v", name, price, shared[name])
		}
	}
}

// TestBareMetalPrices: of the two tenancies the one that is asked for, else the
// other; what shares its hardware has only that which is asked for.
func TestBareMetalPrices(t *testing.T) {
	const entry = `{"product":{"attributes":{"instanceType":"%s"}},"terms":{"OnDemand":{"A":{"priceDimensions":{"A":{"unit":"Hrs","pricePerUnit":{"USD":"%s"}}}}}}}`
	lists := map[string][]string{
		"Compute Instance Shared":                 {fmt.Sprintf(entry, "m5.large", "0.1")},
		"Compute Instance Dedicated":              {fmt.Sprintf(entry, "m5.large", "0.2"), fmt.Sprintf(entry, "m6.large", "0.3")},
		"Compute Instance (bare metal) Shared":    {fmt.Sprintf(entry, "m5.metal", "4"), fmt.Sprintf(entry, "m6.metal", "6")},
		"Compute Instance (bare metal) Dedicated": {fmt.Sprintf(entry, "m5.metal", "5"), fmt.Sprintf(entry, "m7.metal", "7")},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Filters []struct{ Field, Value string }
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		fields := map[string]string{}
		for _, f := range in.Filters {
			fields[f.Field] = f.Value
		}
		if err := json.NewEncoder(w).Encode(map[string][]string{"PriceList": lists[fields["productFamily"]+" "+fields["tenancy"]]}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	c := newClient(t, server.URL, Options{Region: "us-east-1", Limits: Unlimited()})
	for name, test := range map[string]struct {
		ask  func(context.Context) (map[string]float64, error)
		want map[string]float64
	}{
		"shared":    {c.OnDemandPrices, map[string]float64{"m5.large": 0.1, "m5.metal": 4, "m6.metal": 6, "m7.metal": 7}},
		"dedicated": {c.DedicatedPrices, map[string]float64{"m5.large": 0.2, "m6.large": 0.3, "m5.metal": 5, "m6.metal": 6, "m7.metal": 7}},
	} {
		got, err := test.ask(t.Context())
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestNoPricesAtAll(t *testing.T) {
	c, _ := replying(t, http.StatusOK, `{"PriceList":[]}`)
	if got, err := c.OnDemandPrices(t.Context()); err == nil || !strings.Contains(err.Error(), "us-east-1") {
		t.Errorf("%v, %v", got, err)
	}
	c, _ = replying(t, http.StatusOK, `{"PriceList":["{"]}`)
	if got, err := c.OnDemandPrices(t.Context()); err == nil || !strings.Contains(err.Error(), "reading the price list") {
		t.Errorf("%v, %v", got, err)
	}
}

func TestPriceOfAnEntry(t *testing.T) {
	const head, tail = `{"product":{"attributes":{"instanceType":"m5.large"}},"terms":{"OnDemand":{"A.B":{"priceDimensions":{`, `}}}}}`
	for name, test := range map[string]struct {
		entry string
		want  map[string]float64
		wrong bool
	}{
		"a price":             {head + `"A.B.C":{"unit":"Hrs","pricePerUnit":{"USD":"0.0960000000"}}` + tail, map[string]float64{"m5.large": 0.096}, false},
		"the highest":         {head + `"1":{"unit":"Hrs","pricePerUnit":{"USD":"0.1"}},"2":{"unit":"Hrs","pricePerUnit":{"USD":"0.2"}}` + tail, map[string]float64{"m5.large": 0.2}, false},
		"another currency":    {head + `"A.B.C":{"unit":"Hrs","pricePerUnit":{"CNY":"0.6"}}` + tail, nil, false},
		"both currencies":     {head + `"A.B.C":{"unit":"Hrs","pricePerUnit":{"CNY":"0.6","USD":"0.1"}}` + tail, map[string]float64{"m5.large": 0.1}, false},
		"another unit":        {head + `"A.B.C":{"unit":"Quantity","pricePerUnit":{"USD":"0.6"}}` + tail, nil, false},
		"nothing":             {head + `"A.B.C":{"unit":"Hrs","pricePerUnit":{"USD":"0.0000000000"}}` + tail, nil, false},
		"no number":           {head + `"A.B.C":{"unit":"Hrs","pricePerUnit":{"USD":"dear"}}` + tail, nil, false},
		"without end":         {head + `"A.B.C":{"unit":"Hrs","pricePerUnit":{"USD":"+Inf"}}` + tail, nil, false},
		"no price":            {head + `"A.B.C":{"unit":"Hrs"}` + tail, nil, false},
		"no terms":            {`{"product":{"attributes":{"instanceType":"m5.large"}}}`, nil, false},
		"reserved only":       {`{"product":{"attributes":{"instanceType":"m5.large"}},"terms":{"Reserved":{}}}`, nil, false},
		"no type":             {strings.Replace(head, "instanceType", "usagetype", 1) + `"A.B.C":{"unit":"Hrs","pricePerUnit":{"USD":"1"}}` + tail, nil, false},
		"nothing of the kind": {`{}`, nil, false},
		"not an object":       {`[]`, nil, true},
		"cut":                 {head, nil, true},
	} {
		got := map[string]float64{}
		if err := addPrice(got, test.entry); (err != nil) != test.wrong {
			t.Errorf("%s: %v", name, err)
		}
		if len(got)+len(test.want) > 0 && !cmp.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func FuzzAddPrice(f *testing.F) {
	f.Add(`{"product":{"attributes":{"instanceType":"m5.large"}},"terms":{"OnDemand":{"A":{"priceDimensions":{"B":{"unit":"Hrs","pricePerUnit":{"USD":"0.096"}}}}}}}`)
	f.Fuzz(func(t *testing.T, entry string) {
		prices := map[string]float64{}
		err := addPrice(prices, entry)
		for name, price := range prices {
			if err != nil || name == "" || !(price > 0) || math.IsInf(price, 0) {
				t.Errorf("%q costs %v, %v", name, price, err)
			}
		}
	})
}

// Of several prices of an offering the newest counts.
func TestTheNewestSpotPriceCounts(t *testing.T) {
	item := func(zone, price, when string) string {
		return `<item><instanceType>m5.large</instanceType><productDescription>Linux/UNIX</productDescription><spotPrice>` + price +
			`</spotPrice><timestamp>` + when + `</timestamp><availabilityZone>` + zone + `</availabilityZone></item>`
	}
	c, _ := replying(t, http.StatusOK, `<DescribeSpotPriceHistoryResponse><spotPriceHistorySet>`+
		item("a", "0.030000", "2026-11-20T08:00:00.000Z")+item("a", "0.040000", "2026-11-20T10:00:00.000Z")+item("a", "0.050000", "2026-11-20T09:00:00.000Z")+
		item("b", "0.060000", "2026-11-20T08:00:00.000Z")+item("c", "", "2026-11-20T08:00:00.000Z")+item("d", "0", "2026-11-20T08:00:00.000Z")+
		`</spotPriceHistorySet></DescribeSpotPriceHistoryResponse>`)
	got, err := c.SpotPrices(t.Context())
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, p := range got {
		if want := map[string]float64{"a": 0.04, "b": 0.06}[p.Zone]; p.PerHour != want || p.InstanceType != "m5.large" {
			t.Errorf("%+v, want %v", p, want)
		}
	}
}

func TestSpotPrices(t *testing.T) {
	e := newEmulator(t)
	e.pageSize = 100
	got, err := e.SpotPrices(t.Context())
	if err != nil || len(got) < 10 || len(e.calls("DescribeSpotPriceHistory")) < 2 {
		t.Fatalf("%d prices by %d calls, %v", len(got), len(e.calls("DescribeSpotPriceHistory")), err)
	}
	seen := map[string]bool{}
	for _, p := range got {
		if place := p.InstanceType + " " + p.Zone; seen[place] || p.PerHour <= 0 || p.Since.IsZero() {
			t.Errorf("%+v, seen before: %v", p, seen[place])
		} else {
			seen[place] = true
		}
	}
	e.plan(t, faults.Plan{Errors: []faults.Refusal{{Action: "DescribeSpotPriceHistory", Code: "UnauthorizedOperation"}}})
	_, err = e.SpotPrices(t.Context())
	wantKind(t, err, cloud.KindUnauthorized, "ec2:DescribeSpotPriceHistory")
}

func TestPricingRegions(t *testing.T) {
	for region, want := range map[string]string{
		"us-east-1": "us-east-1", "us-west-2": "us-east-1", "sa-east-1": "us-east-1", "ca-central-1": "us-east-1",
		"eu-west-1": "eu-central-1", "ap-northeast-1": "ap-south-1", "cn-north-1": "cn-northwest-1",
	} {
		if got := pricingRegion(region); got != want {
			t.Errorf("%s: %s, want %s", region, got, want)
		}
	}
}
