package garbage

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/launchmark"
)

// TestForgottenInstanceGoes with its route and its parameters, after its time
// and not at the first look; the class tells of it.
func TestForgottenInstanceGoes(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours")
	c.bystander()
	class := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: v1beta1.CellClassSpec{
		DefaultInstanceType: "t3.nano", BootImageSpec: v1beta1.BootImageSpec{Owners: "self"}, AWS: v1beta1.AWSSpec{Subnets: []string{subnetA}},
	}}
	if err := b.Create(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Delete(context.Background(), class) })
	forgotten := c.launch("gone", 1)
	if err := b.cloud.CreateRoute(t.Context(), table, netip.MustParsePrefix("10.200.0.0/16"), forgotten.ID); err != nil {
		t.Fatal(err)
	}
	c.put("/kip/cells/" + forgotten.ID + "/config")
	c.look()
	c.look()
	b.wantLive(forgotten) // it is too young
	b.clock.Advance(DefaultMinAge + time.Minute)
	c.look()
	b.wantLive()
	b.wantParameters()
	if left := b.cloud.World.Routes(table); len(left) > 0 {
		t.Errorf("routes %v", left)
	}
	c.look()
	for _, kind := range []string{kindRoute, kindInstance, kindParameter} {
		c.wantFigure("kip_garbage_removed_total", kind, 1)
		c.wantFigure("kip_garbage_found", kind, 0)
	}
	c.wantEvents(
		[]string{"CellClass/none GarbageRemoved", "route 10.200.0.0/16 in " + table, forgotten.ID},
		[]string{"CellClass/none GarbageRemoved", "instance " + forgotten.ID, "no Cell with the UID gone"},
		[]string{"Namespace/default GarbageRemoved", "/kip/cells/" + forgotten.ID},
	)
}

// TestSeenOnce: an instance that is old enough when it is first seen is not
// ended at once.
func TestSeenOnce(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours")
	c.bystander()
	forgotten := c.launch("gone", 1)
	b.clock.Advance(DefaultMinAge + time.Minute)
	c.look()
	b.wantLive(forgotten)
	c.look()
	b.wantLive()
}

// TestWhoseInstance: what becomes of instances of which a Cell may know.
func TestWhoseInstance(t *testing.T) {
	ended := metav1.Now()
	attempt := func(number int32, end *metav1.Time) v1beta1.LaunchAttempt {
		return v1beta1.LaunchAttempt{Number: number, InstanceType: "t3.nano", SubnetID: subnetA, ImageID: image, StartTime: metav1.Now(), EndTime: end}
	}
	for name, test := range map[string]struct {
		attempts []v1beta1.LaunchAttempt
		launched int32 // the attempt that launched the instance
		named    bool  // by the status
		stays    bool
	}{
		"named":                                  {[]v1beta1.LaunchAttempt{attempt(1, nil)}, 1, true, true},
		"launched, and not yet written":          {[]v1beta1.LaunchAttempt{attempt(1, nil)}, 1, false, true},
		"status erased":                          {nil, 2, false, true},
		"status older than the launch":           {[]v1beta1.LaunchAttempt{attempt(1, &ended)}, 2, false, true},
		"given up":                               {[]v1beta1.LaunchAttempt{attempt(1, &ended), attempt(2, nil)}, 1, false, false},
		"given up, and not in status any more":   {[]v1beta1.LaunchAttempt{attempt(5, nil)}, 3, false, false},
		"named by a status without its attempts": {nil, 1, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c := b.cluster("ours")
			cell := c.cell("owner", v1beta1.CellStatus{})
			instance := c.launch(cell.UID, test.launched)
			status := v1beta1.CellStatus{Attempts: test.attempts}
			if test.named {
				status.InstanceID = instance.ID
			}
			c.setStatus(cell, status)
			c.collect()
			if test.stays {
				b.wantLive(instance)
				c.wantEvents()
			} else {
				b.wantLive()
				c.wantFigure("kip_garbage_removed_total", kindInstance, 1)
			}
		})
	}
}

