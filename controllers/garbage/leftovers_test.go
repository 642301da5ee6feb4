package garbage

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/world"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/launchmark"
	"kip.elotl.co/test/fixture"
)

// terminated waits until an instance is.
func (b *bench) terminated(instance cloud.Instance) {
	b.Helper()
	fixture.Eventually(b, instance.ID+" is terminated", func(context.Context) error {
		if i, ok := b.cloud.World.Instance(instance.ID); ok && i.State != world.Terminated {
			return fmt.Errorf("it is %s", i.State.Name)
		}
		return nil
	})
}

// remains launches an instance whose volume and interface stay when it ends, as
// an image may ask for, and ends it.
func (c *cluster) remains(cell types.UID, edit ...func(map[string]string)) {
	c.Helper()
	tags, keep := c.tagsOf(cell, 1), false
	for _, e := range edit {
		e(tags)
	}
	out, err := c.cloud.World.Launch(world.LaunchRequest{
		ClientToken: launchmark.Token(cell, 1), Min: 1, Max: 1, ImageID: image, InstanceType: "t3.nano", Market: world.OnDemand, OnShutdown: "terminate",
		SubnetID: subnetA, KeepInterface: true, Devices: []world.Device{{Name: "/dev/xvda", DeleteOnTermination: &keep}},
		Tags: tags, VolumeTags: tags, InterfaceTags: tags,
	})
	if err != nil {
		c.Fatal(err)
	}
	id := out.Instances[0].ID
	if err := c.cloud.Terminate(c.Context(), id); err != nil {
		c.Fatal(err)
	}
	c.terminated(cloud.Instance{ID: id})
}

// wantLeft says of how many instances a volume or an interface is left.
func (b *bench) wantLeft(volumes, interfaces int) {
	b.Helper()
	v, n := 0, 0
	for _, left := range b.cloud.World.Left() {
		v += len(left.Volumes)
		if left.InterfaceID != "" {
			n++
		}
	}
	if v != volumes || n != interfaces {
		b.Errorf("%d volumes and %d interfaces are left, want %d and %d", v, n, volumes, interfaces)
	}
}

// TestLeftoversGo: what an instance has left behind goes when its Cell has
// gone, with a security group of such tags; what another cluster's has stays.
func TestLeftoversGo(t *testing.T) {
	b := newBench(t)
	c, theirs := b.cluster("ours"), b.cluster("theirs")
	cell := c.cell("owner", v1beta1.CellStatus{})
	c.remains("gone")
	c.remains(cell.UID) // its Cell is there still
	theirs.remains("gone too")
	made, err := b.cloud.World.CreateGroup("left", "left", "", c.tagsOf("gone", 1))
	if err != nil {
		t.Fatal(err)
	}
	shared, err := b.cloud.World.CreateGroup("shared", "of somebody, for the cluster", "", c.tags)
	if err != nil {
		t.Fatal(err)
	}
	c.look()
	b.clock.Advance(DefaultMinAge - time.Minute)
	c.look()
	b.wantLeft(3, 3)
	b.clock.Advance(2 * time.Minute)
	c.look()
	b.wantLeft(2, 2)
	if _, there := b.cloud.World.Group(made.ID); there {
		t.Error("the group is there still")
	}
	if _, there := b.cloud.World.Group(shared.ID); !there {
		t.Error("a group without a Cell's UID is gone")
	}
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	c.bystander()
	c.collect()
	b.wantLeft(1, 1)
	for _, kind := range cloud.LeftoverKinds() {
		c.wantFigure("kip_garbage_found", string(kind), 0)
	}
}

// TestVolumeWithCopiedTags: it was not made when a cell was launched, so it may
// hold what somebody needs.
func TestVolumeWithCopiedTags(t *testing.T) {
	b := newBench(t)
	c := b.cluster("ours")
	c.bystander()
	c.remains("gone", func(tags map[string]string) {
		tags[launchmark.TagStarted] = strconv.FormatInt(time.Now().Add(-48*time.Hour).Unix(), 10)
	})
	c.collect()
	b.wantLeft(1, 0)
	c.wantEvents([]string{"GarbageKept", "volume vol-", "copied"}, []string{"GarbageRemoved", "interface eni-"})
}
