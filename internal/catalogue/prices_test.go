package catalogue

import (
	"math"
	"strings"
	"testing"
	"time"

	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

func TestOverrides(t *testing.T) {
	asOf := time.Unix(2e9, 0)
	known := selection.Price{PerHour: 0.5, Source: selection.SourcePricingAPI, AsOf: time.Unix(1e9, 0)}
	for name, test := range map[string]struct {
		document string
		market   selection.Market
		from     selection.Price
		want     float64
		as       selection.PriceSource
	}{
		"none":                       {"", selection.OnDemand, known, 0.5, selection.SourcePricingAPI},
		"an empty list":              {"[]", selection.OnDemand, known, 0.5, selection.SourcePricingAPI},
		"absolute":                   {"- {instanceType: m5.large, pricePerHour: 0.07}", selection.Spot, known, 0.07, selection.SourceOverride},
		"nothing at all":             {"- {instanceType: m5.large, pricePerHour: 0}", selection.Spot, known, 0, selection.SourceOverride},
		"of one that nobody knows":   {"- {instanceType: m5.large, pricePerHour: 0.07}", selection.Spot, selection.Price{}, 0.07, selection.SourceOverride},
		"percent off":                {"- {instanceType: 'm*', percent: -20}", selection.OnDemand, known, 0.4, selection.SourceOverride},
		"percent more":               {"- {instanceType: '*', percent: 50}", selection.OnDemand, known, 0.75, selection.SourceOverride},
		"percent of what none knows": {"- {instanceType: '*', percent: 50}", selection.OnDemand, selection.Price{}, 0, ""},
		"another type":               {"- {instanceType: 'c5*', percent: 50}", selection.OnDemand, known, 0.5, selection.SourcePricingAPI},
		"another market":             {"- {instanceType: '*', launchType: Spot, percent: 50}", selection.OnDemand, known, 0.5, selection.SourcePricingAPI},
		"its market":                 {"- {instanceType: '*', launchType: Spot, percent: 50}", selection.Spot, known, 0.75, selection.SourceOverride},
		"the last that matches": {"- {instanceType: m5.large, percent: 50}\n- {instanceType: 'm*', percent: -50}\n- {instanceType: 'c*', percent: 10}",
			selection.OnDemand, known, 0.25, selection.SourceOverride},
	} {
		overrides, err := ParseOverrides([]byte(test.document), asOf)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := overrides.apply("m5.large", test.market, test.from)
		if math.Abs(got.PerHour-test.want) > 1e-9 || got.Source != test.as || got.Source == selection.SourceOverride && !got.AsOf.Equal(asOf) {
			t.Errorf("%s: %+v, want %v by %s", name, got, test.want, test.as)
		}
	}
}

func TestMalformedOverrides(t *testing.T) {
	const good = "- {instanceType: m5.large, percent: 1}\n"
	for document, want := range map[string][]string{
		"{instanceType: m5.large}": {"not a YAML list"},
		"prices":                   {"not a YAML list"},
		"- - -\n\t:":               {"not a YAML list"},
		good + "- {}":              {"entry 2", "instanceType"},
		good + "-":                 {"entry 2", "instanceType"},
		good + "- m5.large":        {"entry 2", "must be a map", "is a string"},
		good + "- {instanceType: 'M5 large', percent: 1}":                   {"entry 2", "instanceType", `"M5 large"`, "m5.large"},
		good + "- {instanceType: 'm5.[a-z]*', percent: 1}":                  {"entry 2", "instanceType"},
		good + "- {instanceType: 5, percent: 1}":                            {"entry 2", "instanceType", "must be a string"},
		"- {instanceType: x, launchType: spot, percent: 1}":                 {"entry 1", "launchType", `"spot"`, "On-demand", "Spot"},
		"- {instanceType: x}":                                               {"entry 1", "pricePerHour", "percent", "required"},
		"- {instanceType: x, percent: 1, pricePerHour: 1}":                  {"entry 1", "one of"},
		"- {instanceType: x, pricePerHour: -0.1}":                           {"entry 1", "pricePerHour", "-0.1"},
		"- {instanceType: x, pricePerHour: 1e30}":                           {"entry 1", "pricePerHour", "1e+30"},
		"- {instanceType: x, pricePerHour: cheap}":                          {"entry 1", "pricePerHour", "must be a number"},
		"- {instanceType: x, percent: -100}":                                {"entry 1", "percent", "-100"},
		"- {instanceType: x, percent: 20%}":                                 {"entry 1", "percent", "must be a number"},
		"- {instanceType: x, percent: 1, zone: a}":                          {"entry 1", "zone"},
		"- {instanceType: x}\n" + good + "- {instanceType: '', percent: 1}": {"entry 1", "entry 3"},
	} {
		overrides, err := ParseOverrides([]byte(document), time.Time{})
		if err == nil {
			t.Errorf("%q is taken as %+v", document, overrides)
			continue
		}
		for _, text := range want {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%q: %v: lacks %q", document, err, text)
			}
		}
	}
}

func FuzzParseOverrides(f *testing.F) {
	f.Add("- {instanceType: m5.large, pricePerHour: 0.07}\n- {instanceType: 'm*', launchType: Spot, percent: -20}")
	f.Add("- {instanceType: m5.large, pricePerHour: .nan}")
	f.Add("[[]]")
	f.Fuzz(func(t *testing.T, document string) {
		overrides, err := ParseOverrides([]byte(document), time.Time{})
		if err != nil {
			return
		}
		known := selection.Price{PerHour: 0.5, Source: selection.SourceTable}
		for _, name := range []string{"m5.large", "c5.4xlarge"} {
			if got := overrides.apply(name, selection.Spot, known).PerHour; got < 0 || math.IsNaN(got) || got > maxPricePerHour {
				t.Errorf("%s costs %v", name, got)
			}
		}
	})
}

