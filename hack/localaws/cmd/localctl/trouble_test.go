package main

import (
	"testing"
	"time"

	"kip.elotl.co/hack/localaws/world"
)

// TestTrouble: each command changes what it is about, and leaves the rest.
func TestTrouble(t *testing.T) {
	f := newFixture(t)
	id := f.launch(t, world.Spot)
	f.run(t, "impair", id, "--system")
	f.run(t, "maintain", id, "--code", "system-reboot", "--in", "2h")
	f.run(t, "rebalance", id)
	f.run(t, "interrupt", id)
	i, _ := f.World.Instance(id)
	if told := i.Trouble; !told.SystemImpaired || told.InstanceImpaired || len(told.Maintenance) != 1 || told.Maintenance[0].Code != "system-reboot" ||
		told.Rebalance.IsZero() || told.Interruption.IsZero() {
		t.Errorf("trouble %+v", told)
	}
	f.run(t, "impair", id)
	if i, _ = f.World.Instance(id); i.Trouble.SystemImpaired || i.Trouble.Rebalance.IsZero() {
		t.Errorf("trouble %+v", i.Trouble)
	}
	f.run(t, "kill", id)
	if i, _ = f.World.Instance(id); i.StateReason != world.InternalError {
		t.Errorf("kill: %+v", i.StateReason)
	}
	if _, err := run(t, "kill-agent", "i-none", "--endpoint", f.url); err == nil {
		t.Error("the agent of an instance that is none is killed")
	}
}

// TestLate: instances are not seen at once, and metadata takes its time, until healed.
func TestLate(t *testing.T) {
	f := newFixture(t)
	f.run(t, "unseen", "1h")
	f.run(t, "slow-metadata", "5s")
	id := f.launch(t, world.OnDemand)
	if _, ok := f.World.Instance(id); ok || len(f.World.Instances()) != 0 || len(f.World.All()) != 1 {
		t.Error("unseen: it is seen")
	}
	if d := f.Faults.MetadataDelay(); d != 5*time.Second {
		t.Errorf("slow-metadata: %s", d)
	}
	f.run(t, "heal")
	if _, ok := f.World.Instance(id); !ok || f.Faults.MetadataDelay() != 0 {
		t.Error("heal: something still goes wrong")
	}
	for _, bad := range []string{"-1s", "soon"} {
		if _, err := run(t, "unseen", "--endpoint", f.url, "--", bad); err == nil {
			t.Errorf("unseen %s is taken", bad)
		}
	}
}
