package cell

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/test/fixture"
)

// TestClassComesLater: a Cell waits for its class, and goes on by itself.
func TestClassComesLater(t *testing.T) {
	b := newBench(t).start()
	cell := b.cell()
	is := b.unready(cell, v1beta1.ReasonClassNotFound, "spec.cellClassName", b.name)
	if is.Status.Phase != v1beta1.CellPending {
		t.Errorf("phase %s", is.Status.Phase)
	}
	b.event(cell, v1beta1.ReasonClassNotFound)
	b.class()
	b.wantOneLaunch(b.ready(cell))
}

// TestClassIsMended: what is wrong with the class is said of the Cell.
func TestClassIsMended(t *testing.T) {
	b := newBench(t).start()
	class := b.class(func(s *v1beta1.CellClassSpec) { s.AWS.Subnets = []string{subnetA, "subnet-0123456789abcdef0"} })
	cell := b.cell()
	b.unready(cell, v1beta1.ReasonSubnetNotFound, b.name, "spec.aws.subnets[1]", "subnet-0123456789abcdef0")
	if calls := b.cloud.Calls("RunInstances"); len(calls) > 0 {
		t.Errorf("launches %+v", calls)
	}
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.AWS.Subnets = []string{subnetB} })
	is := b.ready(cell)
	b.wantOneLaunch(is)
	if is.Status.Zone != "us-east-1b" {
		t.Errorf("zone %s", is.Status.Zone)
	}
}

func TestWrongInstanceType(t *testing.T) {
	b := newBench(t).start()
	class := b.class()
	own := b.cell(func(c *v1beta1.Cell) { c.Name += "-own"; c.Spec.InstanceType = "t9.huge" })
	b.unready(own, v1beta1.ReasonInvalidInstanceType, "spec.instanceType", "t9.huge")
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.DefaultInstanceType = "m0.none" })
	cell := b.cell()
	b.unready(cell, v1beta1.ReasonInvalidInstanceType, b.name, "spec.defaultInstanceType", "m0.none")
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.DefaultInstanceType = "t3.small" })
	if is := b.ready(cell); is.Status.InstanceType != "t3.small" {
		t.Errorf("type %s", is.Status.InstanceType)
	}
}

// TestTypeWithoutImage asks for an architecture for which the class has none.
func TestTypeWithoutImage(t *testing.T) {
	b := newBench(t).start()
	b.class(func(s *v1beta1.CellClassSpec) { s.BootImageSpec = v1beta1.BootImageSpec{ImageIDs: newest} })
	cell := b.cell(func(c *v1beta1.Cell) { c.Spec.InstanceType = "m7g.medium" })
	b.unready(cell, v1beta1.ReasonInvalidInstanceType, "spec.instanceType", "m7g.medium", "arm64", "no image")
}

func TestUserDataTooLarge(t *testing.T) {
	b := newBench(t).start()
	noise := make([]byte, 40_000)
	state := uint32(1)
	for i := range noise {
		state = state*1664525 + 1013904223
		noise[i] = 'a' + byte(state>>24)%26
	}
	class := b.class(func(s *v1beta1.CellClassSpec) { s.CloudInit = "#cloud-config\nhostname: " + string(noise) + "\n" })
	cell := b.cell()
	b.unready(cell, v1beta1.ReasonUserDataTooLarge, b.name, "spec.cloudInit", "16384")
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.CloudInit = "" })
	b.ready(cell)
}

func TestDryZoneIsPassedOver(t *testing.T) {
	b := newBench(t).start()
	b.cloud.Spoil(t, faults.Plan{Capacity: []faults.Dry{{InstanceType: "t3.nano", Zone: "us-east-1a"}}})
	b.class()
	first := b.ready(b.cell())
	b.wantOneLaunch(first)
	if first.Status.Zone != "us-east-1b" {
		t.Errorf("zone %s", first.Status.Zone)
	}
	if diff := cmp.Diff([]string{"InsufficientInstanceCapacity", ""}, attemptCodes(first)); diff != "" {
		t.Errorf("codes of the attempts (-want +got):\n%s", diff)
	}
	failed := first.Status.Attempts[0]
	if failed.SubnetID != subnetA || failed.Zone != "us-east-1a" || failed.EndTime == nil || failed.Message == "" {
		t.Errorf("first attempt %+v", failed)
	}
	// The next Cell does not ask for what is known to be dry, another type does.
	second := b.ready(b.cell(func(c *v1beta1.Cell) { c.Name += "-2" }))
	if len(second.Status.Attempts) != 1 || second.Status.Zone == "us-east-1a" {
		t.Errorf("attempts of the second %+v", second.Status.Attempts)
	}
	third := b.ready(b.cell(func(c *v1beta1.Cell) { c.Name += "-3"; c.Spec.InstanceType = "t3.micro" }))
	if third.Status.Zone != "us-east-1a" {
		t.Errorf("zone of the third %s", third.Status.Zone)
	}
}

