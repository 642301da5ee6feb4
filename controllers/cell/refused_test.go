package cell

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/faults"
	spotmarket "kip.elotl.co/hack/localaws/market"
	"kip.elotl.co/internal/catalogue"
)

// notSupported is how EC2 refuses what a type does not take.
func notSupported(count int) faults.Plan {
	return faults.Plan{Errors: []faults.Refusal{{Action: "RunInstances", Code: "Unsupported", Count: count,
		Message: "The requested configuration is currently not supported. Please check the documentation for supported configurations."}}}
}

// TestNoTypeTakesTheConfiguration: some types are tried, each once; then all
// Cells of the class say that the class is wrong, and other classes get what
// they ask for. When the class is changed, its Cells go on at once.
func TestNoTypeTakesTheConfiguration(t *testing.T) {
	b := market(t, fivePrices, nil)
	b.cloud.Spoil(t, notSupported(0))
	cell := b.cell(needs("1", "1Gi"))
	said := []string{b.name, "spec.aws.tenancy", "spec.aws.rootVolume", "spec.bootImageSpec", "configuration is currently not supported"}
	is := b.unready(cell, v1beta1.ReasonLaunchFailed, said...)
	var tried []string
	for _, attempt := range is.Status.Attempts {
		if attempt.Code != "Unsupported" || slices.Contains(tried, attempt.InstanceType) {
			t.Errorf("attempt %+v", attempt)
		}
		tried = append(tried, attempt.InstanceType)
	}
	second := b.cell(suffixed("-2"), needs("1", "1Gi"))
	b.unready(second, v1beta1.ReasonLaunchFailed, said...)
	if calls := b.cloud.Calls("RunInstances"); len(tried) != 3 || len(calls) != 3 {
		t.Errorf("%d launches; tried %q", len(calls), tried)
	}
	b.cloud.Spoil(t, faults.Plan{})
	edit(b, &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: b.name}}, func(c *v1beta1.CellClass) { c.Spec.AWS.RootVolume.Type = "gp2" })
	for _, cell := range []*v1beta1.Cell{cell, second} {
		if is := b.ready(cell); is.Status.InstanceType != tried[0] {
			t.Errorf("%s, not the cheapest", is.Status.InstanceType)
		}
	}
}

// TestAnotherTypeTakesTheConfiguration: the Cell goes on to it, the next one
// does not ask the first again.
func TestAnotherTypeTakesTheConfiguration(t *testing.T) {
	b := market(t, fivePrices, nil)
	b.cloud.Spoil(t, notSupported(1))
	first := b.ready(b.cell(needs("1", "1Gi")))
	if codes := attemptCodes(first); !slices.Equal(codes, []string{"Unsupported", ""}) || first.Status.Attempts[0].InstanceType == first.Status.InstanceType {
		t.Errorf("%s after %q", first.Status.InstanceType, codes)
	}
	if second := b.ready(b.cell(suffixed("-2"), needs("1", "1Gi"))); len(second.Status.Attempts) != 1 || second.Status.InstanceType != first.Status.InstanceType {
		t.Errorf("attempts of the second %+v", second.Status.Attempts)
	}
}

// TestTheOnlyTypeRefuses: a Cell that may have just one type says so, too.
func TestTheOnlyTypeRefuses(t *testing.T) {
	b := newBench(t).start()
	b.cloud.Spoil(t, notSupported(0))
	b.class()
	b.unready(b.cell(), v1beta1.ReasonLaunchFailed, "t3.nano", "spec.aws.tenancy", "Unsupported")
	b.unready(b.cell(suffixed("-2")), v1beta1.ReasonLaunchFailed, "t3.nano", "spec.aws.tenancy", "Unsupported")
	if calls := b.cloud.Calls("RunInstances"); len(calls) != 1 {
		t.Errorf("%d launches", len(calls))
	}
	b.cloud.Spoil(t, faults.Plan{})
}

// TestFewEvents: a Cell that walks many dry offerings, again and again, makes
// one event of it and a series.
func TestFewEvents(t *testing.T) {
	b := market(t, fivePrices, nil)
	b.cloud.Spoil(t, faults.Plan{Capacity: []faults.Dry{{}}})
	cell := b.cell(needs("1", "1Gi"))
	b.unready(cell, v1beta1.ReasonNoCapacity, "last of 15 attempts")
	b.clock.Advance(catalogue.DryAtFirst + time.Second)
	b.poke(cell)
	b.unready(cell, v1beta1.ReasonNoCapacity, "last of 30 attempts")
	b.event(cell, v1beta1.ReasonNoCapacity)
	var warnings []eventsv1.Event
	list := &eventsv1.EventList{}
	if err := b.List(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	for _, event := range list.Items {
		if event.Regarding.UID == cell.UID && event.Type == "Warning" {
			warnings = append(warnings, event)
		}
	}
	if len(warnings) != 1 {
		t.Errorf("%d warnings: %+v", len(warnings), warnings)
	}
}

// TestSpotCostsNoMoreThanTheClassAllows, even where the price has risen since it
// was looked up; a class without a limit pays it.
func TestSpotCostsNoMoreThanTheClassAllows(t *testing.T) {
	b := market(t, nil, map[string]float64{"m5.large": 0.03}, func(s *v1beta1.CellClassSpec) { s.MaxPricePerHour = "0.05" })
	first := b.ready(b.cell(needs("1", "1Gi"), launchType(v1beta1.LaunchSpot)))
	volume, err := strconv.ParseFloat(first.Status.Price.Volume, 64)
	if err != nil {
		t.Fatal(err)
	}
	limit, err := strconv.ParseFloat(b.cloud.Instances(first)[0].MaxPrice, 64)
	if err != nil || volume <= 0 || limit > 0.05-volume+1e-4 || limit < 0.05-volume-1e-4 {
		t.Errorf("limit %v, %v, beside a volume for %v", limit, err, volume)
	}
	if asked := first.Status.Attempts[0].SpotMaxPrice; asked != b.cloud.Instances(first)[0].MaxPrice {
		t.Errorf("the attempt says %q", asked)
	}
	if _, err := b.cloud.World.Market.Set(spotmarket.Change{InstanceType: "m5.large", PerHour: 0.06}); err != nil {
		t.Fatal(err)
	}
	second := b.cell(suffixed("-2"), needs("1", "1Gi"), launchType(v1beta1.LaunchSpot))
	b.unready(second, v1beta1.ReasonNoCapacity, "SpotMaxPriceTooLow", "m5.large")
	if made := b.cloud.Instances(second); len(made) > 0 {
		t.Errorf("launched %+v", made)
	}
	edit(b, &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: b.name}}, func(c *v1beta1.CellClass) { c.Spec.MaxPricePerHour = "" })
	if made := b.cloud.Instances(b.ready(second)); made[0].MaxPrice != "" {
		t.Errorf("limit %q", made[0].MaxPrice)
	}
}

// TestLongAnswerIsTold: an event takes only the beginning of it.
func TestLongAnswerIsTold(t *testing.T) {
	b := newBench(t).start()
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "RunInstances", Code: "InvalidParameterValue", Message: strings.Repeat("so wrong ", 200)}}})
	b.class()
	cell := b.cell()
	b.unready(cell, v1beta1.ReasonLaunchFailed, "so wrong")
	b.event(cell, v1beta1.ReasonLaunchFailed)
	b.cloud.Spoil(t, faults.Plan{})
}