func TestBuiltInTable(t *testing.T) {
	table, err := parseTable(tableText)
	if err != nil {
		t.Fatal(err)
	}
	if table.region != "us-east-1" || table.date.Year() < 2026 || len(table.perHour) < 1000 {
		t.Errorf("%s of %s with %d prices", table.region, table.date, len(table.perHour))
	}
	for name, want := range map[string]float64{"m5.large": 0.096, "t3.nano": 0.0052, "c5.4xlarge": 0.68} {
		if got := table.perHour[name]; got != want {
			t.Errorf("%s costs %v, want %v", name, got, want)
		}
	}
}

func TestMalformedTable(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "line 1",
		"us-east-1":                            "line 1",
		"us-east-1 yesterday":                  "line 1",
		"us-east-1 2026-01-01\nm5.large":       "line 2",
		"us-east-1 2026-01-01\na 1\nb x":       "line 3",
		"us-east-1 2026-01-01\na NaN":          "line 2",
		"us-east-1 2026-01-01\na +Inf":         "line 2",
		"us-east-1 2026-01-01\na -1":           "line 2",
		"us-east-1 2026-01-01\na 0":            "line 2",
		"us-east-1 2026-01-01\na 1\na 2":       "line 3",
		"us-east-1 2026-01-01\na 1\n\nb 2":     "line 3",
		"us-east-1 2026-01-01\n 1\nb 2":        "line 2",
		"us-east-1 2026-01-01\nm5.large 1 USD": "line 2",
	} {
		if _, err := parseTable(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add("us-east-1 2026-01-01\nm5.large 0.096\n")
	f.Add(tableText[:200])
	f.Fuzz(func(t *testing.T, text string) {
		table, err := parseTable(text)
		if err != nil {
			return
		}
		for name := range table.perHour {
			if price := table.price("eu-west-1", name); !(price.PerHour > 0) || math.IsInf(price.PerHour, 0) || price.Source == "" {
				t.Errorf("%q costs %+v", name, price)
			}
		}
	})
}

func TestVolumePrices(t *testing.T) {
	for name, test := range map[string]struct {
		volume   cloud.Volume
		region   string
		perMonth float64
	}{
		"default":                {cloud.Volume{GiB: 10}, "us-east-1", 0.80},
		"gp3":                    {cloud.Volume{GiB: 100, Type: "gp3", IOPS: 3000, Throughput: 125}, "us-east-1", 8},
		"gp3, faster":            {cloud.Volume{GiB: 100, Type: "gp3", IOPS: 4000, Throughput: 225}, "us-east-1", 8 + 5 + 4},
		"gp2":                    {cloud.Volume{GiB: 100, Type: "gp2"}, "us-east-1", 10},
		"io1":                    {cloud.Volume{GiB: 100, Type: "io1", IOPS: 40_000}, "us-east-1", 12.5 + 2600},
		"io2":                    {cloud.Volume{GiB: 100, Type: "io2", IOPS: 1000}, "us-east-1", 12.5 + 65},
		"io2, the second tier":   {cloud.Volume{GiB: 100, Type: "io2", IOPS: 42_000}, "us-east-1", 12.5 + 2080 + 460},
		"io2, the third tier":    {cloud.Volume{GiB: 100, Type: "io2", IOPS: 65_000}, "us-east-1", 12.5 + 2080 + 1472 + 32},
		"in a region that is so": {cloud.Volume{GiB: 10}, "sa-east-1", 0.80 * 1.59},
	} {
		if got := VolumePerHour(test.region, test.volume) * 730; math.Abs(got-test.perMonth) > 1e-9 {
			t.Errorf("%s: %v a month, want %v", name, got, test.perMonth)
		}
	}
	if got := PublicIPv4PerHour(); got != 0.005 {
		t.Errorf("a public address costs %v", got)
	}
}

// The baselines of AWS's table, in percent of one vCPU for each vCPU.
func TestBurstBaselines(t *testing.T) {
	for name, is := range map[string]struct {
		vcpus   int64
		percent float64
	}{
		"t2.nano": {1, 5}, "t2.micro": {1, 10}, "t2.small": {1, 20}, "t2.medium": {2, 20}, "t2.large": {2, 30}, "t2.xlarge": {4, 22.5}, "t2.2xlarge": {8, 16.875},
		"t3.nano": {2, 5}, "t3.micro": {2, 10}, "t3.small": {2, 20}, "t3.medium": {2, 20}, "t3.large": {2, 30}, "t3.xlarge": {4, 40}, "t3.2xlarge": {8, 40},
		"t3a.nano": {2, 5}, "t3a.micro": {2, 10}, "t3a.small": {2, 20}, "t3a.medium": {2, 20}, "t3a.large": {2, 30}, "t3a.xlarge": {4, 40}, "t3a.2xlarge": {8, 40},
		"t4g.nano": {2, 5}, "t4g.micro": {2, 10}, "t4g.small": {2, 20}, "t4g.medium": {2, 20}, "t4g.large": {2, 30}, "t4g.xlarge": {4, 40}, "t4g.2xlarge": {8, 40},
		"t9.24xlarge": {96, 0},
	} {
		got := burstOf(name, is.vcpus*1000)
		if want := int64(float64(is.vcpus) * 10 * is.percent); got.BaselineMilliCPU != want {
			t.Errorf("%s: a baseline of %dm, want %dm", name, got.BaselineMilliCPU, want)
		}
		want := 0.05
		if strings.HasPrefix(name, "t4g.") {
			want = 0.04
		}
		if got.SurplusPerVCPUHour != want {
			t.Errorf("%s: %v for each vCPU-hour above, want %v", name, got.SurplusPerVCPUHour, want)
		}
	}
}