func TestEverythingIsDry(t *testing.T) {
	b := newBench(t).start()
	b.cloud.Spoil(t, faults.Plan{Capacity: []faults.Dry{{}}})
	b.class()
	cell := b.cell()
	is := b.unready(cell, v1beta1.ReasonNoCapacity, "t3.nano", "last of 3 attempts", subnetC, "InsufficientInstanceCapacity")
	if codes := attemptCodes(is); len(codes) != 3 || slices.Contains(codes, "") {
		t.Errorf("codes of the attempts %q", codes)
	}
	for i, subnet := range []string{subnetA, subnetB, subnetC} {
		if is.Status.Attempts[i].SubnetID != subnet {
			t.Errorf("attempt %d was in %s", i+1, is.Status.Attempts[i].SubnetID)
		}
	}
	if is.Status.Phase != v1beta1.CellPending || is.Status.InstanceID != "" {
		t.Errorf("phase %s, instance %q", is.Status.Phase, is.Status.InstanceID)
	}
	b.event(cell, v1beta1.ReasonNoCapacity)
	b.cloud.Spoil(t, faults.Plan{})
	b.clock.Advance(catalogue.DryAtFirst + time.Second)
	b.poke(cell)
	b.wantOneLaunch(b.ready(cell))
}

func TestFullSubnetIsPassedOver(t *testing.T) {
	b := newBench(t).start()
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "RunInstances", Code: "InsufficientFreeAddressesInSubnet", Count: 1}}})
	b.class()
	is := b.ready(b.cell())
	if diff := cmp.Diff([]string{"InsufficientFreeAddressesInSubnet", ""}, attemptCodes(is)); diff != "" || is.Status.Zone != "us-east-1b" {
		t.Errorf("zone %s, codes of the attempts (-want +got):\n%s", is.Status.Zone, diff)
	}
}

// TestLostReply: the launch takes effect, its answer never comes.
func TestLostReply(t *testing.T) {
	b := newBench(t).start()
	b.cloud.Spoil(t, faults.Plan{LostReplies: []faults.Loss{{Action: "RunInstances", Count: 6}}})
	b.class()
	b.wantOneLaunch(b.ready(b.cell()))
	var created []string
	for _, call := range b.cloud.Calls("RunInstances") {
		created = append(created, call.Created...)
	}
	if len(created) != 1 {
		t.Errorf("launched %q", created)
	}
}

// TestNotAuthorized: a refused launch is repeated after a while, and at once
// when the class is changed.
func TestNotAuthorized(t *testing.T) {
	b := newBench(t).start()
	refuse := faults.Refusal{Action: "RunInstances", Code: "UnauthorizedOperation",
		Message: "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/kip is not authorized to perform: ec2:CreateTags on resource: *"}
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{refuse}})
	class := b.class()
	cell := b.cell()
	b.unready(cell, v1beta1.ReasonNotAuthorized, "ec2:CreateTags")
	b.event(cell, v1beta1.ReasonNotAuthorized)
	attempts := func(want int32) *v1beta1.Cell {
		t.Helper()
		return b.wait(cell, fmt.Sprintf("%d attempts have failed", want), func(is *v1beta1.Cell) error {
			if lastNumber(is) != want || openAttempt(is) != nil {
				return fmt.Errorf("attempts %+v", is.Status.Attempts)
			}
			return nil
		})
	}
	attempts(1)
	b.clock.Advance(refusedFirst - 5*time.Second)
	b.pokeAndWait(cell)
	attempts(1)
	b.clock.Advance(6 * time.Second)
	b.poke(cell)
	attempts(2)
	b.clock.Advance(refusedFirst + time.Second) // the second wait is twice as long
	b.pokeAndWait(cell)
	attempts(2)
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.AWS.Tags["team"] = "blue" })
	attempts(3)
	b.cloud.Spoil(t, faults.Plan{})
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.AWS.Tags["team"] = "green" })
	b.wantOneLaunch(b.ready(cell))
}

// pokeAndWait wakes the controller of a Cell, and waits until it has come to an
// end: another Cell that is made afterwards gets its condition.
func (b *bench) pokeAndWait(cell *v1beta1.Cell) {
	b.Helper()
	b.poke(cell)
	marker := b.cell(func(c *v1beta1.Cell) {
		c.Name = fmt.Sprintf("%s-marker-%d", b.name, time.Now().UnixNano())
		c.Spec.CellClassName = "none"
	})
	b.unready(marker, v1beta1.ReasonClassNotFound)
	if err := b.Delete(b.Context(), marker); err != nil {
		b.Fatal(err)
	}
	fixture.WaitGone(b, b, marker)
}

