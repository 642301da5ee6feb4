package selection_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
	"kip.elotl.co/test/ec2types"
)

// region is a catalogue of EC2's size: its own types where there is a file of
// them, else as many made-up ones.
func region(tb testing.TB) ec2types.Catalogue {
	if os.Getenv("KIP_EC2_TYPES") != "" {
		return ec2types.Real(tb, 1)
	}
	return ec2types.Generated(1, 1300)
}

// usual is a class with subnets and images for everything.
func usual(c ec2types.Catalogue) selection.Class {
	class := selection.Class{MaxFactor: 5, Images: []selection.Image{
		{ID: "ami-x", Architecture: selection.AMD64, Accelerator: v1beta1.AcceleratorNone, ENA: true},
		{ID: "ami-a", Architecture: selection.ARM64, Accelerator: v1beta1.AcceleratorNone, ENA: true},
	}}
	for _, zone := range c.Zones {
		class.Subnets = append(class.Subnets, selection.Subnet{ID: "subnet-" + zone, Zone: zone})
	}
	return class
}

type scenario struct {
	name  string
	ask   selection.Ask
	class func(*selection.Class)
	world world
}

// oneArchitecture is for who names none.
func oneArchitecture(c *selection.Class) { c.DefaultArchitecture = selection.AMD64 }

func scenarios(c ec2types.Catalogue) []scenario {
	var everyType []string
	for i := range 64 {
		everyType = append(everyType, c.Types[i*len(c.Types)/64].Name)
	}
	requirement := func(key string, op corev1.NodeSelectorOperator, values ...string) v1beta1.OfferingTerm {
		return v1beta1.OfferingTerm{Requirements: []v1beta1.OfferingRequirement{{Key: key, Operator: op, Values: values}}}
	}
	var manyTerms []v1beta1.OfferingTerm
	for range 16 {
		manyTerms = append(manyTerms, requirement(corev1.LabelInstanceTypeStable, corev1.NodeSelectorOpIn, everyType...))
	}
	small := selection.Ask{MilliCPU: 250, Memory: 256 << 20}
	with := func(edit func(*selection.Ask)) selection.Ask {
		ask := small
		edit(&ask)
		return ask
	}
	return []scenario{
		{name: "typical/small", ask: small},
		{name: "typical/medium", ask: selection.Ask{MilliCPU: 2000, Memory: 8 << 30}},
		{name: "typical/spot", ask: with(func(a *selection.Ask) { a.LaunchType = v1beta1.LaunchSpot })},
		{name: "typical/one-zone", ask: with(func(a *selection.Ask) {
			a.Terms = []v1beta1.OfferingTerm{requirement(corev1.LabelTopologyZone, corev1.NodeSelectorOpIn, c.Zones[2])}
		})},
		{name: "typical/by-name", ask: selection.Ask{Type: c.Types[700].Name}},
		{name: "typical/one-architecture", ask: small, class: oneArchitecture},
		{name: "worst/pattern-of-the-other-architecture", ask: with(func(a *selection.Ask) { a.Type = "*a*b*c*d*.*" }), class: oneArchitecture},
		{name: "worst/large", ask: selection.Ask{MilliCPU: 90_000, Memory: 350 << 30}},
		{name: "worst/gpus", ask: selection.Ask{MilliCPU: 8000, Memory: 32 << 30, GPUs: 4}},
		{name: "worst/nothing-fits", ask: selection.Ask{Memory: 1 << 50}},
		{name: "worst/spot-preferred-nothing-fits", ask: selection.Ask{Memory: 1 << 50, LaunchType: v1beta1.LaunchSpotPreferred}},
		{name: "worst/spot-preferred", ask: selection.Ask{MilliCPU: 30_000, Memory: 100 << 30, LaunchType: v1beta1.LaunchSpotPreferred}},
		{name: "worst/pattern-matches-none", ask: with(func(a *selection.Ask) { a.Type = "*a*b*c*d*.*" })},
		{name: "worst/affinity-matches-none", ask: with(func(a *selection.Ask) {
			a.Terms = []v1beta1.OfferingTerm{requirement(corev1.LabelTopologyZone, corev1.NodeSelectorOpIn, "elsewhere")}
		})},
		{name: "worst/affinity-1024-names", ask: with(func(a *selection.Ask) { a.Terms, a.Memory = manyTerms, 1<<50 })},
		{name: "worst/too-expensive", ask: small, class: func(c *selection.Class) { c.MaxPerHour = 0.0001 }},
		{name: "worst/all-dry", ask: small, world: world{dryPercent: 100}},
		{name: "worst/all-dry-without-factor", ask: small, world: world{dryPercent: 100}, class: func(c *selection.Class) { c.MaxFactor = 0 }},
	}
}

// BenchmarkSelect is one choice among EC2's offerings: about 1,300 types in six
// zones and two markets.
func BenchmarkSelect(b *testing.B) {
	c := region(b)
	index := selection.NewIndex(c.Types, c.Listings)
	for _, s := range scenarios(c) {
		class := usual(c)
		if s.class != nil {
			s.class(&class)
		}
		rules := selection.NewRules(index, class)
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				selection.Select(rules, &s.ask, s.world, 3)
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
		})
	}
}

// BenchmarkOnce is what is done less often than once for every cell.
func BenchmarkOnce(b *testing.B) {
	c := region(b)
	index := selection.NewIndex(c.Types, c.Listings)
	rules := selection.NewRules(index, usual(c))
	none := selection.Ask{Memory: 1 << 50}
	b.Run("index", func(b *testing.B) {
		for b.Loop() {
			selection.NewIndex(c.Types, c.Listings)
		}
	})
	b.Run("rules", func(b *testing.B) {
		for b.Loop() {
			selection.NewRules(index, usual(c))
		}
	})
	b.Run("nearest", func(b *testing.B) {
		for b.Loop() {
			selection.Nearest(rules, &none, world{})
		}
	})
	b.Run("explain", func(b *testing.B) {
		for b.Loop() {
			selection.Explain(rules, &selection.Ask{MilliCPU: 250, Memory: 256 << 20}, world{})
		}
	})
}

// TestSelectAllocatesLittle bounds what a choice leaves to the garbage collector.
func TestSelectAllocatesLittle(t *testing.T) {
	c := ec2types.Generated(1, 1300)
	index := selection.NewIndex(c.Types, c.Listings)
	for _, s := range scenarios(c) {
		if len(s.ask.Terms) > 1 {
			continue // each allocates a set or two
		}
		class := usual(c)
		if s.class != nil {
			s.class(&class)
		}
		rules := selection.NewRules(index, class)
		if n := testing.AllocsPerRun(20, func() { selection.Select(rules, &s.ask, s.world, 3) }); n > 8 {
			t.Errorf("%s: %v allocations, wants at most 8: %s", s.name, n, fmt.Sprintf("%+v", s.ask))
		}
	}
}
