package itzo

import (
	"encoding/json"
	"testing"
	"time"
)

// TestNoticesEqual: what was written and read again is the same, and each part counts.
func TestNoticesEqual(t *testing.T) {
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.FixedZone("X", 3600))
	full := func() Notices {
		return Notices{Interruption: &Interruption{Action: "stop", Time: at}, Rebalance: new(at), Maintenance: []Maintenance{{Code: "system-reboot", NotBefore: at}}}
	}
	text, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	var read Notices
	if err := json.Unmarshal(text, &read); err != nil || !read.Equal(full()) || read.Empty() {
		t.Errorf("%+v, %v", read, err)
	}
	if !(Notices{}).Equal(Notices{}) || !(Notices{}).Empty() {
		t.Error("nothing is not nothing")
	}
	for name, change := range map[string]func(*Notices){
		"no interruption": func(n *Notices) { n.Interruption = nil }, "action": func(n *Notices) { n.Interruption.Action = "terminate" },
		"time": func(n *Notices) { n.Interruption.Time = at.Add(time.Second) }, "no rebalance": func(n *Notices) { n.Rebalance = nil },
		"rebalance": func(n *Notices) { n.Rebalance = new(at.Add(time.Second)) }, "no maintenance": func(n *Notices) { n.Maintenance = nil },
		"code": func(n *Notices) { n.Maintenance[0].Code = "instance-stop" }, "end": func(n *Notices) { n.Maintenance[0].NotAfter = at },
	} {
		other := full()
		if change(&other); other.Equal(full()) || full().Equal(other) {
			t.Errorf("%s: the same", name)
		}
	}
}