// TestTwoInstancesOfOneCell: the one that its status names stays.
func TestTwoInstancesOfOneCell(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours")
	cell := c.cell("owner", v1beta1.CellStatus{})
	kept, other := c.launch(cell.UID, 1), c.launch(cell.UID, 2)
	c.setStatus(cell, v1beta1.CellStatus{InstanceID: kept.ID})
	c.collect()
	b.wantLive(kept)
	c.wantEvents([]string{"GarbageRemoved", other.ID, "Cell " + cell.Name + " has another, " + kept.ID})
}

// TestTwoCellsNameOneInstance, because somebody has edited a status: it is not
// ended, and neither is the one that the status named before.
func TestTwoCellsNameOneInstance(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours")
	first, second := c.cell("first", v1beta1.CellStatus{}), c.cell("second", v1beta1.CellStatus{})
	one, two := c.launch(first.UID, 1), c.launch(second.UID, 1)
	c.setStatus(first, v1beta1.CellStatus{InstanceID: one.ID})
	c.setStatus(second, v1beta1.CellStatus{InstanceID: one.ID})
	c.collect()
	b.wantLive(one, two)
	c.wantEvents([]string{"GarbageKept", two.ID, "Cell " + second.Name + " has another, " + one.ID, "is not that Cell's"})
	if err := b.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	c.collect()
	b.wantLive(one, two)
}

// TestForgedTags: what Kip has not launched is told of, and stays.
func TestForgedTags(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours")
	cell := c.cell("owner", v1beta1.CellStatus{})
	own := c.launch(cell.UID, 1)
	c.setStatus(cell, v1beta1.CellStatus{InstanceID: own.ID, Attempts: nil})
	ofNobody := c.foreign(c.tagsOf("no-such-cell", 1))
	ofCell := c.foreign(c.tagsOf(cell.UID, 1))
	ofCluster := c.foreign(c.tags) // without a Cell: no business of Kip's
	c.collect()
	b.wantLive(own, ofNobody, ofCell, ofCluster)
	c.wantEvents([]string{"GarbageKept", ofNobody.ID, "Kip has not launched it"}, []string{"GarbageKept", ofCell.ID, "Kip has not launched it"})
	c.wantFigure("kip_garbage_kept", kindInstance, 2)
	c.collect() // it is told once
	if n := len(c.events.events); n != 2 {
		t.Errorf("%d events", n)
	}
}

// TestCopiedTags: an instance launched by Kip to which somebody gives the tags
// of another Cell's attempt is still known by its token.
func TestCopiedTags(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours")
	c.bystander()
	forgotten := c.launch("gone", 3)
	if err := b.cloud.Tag(t.Context(), forgotten.ID, map[string]string{launchmark.TagAttempt: "1"}); err != nil {
		t.Fatal(err)
	}
	c.collect()
	b.wantLive()
}

// TestTwoClusters in one account end what is theirs alone, also where both
// were given the same ID.
func TestTwoClusters(t *testing.T) {
	uid := func(value string) func(*Options) {
		return func(o *Options) { o.Tags[v1beta1.TagClusterUID] = value }
	}
	for name, options := range map[string]struct {
		idA, idB string
		a, b     []func(*Options)
	}{
		"IDs of their own": {idA: "first", idB: "second"},
		"one ID for both":  {"shared", "shared", []func(*Options){uid("uid-1")}, []func(*Options){uid("uid-2")}},
		"one has a name":   {"uid-1", "shared", nil, []func(*Options){uid("uid-2")}},
	} {
		t.Run(name, func(t *testing.T) {
			account := newBench(t)
			a, b := account.cluster(options.idA, options.a...), account.cluster(options.idB, options.b...)
			a.bystander()
			cell := b.cell("owner", v1beta1.CellStatus{})
			forgottenA, forgottenB, owned := a.launch("gone-a", 1), b.launch("gone-b", 1), b.launch(cell.UID, 1)
			b.setStatus(cell, v1beta1.CellStatus{InstanceID: owned.ID})
			a.put("/kip/cells/i-1/config")
			b.put("/kip/cells/i-2/config")
			// Somebody has given what is the second's the name of the first one's Cell.
			mixed := b.foreign(a.tagsOf("gone-a", 1))
			a.collect()
			account.wantLive(forgottenB, owned, mixed)
			account.wantParameters("/kip/cells/i-2/config")
			b.collect()
			account.wantLive(owned, mixed)
			account.wantParameters()
			_ = forgottenA
		})
	}
}