// TestCloudErrorsAreRetried: what may pass is tried again with the same attempt.
func TestCloudErrorsAreRetried(t *testing.T) {
	for code, reason := range map[string]string{"InternalError": v1beta1.ReasonCloudError, "RequestLimitExceeded": v1beta1.ReasonThrottled} {
		t.Run(code, func(t *testing.T) {
			b := newBench(t).start()
			b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "RunInstances", Code: code}}})
			b.class()
			cell := b.cell()
			if is := b.unready(cell, reason, code); strings.Contains(strings.ToLower(readyCondition(is).Message), "request id") {
				t.Errorf("message %q", readyCondition(is).Message)
			}
			b.cloud.Spoil(t, faults.Plan{})
			is := b.ready(cell)
			b.wantOneLaunch(is)
			if len(is.Status.Attempts) != 1 {
				t.Errorf("attempts %+v", is.Status.Attempts)
			}
		})
	}
}

// TestAttemptsAreBounded: only the last attempts are kept, and numbers go on.
func TestAttemptsAreBounded(t *testing.T) {
	b := newBench(t).start()
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "RunInstances", Code: "InvalidParameterValue", Count: keptAttempts + 2}}})
	class := b.class()
	cell := b.cell()
	for n := range int32(keptAttempts + 2) {
		b.wait(cell, fmt.Sprintf("attempt %d has failed", n+1), func(is *v1beta1.Cell) error {
			if lastNumber(is) != n+1 || openAttempt(is) != nil {
				return fmt.Errorf("attempts %+v", is.Status.Attempts)
			}
			return wantCondition(is, v1beta1.ConditionReady, metav1.ConditionFalse, v1beta1.ReasonLaunchFailed, "InvalidParameterValue")
		})
		edit(b, class, func(c *v1beta1.CellClass) { c.Spec.AWS.Tags["n"] = v1beta1.TagValue(fmt.Sprint(n)) })
	}
	is := b.ready(cell)
	if n := len(is.Status.Attempts); n != keptAttempts || is.Status.Attempts[n-1].Number != keptAttempts+3 {
		t.Errorf("attempts %+v", is.Status.Attempts)
	}
}

// TestBoundsOfBackOff looks at the waits that follow from attempts in status.
func TestBoundsOfBackOff(t *testing.T) {
	clock := &fixture.Clock{}
	c := &Controller{Options: Options{Clock: clock}}
	ended := func(age time.Duration) *metav1.Time { return &metav1.Time{Time: clock.Now().Add(-age)} }
	attempt := func(fingerprint string, end *metav1.Time) v1beta1.LaunchAttempt {
		return v1beta1.LaunchAttempt{Fingerprint: fingerprint, EndTime: end}
	}
	for name, test := range map[string]struct {
		attempts []v1beta1.LaunchAttempt
		want     time.Duration
	}{
		"none":             {nil, 0},
		"one":              {[]v1beta1.LaunchAttempt{attempt("a", ended(0))}, refusedFirst},
		"one, a while ago": {[]v1beta1.LaunchAttempt{attempt("a", ended(4*time.Second))}, refusedFirst - 4*time.Second},
		"long ago":         {[]v1beta1.LaunchAttempt{attempt("a", ended(time.Hour))}, 0},
		"three":            {[]v1beta1.LaunchAttempt{attempt("a", ended(0)), attempt("a", ended(0)), attempt("a", ended(0))}, 4 * refusedFirst},
		"of another":       {[]v1beta1.LaunchAttempt{attempt("b", ended(0))}, 0},
		"another between":  {[]v1beta1.LaunchAttempt{attempt("a", ended(0)), attempt("b", ended(0)), attempt("a", ended(0))}, refusedFirst},
		"many":             {slices.Repeat([]v1beta1.LaunchAttempt{attempt("a", ended(0))}, keptAttempts), refusedMost},
		"dry between":      {[]v1beta1.LaunchAttempt{attempt("a", ended(0)), attempt("", ended(0)), attempt("a", ended(0))}, 2 * refusedFirst},
		"dry":              {[]v1beta1.LaunchAttempt{attempt("", ended(0))}, 0},
		"open":             {[]v1beta1.LaunchAttempt{attempt("a", nil)}, 0},
	} {
		got := c.backOff(&v1beta1.Cell{Status: v1beta1.CellStatus{Attempts: test.attempts}}, "a")
		if got > test.want || got < test.want-time.Second {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
