package cell

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/fixture"
)

// routesInCloud are by "table CIDR" the instances that routes lead to.
func (b *bench) routesInCloud() map[string]string {
	out := map[string]string{}
	for _, table := range b.cloud.Catalog.RouteTables {
		for _, r := range b.cloud.World.Routes(table.ID) {
			out[table.ID+" "+r.CIDR.String()] = r.InstanceID
		}
	}
	return out
}

func (b *bench) wantRoutesInCloud(want map[string]string) {
	b.Helper()
	fixture.Eventually(b, "the routes are in the cloud", func(context.Context) error {
		if diff := cmp.Diff(want, b.routesInCloud()); diff != "" {
			return fmt.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
}

// TestRoutesInTheCloud: subnetB has a table of its own. When the cloud ends the
// instance its routes lead nowhere, and go nevertheless.
func TestRoutesInTheCloud(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	to := func(id string) map[string]string {
		return map[string]string{mainTable + " 10.20.0.0/16": id, ownTable + " 10.20.0.0/16": id}
	}
	cell := b.ready(b.cell(withRoutes("10.20.0.0/16")))
	b.wantRoutesInCloud(to(cell.Status.InstanceID))
	if instance, _ := b.cloud.World.Instance(cell.Status.InstanceID); instance.SourceDestCheckOn {
		t.Error("the instance drops what is not for itself")
	}
	b.cloud.Kill(t, cell.Status.InstanceID)
	b.clock.Advance(2 * readyCheckEvery)
	b.poke(cell)
	b.wait(cell, "the attempt has ended", func(is *v1beta1.Cell) error {
		if is.Status.Attempts[0].EndTime == nil {
			return fmt.Errorf("status %+v", is.Status)
		}
		return nil
	})
	b.clock.Advance(refusedFirst)
	b.poke(cell)
	again := b.ready(cell)
	b.wantRoutesInCloud(to(again.Status.InstanceID))
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(t, b, cell)
	b.wantRoutesInCloud(map[string]string{})
}

// TestRouteOfAnotherCell: it stays the other's until that is gone.
func TestRouteOfAnotherCell(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	first := b.ready(b.cell(suffixed("-1"), withRoutes("10.20.0.0/16")))
	second := b.cell(suffixed("-2"), withRoutes("10.20.0.0/16"))
	b.unready(second, v1beta1.ReasonRouteConflict, "10.20.0.0/16", first.Status.InstanceID)
	if err := b.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(t, b, first)
	b.poke(second)
	id := b.ready(second).Status.InstanceID
	b.wantRoutesInCloud(map[string]string{mainTable + " 10.20.0.0/16": id, ownTable + " 10.20.0.0/16": id})
}

// TestInvalidRoute: what EC2 refuses is said, and not asked for again at once.
func TestInvalidRoute(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	vpc := b.cloud.Catalog.VPC.CIDR
	cell := b.cell(withRoutes(netip.PrefixFrom(vpc.Addr(), vpc.Bits()).String()))
	b.unready(cell, v1beta1.ReasonRouteConflict, vpc.String(), "local")
	calls := len(b.cloud.Calls("CreateRoute"))
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(t, b, cell)
	if n := len(b.cloud.Calls("CreateRoute")); n > calls+2 {
		t.Errorf("%d calls", n)
	}
}
