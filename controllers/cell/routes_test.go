package cell

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/test/fixture"
)

// routedCloud has two route tables: subnetA has its own, the others the main one.
type routedCloud struct {
	Cloud
	mu     sync.Mutex
	routes map[string]string // by "table CIDR" the target
	open   map[string]bool   // instances that may forward
	refuse error             // to end routes
}

const (
	ownTable  = "rtb-0000000c0ffee0031"
	mainTable = "rtb-0000000c0ffee0030"
)

func (b *bench) routed() *routedCloud {
	r := &routedCloud{Cloud: b.cloud, routes: map[string]string{mainTable + " 10.9.0.0/16": "igw-1"}, open: map[string]bool{}}
	b.wrap = func(o *Options) { r.Cloud = o.Cloud; o.Cloud = r }
	return r
}

func (r *routedCloud) RouteTables(_ context.Context, vpc string, subnets []string) ([]cloud.RouteTable, error) {
	if vpc == "" || len(subnets) != 3 {
		return nil, &cloud.Error{Kind: cloud.KindInvalid, Message: fmt.Sprintf("subnets %q of VPC %q", subnets, vpc)}
	}
	return []cloud.RouteTable{{ID: ownTable, VPCID: vpc}, {ID: mainTable, VPCID: vpc}}, nil
}

func (r *routedCloud) CreateRoute(_ context.Context, table string, cidr netip.Prefix, instance string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := table + " " + cidr.String()
	if target, taken := r.routes[key]; taken && target != instance {
		return &cloud.Error{Kind: cloud.KindConflict, Code: "RouteAlreadyExists", Action: "ec2:CreateRoute",
			Message: fmt.Sprintf("route table %s sends %s to %s already", table, cidr, target)}
	}
	r.routes[key] = instance
	return nil
}

func (r *routedCloud) DeleteRoute(_ context.Context, table string, cidr netip.Prefix, instance string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return r.refuse
	}
	if key := table + " " + cidr.String(); r.routes[key] == instance {
		delete(r.routes, key)
	}
	return nil
}

func (r *routedCloud) AllowForwarding(_ context.Context, instance string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[instance] = true
	return nil
}

func (r *routedCloud) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *routedCloud) table() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.routes)
}

func withRoutes(cidrs ...string) func(*v1beta1.Cell) {
	return func(c *v1beta1.Cell) { c.Spec.Routes = cidrs }
}

// theirs is the route that nobody may touch.
func theirs(more map[string]string) map[string]string {
	out := map[string]string{mainTable + " 10.9.0.0/16": "igw-1"}
	maps.Copy(out, more)
	return out
}

// TestRoutes: they lead to the cell from when it is Ready until it is gone, over
// a restart of the operator too.
func TestRoutes(t *testing.T) {
	b := newBench(t)
	aws := b.routed()
	b.start().readyClass()
	cell := b.ready(b.cell(withRoutes("10.20.0.0/16", "10.21.0.0/24")))
	id := cell.Status.InstanceID
	want := theirs(map[string]string{
		ownTable + " 10.20.0.0/16": id, ownTable + " 10.21.0.0/24": id, mainTable + " 10.20.0.0/16": id, mainTable + " 10.21.0.0/24": id,
	})
	if diff := cmp.Diff(want, aws.table()); diff != "" || !aws.open[id] {
		t.Errorf("forwarding %v; routes (-want +got):\n%s", aws.open, diff)
	}
	if n := len(cell.Status.Routes); n != 4 || cell.Status.Routes[0] != (v1beta1.CellRoute{RouteTableID: ownTable, CIDR: "10.20.0.0/16", InstanceID: id}) {
		t.Errorf("status %+v", cell.Status.Routes)
	}
	b.stop()
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	b.start()
	fixture.WaitGone(t, b, cell)
	if diff := cmp.Diff(theirs(nil), aws.table()); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

// TestRouteConflict: what is another's stays, and the cell is not Ready before
// it is gone.
func TestRouteConflict(t *testing.T) {
	b := newBench(t)
	aws := b.routed()
	b.start().readyClass()
	cell := b.cell(withRoutes("10.9.0.0/16"))
	b.unready(cell, v1beta1.ReasonRouteConflict, mainTable, "10.9.0.0/16", "igw-1")
	b.event(cell, v1beta1.ReasonRouteConflict)
	aws.set(func() { delete(aws.routes, mainTable+" 10.9.0.0/16") })
	b.poke(cell)
	is := b.ready(cell)
	aws.set(func() { aws.routes[mainTable+" 10.9.0.0/16"] = "igw-1" }) // somebody takes it back
	if err := b.Delete(t.Context(), is); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(t, b, cell)
	if diff := cmp.Diff(theirs(nil), aws.table()); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

// TestRoutesOfTheNextAttempt: they lead to the instance that is there.
func TestRoutesOfTheNextAttempt(t *testing.T) {
	b := newBench(t)
	aws := b.routed()
	b.start().readyClass()
	cell := b.ready(b.cell(withRoutes("10.20.0.0/16")))
	b.cloud.Kill(t, cell.Status.InstanceID)
	b.clock.Advance(2 * readyCheckEvery)
	b.poke(cell)
	b.wait(cell, "the attempt has ended", func(is *v1beta1.Cell) error {
		if is.Status.Attempts[0].EndTime == nil || len(is.Status.Routes) > 0 {
			return fmt.Errorf("status %+v", is.Status)
		}
		return nil
	})
	b.clock.Advance(refusedFirst)
	b.poke(cell)
	is := b.ready(cell)
	want := theirs(map[string]string{ownTable + " 10.20.0.0/16": is.Status.InstanceID, mainTable + " 10.20.0.0/16": is.Status.InstanceID})
	if diff := cmp.Diff(want, aws.table()); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

// TestRoutesCannotBeEnded: the instance ends nevertheless, the Cell stays until
// the routes are gone, and says why.
func TestRoutesCannotBeEnded(t *testing.T) {
	b := newBench(t)
	aws := b.routed()
	b.start().readyClass()
	cell := b.ready(b.cell(withRoutes("10.20.0.0/16")))
	aws.set(func() {
		aws.refuse = &cloud.Error{Kind: cloud.KindUnauthorized, Action: "ec2:DeleteRoute", Code: "UnauthorizedOperation"}
	})
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	b.unready(cell, v1beta1.ReasonNotAuthorized, ownTable, "10.20.0.0/16", "ec2:DeleteRoute")
	fixture.Eventually(t, "the instance ends", func(context.Context) error {
		if len(b.cloud.Live(cell)) > 0 {
			return errors.New("it lives")
		}
		return nil
	})
	aws.set(func() { aws.refuse = nil })
	fixture.WaitGone(t, b, cell)
	if diff := cmp.Diff(theirs(nil), aws.table()); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}
