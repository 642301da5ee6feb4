package market

import (
	"net/netip"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"kip.elotl.co/hack/localaws/catalog"
)

func newMarket(t *testing.T) (*Market, *testclock.FakeClock) {
	t.Helper()
	c, err := catalog.New("us-east-1", netip.MustParsePrefix("10.9.0.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	k := testclock.NewFakeClock(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	return New(c, k), k
}

func TestFirstPrices(t *testing.T) {
	m, _ := newMarket(t)
	again, _ := newMarket(t)
	differ := 0
	for _, it := range m.catalog.Types {
		seen := map[float64]bool{}
		for _, z := range m.catalog.Zones {
			p, ok := m.Now(it.Name, z.Name)
			if want := m.catalog.Offered(it, z.Name) && !it.NoSpot; ok != want {
				t.Errorf("%s in %s is sold: %v, want %v", it.Name, z.Name, ok, want)
			}
			if !ok {
				continue
			}
			// The last of four decimals is rounded.
			if d := it.PricePerHour(); p < lowest*d-least || p > highest*d+least {
				t.Errorf("%s in %s costs %v, on demand %v", it.Name, z.Name, p, d)
			}
			if q, _ := again.Now(it.Name, z.Name); q != p {
				t.Errorf("%s in %s costs %v, then %v", it.Name, z.Name, p, q)
			}
			seen[p] = true
		}
		if len(seen) > 1 {
			differ++
		}
	}
	if differ < len(m.catalog.Types)*9/10 {
		t.Errorf("only %d types cost differently from zone to zone", differ)
	}
}

func TestChanges(t *testing.T) {
	m, k := newMarket(t)
	before, _ := m.Now("m5.large", "us-east-1a")
	other, _ := m.Now("m5.large", "us-east-1b")
	k.Step(time.Hour)
	if n, err := m.Set(Change{InstanceType: "m5.*", Zone: "us-east-1a", PerHour: 0.0123}); err != nil || n != 9 {
		t.Fatalf("%d changed, %v", n, err)
	}
	if p, _ := m.Now("m5.large", "us-east-1a"); p != 0.0123 {
		t.Errorf("now %v", p)
	}
	if p, _ := m.Now("m5.large", "us-east-1b"); p != other {
		t.Errorf("another zone: %v, want %v", p, other)
	}
	k.Step(time.Hour)
	if _, err := m.Set(Change{InstanceType: "m5.large", Percent: 50}); err != nil {
		t.Fatal(err)
	}
	it, _ := m.catalog.Type("m5.large")
	if p, _ := m.Now("m5.large", "us-east-1a"); p != rounded(it.PricePerHour()/2) {
		t.Errorf("half of %v is %v", it.PricePerHour(), p)
	}
	if _, err := m.Set(Change{InstanceType: "m5.large"}); err != nil {
		t.Fatal(err)
	}
	if p, _ := m.Now("m5.large", "us-east-1a"); p != before {
		t.Errorf("back to %v, want %v", p, before)
	}
}

func TestHistory(t *testing.T) {
	m, k := newMarket(t)
	start := k.Now()
	k.Step(time.Hour)
	if _, err := m.Set(Change{InstanceType: "m5.large", Zone: "us-east-1a", PerHour: 1}); err != nil {
		t.Fatal(err)
	}
	first := m.first(it(t, m), "us-east-1a").PerHour
	for _, tt := range []struct {
		name     string
		from, to time.Time
		want     []float64
	}{
		{"all", time.Time{}, time.Time{}, []float64{1, first}},
		{"in force now", k.Now(), time.Time{}, []float64{1}},
		{"in force before", start, start, []float64{first}},
		{"since before", start, time.Time{}, []float64{1, first}},
		{"before there were any", start.Add(-72 * time.Hour), start.Add(-71 * time.Hour), nil},
	} {
		var got []float64
		for _, p := range m.History(tt.from, tt.to) {
			if p.InstanceType == "m5.large" && p.Zone == "us-east-1a" {
				got = append(got, p.PerHour)
			}
		}
		if len(got) != len(tt.want) || len(got) > 0 && got[0] != tt.want[0] || len(got) > 1 && got[1] != tt.want[1] {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func it(t *testing.T, m *Market) catalog.InstanceType {
	t.Helper()
	out, ok := m.catalog.Type("m5.large")
	if !ok {
		t.Fatal("no m5.large")
	}
	return out
}

func TestSetRefuses(t *testing.T) {
	m, _ := newMarket(t)
	for name, c := range map[string]Change{
		"negative": {PerHour: -1}, "both": {PerHour: 1, Percent: 1}, "pattern": {InstanceType: "["},
		"unknown type": {InstanceType: "t9.huge"}, "never Spot": {InstanceType: "u-6tb1.metal"}, "unknown zone": {Zone: "us-east-1z"},
	} {
		if _, err := m.Set(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