// TestNoCells: an empty list is no proof that all is garbage.
func TestNoCells(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours")
	forgotten := c.launch("gone", 1)
	c.collect()
	b.wantLive(forgotten)
	c.wantEvents([]string{"Namespace/default GarbageKept", forgotten.ID, "there is no Cell at all", "kubectl kip uninstall --check"})
	c.wantFigure("kip_garbage_kept", kindInstance, 1)
	c.bystander()
	c.look()
	b.wantLive()
}

func TestReportOnly(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours", func(o *Options) { o.ReportOnly = true })
	c.bystander()
	forgotten := c.launch("gone", 1)
	c.put(orphan0)
	c.collect()
	b.wantLive(forgotten)
	b.wantParameters(orphan0)
	c.wantEvents([]string{"GarbageFound", forgotten.ID, "--garbage=report"}, []string{"GarbageFound", "i-orphan"})
	c.wantFigure("kip_garbage_removed_total", kindInstance, 0)
}

// TestAPIServerAway: nothing is ended, and what was seen before is forgotten.
func TestAPIServerAway(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours")
	c.bystander()
	forgotten := c.launch("gone", 1)
	b.clock.Advance(DefaultMinAge + time.Minute)
	c.look()
	c.err = errors.New("no route to the API server")
	if err := c.collector.look(t.Context()); !errors.Is(err, c.err) {
		t.Errorf("error %v", err)
	}
	c.err = nil
	c.look()
	b.wantLive(forgotten)
	c.look()
	b.wantLive()
}

// TestCloudRefuses: what cannot be ended is told of and tried again; what cannot
// be listed holds up nothing else.
func TestCloudRefuses(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours")
	c.bystander()
	forgotten := c.launch("gone", 1)
	c.put(orphan0)
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{
		{Action: "TerminateInstances", Code: "UnauthorizedOperation"}, {Action: "DescribeVolumes", Code: "UnauthorizedOperation"},
	}})
	b.clock.Advance(DefaultMinAge + time.Minute)
	for range 2 {
		if err := c.collector.look(t.Context()); cloud.MissingAction(err) == "" {
			t.Errorf("error %v", err)
		}
	}
	b.wantLive(forgotten)
	b.wantParameters()
	c.wantEvents([]string{"GarbageKept", forgotten.ID, "ec2:TerminateInstances"}, []string{"GarbageRemoved", "i-orphan"})
	b.cloud.Spoil(t, faults.Plan{})
	c.look()
	b.wantLive()
}

// TestRouteCannotBeEnded holds up no end of an instance, and is ended later,
// when the cloud does not say any more whose it was.
func TestRouteCannotBeEnded(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours")
	c.bystander()
	forgotten := c.launch("gone", 1)
	if err := b.cloud.CreateRoute(t.Context(), table, netip.MustParsePrefix("10.200.0.0/16"), forgotten.ID); err != nil {
		t.Fatal(err)
	}
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "DeleteRoute", Code: "UnauthorizedOperation"}}})
	b.clock.Advance(DefaultMinAge + time.Minute)
	c.look()
	if err := c.collector.look(t.Context()); cloud.MissingAction(err) != "ec2:DeleteRoute" {
		t.Errorf("error %v", err)
	}
	b.wantLive()
	b.cloud.Spoil(t, faults.Plan{})
	b.terminated(forgotten)
	c.look()
	if left := b.cloud.World.Routes(table); len(left) > 0 {
		t.Errorf("routes %v", left)
	}
	c.wantFigure("kip_garbage_removed_total", kindRoute, 1)
}
