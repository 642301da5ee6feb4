package selection_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
	"kip.elotl.co/test/ec2types"
)

const asksPerClass = 20

// TestSelectIsExhaustive holds Select against a search through everything, over
// EC2's types.
func TestSelectIsExhaustive(t *testing.T) {
	compareAll(t, 500, func(seed uint64) ec2types.Catalogue { return ec2types.Real(t, seed) })
}

// TestSelectIsExhaustiveGenerated is the same over made-up types, so few that
// often just one or none will do.
func TestSelectIsExhaustiveGenerated(t *testing.T) {
	compareAll(t, 500, func(seed uint64) ec2types.Catalogue { return ec2types.Generated(seed, 60) })
}

// compareAll looks at asksPerClass asks of each of many classes. A case is told
// by its seed.
func compareAll(t *testing.T, classes int, catalogue func(seed uint64) ec2types.Catalogue) {
	const catalogues = 5
	var made []ec2types.Catalogue
	for seed := range uint64(catalogues) {
		made = append(made, catalogue(seed))
	}
	found := make([]int, catalogues)
	t.Run("catalogues", func(t *testing.T) {
		for number, c := range made {
			seed := uint64(number)
			index := selection.NewIndex(c.Types, c.Listings)
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				t.Parallel()
				r := newRandom(c, seed)
				for range classes / catalogues {
					found[number] += compareClass(t, r, index)
				}
			})
		}
	})
	total := 0
	for _, n := range found {
		total += n
	}
	asked := classes * asksPerClass
	t.Logf("%d asks, something is found for %d", asked, total)
	if !t.Failed() && (total < asked/10 || total > asked*9/10) {
		t.Errorf("something is found for %d of %d asks: the cases do not tell much", total, asked)
	}
}

func compareClass(t *testing.T, r random, index *selection.Index) (found int) {
	class := r.class()
	w := r.world(class)
	rules := selection.NewRules(index, class)
	search := newExhaustive(r.catalogue, class, w)
	for range asksPerClass {
		ask, n := r.ask(), 1+r.IntN(5)
		want, got := search.best(ask, n), selection.Select(rules, &ask, w, n)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateApprox(0, slack)); diff != "" {
			t.Fatalf("class %+v\nworld %+v\nask %+v\nn %d\n-exhaustive +Select:\n%s", class, w, ask, n, diff)
		}
		if problem := invariants(got, ask, n); problem != "" {
			t.Fatalf("class %+v\nworld %+v\nask %+v\nn %d: %s: %+v", class, w, ask, n, problem, got)
		}
		if len(got) > 0 {
			found++
			continue
		}
		checkNearest(t, rules, search, ask)
	}
	return found
}

// invariants hold of every answer, whatever is asked.
func invariants(got []selection.Offering, ask selection.Ask, n int) string {
	if len(got) > n {
		return "too many"
	}
	for i := 1; i < len(got); i++ {
		before, after := got[i-1], got[i]
		spotFirst := ask.LaunchType == v1beta1.LaunchSpotPreferred && before.Market == selection.Spot && after.Market == selection.OnDemand
		switch {
		case before.Market != after.Market && !spotFirst:
			return "the markets are out of order"
		case before.Market == after.Market && after.Price.Source != "" && before.PerHour > after.PerHour:
			return "the prices are out of order"
		}
	}
	return ""
}

// checkNearest: there is a sentence, and it is a matter of capacity just when
// something does in a world without lack.
func checkNearest(t *testing.T, rules *selection.Rules, search exhaustive, ask selection.Ask) {
	t.Helper()
	step, sentence := selection.Nearest(rules, &ask, search.world)
	would, beyond := search.dry(ask)
	if (step == selection.StepCapacity) != (len(would) > 0) || len(sentence) < 10 || strings.Contains(sentence, "%!") {
		t.Fatalf("class %+v\nworld %+v\nask %+v\nNearest says %s: %q, and with capacity %d offerings do", search.class, search.world, ask, step, sentence, len(would))
	}
	if len(would) == 0 {
		checkLifted(t, search, ask, step)
		return
	}
	count := fmt.Sprintf("none of %d offerings that would do has", len(would))
	if len(would) == 1 {
		count = "the only offering that would do, "
	}
	least := pick(would, 1)[0]
	named := fmt.Sprintf("%s in %s as %s", least.InstanceType, least.Zone, least.Market.LaunchType())
	if !strings.Contains(sentence, count) || !strings.Contains(sentence, named) || strings.Contains(sentence, "maxPriceFactor") != beyond {
		t.Fatalf("class %+v\nworld %+v\nask %+v\nNearest says %q, wants %q, %q, and dearer ones: %t", search.class, search.world, ask, sentence, count, named, beyond)
	}
}

// checkLifted: where something would do but for its architecture or for the size
// of the volume, it is one of these that is told.
func checkLifted(t *testing.T, search exhaustive, ask selection.Ask, step selection.Step) {
	t.Helper()
	growing, either := ask, search
	growing.VolumeGiB, either.class.DefaultArchitecture = 0, 0
	unlimited, _ := search.dry(growing)
	unnamed, _ := either.dry(ask)
	if told := step == selection.StepImage || step == selection.StepArchitecture; !told && len(unlimited)+len(unnamed) > 0 {
		t.Fatalf("class %+v\nask %+v\nNearest says %s, of another size %d offerings do, of either architecture %d", search.class, ask, step, len(unlimited), len(unnamed))
	}
}

// checkSteps: a type is turned down for its price or for want of capacity just
// as the search through everything has it.
func checkSteps(t *testing.T, search exhaustive, ask selection.Ask, rejections []selection.Rejection) {
	t.Helper()
	would := map[string]bool{}
	for _, f := range search.wouldDo(ask) {
		would[f.InstanceType] = true
	}
	for _, r := range rejections {
		if (r.Step == selection.StepCapacity) != would[r.Type] {
			t.Fatalf("class %+v\nworld %+v\nask %+v\n%s is turned down at %s (%s), with capacity it would do: %t", search.class, search.world, ask, r.Type, r.Step, r.Reason, would[r.Type])
		}
	}
}

// TestExplainIsWhole: all offerings that do, and a reason for every other type.
func TestExplainIsWhole(t *testing.T) {
	c := ec2types.Generated(7, 150)
	index := selection.NewIndex(c.Types, c.Listings)
	r := newRandom(c, 7)
	for range 100 {
		class, ask := r.class(), r.ask()
		w := r.world(class)
		search := newExhaustive(c, class, w)
		want := search.best(ask, len(c.Listings))
		got := selection.Explain(selection.NewRules(index, class), &ask, w)
		if diff := cmp.Diff(want, got.Candidates, cmpopts.EquateEmpty(), cmpopts.EquateApprox(0, slack)); diff != "" {
			t.Fatalf("class %+v\nworld %+v\nask %+v\n-exhaustive +Explain:\n%s", class, w, ask, diff)
		}
		checkSteps(t, search, ask, got.Rejections)
		seen := map[string]int{}
		for _, o := range got.Candidates {
			seen[o.InstanceType] = 1
		}
		for _, rejection := range got.Rejections {
			seen[rejection.Type]++
			if rejection.Step == "" || rejection.Reason == "" {
				t.Fatalf("class %+v\nworld %+v\nask %+v\nno reason: %+v", class, w, ask, rejection)
			}
		}
		for _, kind := range c.Types {
			if seen[kind.Name] != 1 {
				t.Fatalf("class %+v\nworld %+v\nask %+v\n%s is chosen or turned down %d times", class, w, ask, kind.Name, seen[kind.Name])
			}
		}
	}
}
