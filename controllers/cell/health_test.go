package cell

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/pki"
	"kip.elotl.co/test/fixture"
)

// mutableAgents can be cut off: then nothing answers any more.
type mutableAgents struct {
	Agents
	ca    *pki.CA
	muted atomic.Bool
	// only is the address of one that is cut off alone.
	only atomic.Value
	// dials and sent count connections and what was written to them.
	dials, sent atomic.Int64
}

func (m *mutableAgents) isMuted(address string) bool {
	return m.muted.Load() || m.only.Load() == address
}

func (m *mutableAgents) Client(address string, id pki.CellID) (*itzo.Client, error) {
	certificate, err := m.ca.ClientCertificate(time.Now(), time.Hour)
	if err != nil {
		return nil, err
	}
	return itzo.NewClient(itzo.Config{
		Address: address, ServerName: id.DNSName(), RootCAs: m.ca.Pool(), Certificate: certificate,
		Dial: func(ctx context.Context, network, to string) (net.Conn, error) {
			m.dials.Add(1)
			if m.isMuted(address) {
				return nil, errors.New("no route to the agent")
			}
			conn, err := (&net.Dialer{}).DialContext(ctx, network, to)
			if err != nil {
				return nil, err
			}
			return &mutableConn{conn, m, address}, nil
		},
	})
}

type mutableConn struct {
	net.Conn
	agents  *mutableAgents
	address string
}

func (c *mutableConn) Write(p []byte) (int, error) {
	if c.agents.isMuted(c.address) {
		return 0, errors.Join(errors.New("no route to the agent"), c.Close())
	}
	c.agents.sent.Add(1)
	return c.Conn.Write(p)
}

func (b *bench) mutable() *mutableAgents {
	m := &mutableAgents{ca: b.ca}
	b.wrap = func(o *Options) { m.Agents = o.Agents; o.Agents = m }
	return m
}

func patience(seconds int32) func(*v1beta1.Cell) {
	return func(c *v1beta1.Cell) { c.Spec.HealthyTimeoutSeconds = &seconds }
}

// TestSilentAgentIsGivenUp: its instance ends, and the Cell says why its pod
// fails; nothing is launched in its place.
func TestSilentAgentIsGivenUp(t *testing.T) {
	b := newBench(t)
	agents := b.mutable()
	b.start().readyClass()
	cell := b.ready(b.cell(withPod, patience(2)))
	agents.muted.Store(true)
	is := b.unready(cell, v1beta1.ReasonAgentLost, cell.Status.InstanceID, "2s", "no route to the agent")
	if is.Status.Phase != v1beta1.CellFailed {
		t.Errorf("phase %s", is.Status.Phase)
	}
	b.event(cell, v1beta1.ReasonAgentLost)
	fixture.Eventually(t, "the instance ends", func(context.Context) error {
		if len(b.cloud.Live(cell)) > 0 {
			return errors.New("it lives")
		}
		return nil
	})
	b.clock.Advance(time.Hour)
	b.stop()
	b.start()
	b.pokeAndWait(cell)
	b.unready(cell, v1beta1.ReasonAgentLost)
	if n := len(b.cloud.Instances(cell)); n != 1 {
		t.Errorf("%d instances", n)
	}
}

// TestSilentAgentOfNoPod: the Cell gets another instance.
func TestSilentAgentOfNoPod(t *testing.T) {
	b := newBench(t)
	agents := b.mutable()
	b.start().readyClass()
	cell := b.ready(b.cell(patience(1)))
	agents.muted.Store(true)
	b.wait(cell, "the attempt has ended", func(is *v1beta1.Cell) error {
		if is.Status.Attempts[0].Code != v1beta1.ReasonAgentLost {
			return errors.New("attempts of status")
		}
		return nil
	})
	agents.muted.Store(false)
	b.clock.Advance(refusedFirst)
	b.poke(cell)
	is := b.ready(cell)
	if live := b.cloud.Live(cell); len(live) != 1 || live[0].ID != is.Status.InstanceID || live[0].ID == cell.Status.InstanceID {
		t.Errorf("live instances %+v", live)
	}
}

// TestSilentForever: without a timeout, or with 0, a ready cell whose agent does
// not answer is kept.
func TestSilentForever(t *testing.T) {
	for name, edit := range map[string]func(*v1beta1.Cell){"absent": withPod, "0": patience(0)} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			agents := b.mutable()
			b.start().readyClass()
			cell := b.ready(b.cell(edit))
			agents.muted.Store(true)
			b.clock.Advance(24 * time.Hour)
			b.pokeAndWait(cell)
			b.wantOneLaunch(b.ready(cell))
		})
	}
}

// TestAnsweringAgentStays: an agent that answers is asked for longer than its
// timeout, and kept.
func TestAnsweringAgentStays(t *testing.T) {
	b := newBench(t)
	agents := b.mutable()
	b.start().readyClass()
	cell := b.ready(b.cell(withPod, patience(2)))
	before := agents.sent.Load()
	fixture.Eventually(t, "it was asked again and again", func(context.Context) error {
		if n := agents.sent.Load() - before; n < 8 {
			return fmt.Errorf("%d packets", n)
		}
		return nil
	})
	b.wantOneLaunch(b.ready(cell))
}

// TestMostAreSilent: it is the operator who is cut off, so nobody is given up;
// the one that stays silent when the others answer again is.
func TestMostAreSilent(t *testing.T) {
	b := newBench(t)
	agents, registry := b.mutable(), prometheus.NewRegistry()
	mute := b.wrap
	b.wrap = func(o *Options) { mute(o); o.Metrics = registry }
	b.start().readyClass()
	var cells []*v1beta1.Cell
	for _, suffix := range []string{"-1", "-2", "-3"} {
		cells = append(cells, b.ready(b.cell(withPod, suffixed(suffix), patience(2))))
	}
	agents.muted.Store(true)
	for _, cell := range cells {
		b.event(cell, v1beta1.ReasonAgentSilent)
	}
	wantKept(t, registry, 3)
	b.clock.Advance(time.Hour)
	dials := agents.dials.Load()
	fixture.Eventually(t, "they are asked again and again", func(context.Context) error {
		if n := agents.dials.Load() - dials; n < 12 {
			return fmt.Errorf("%d connections", n)
		}
		return nil
	})
	for _, cell := range cells {
		b.wantOneLaunch(b.ready(cell))
	}
	agents.only.Store(cellagent.Address(cells[2]))
	agents.muted.Store(false)
	b.unready(cells[2], v1beta1.ReasonAgentLost, cells[2].Status.InstanceID)
	for _, cell := range cells[:2] {
		b.wantOneLaunch(b.ready(cell))
	}
	wantKept(t, registry, 0)
}

// wantKept waits until the metric says that so many cells are kept.
func wantKept(t *testing.T, registry *prometheus.Registry, want float64) {
	t.Helper()
	fixture.Eventually(t, fmt.Sprintf("%v cells are kept", want), func(context.Context) error {
		families, err := registry.Gather()
		if err != nil {
			return err
		}
		for _, family := range families {
			if got := family.GetMetric()[0].GetGauge().GetValue(); family.GetName() == "kip_cells_kept_in_silence" && got == want {
				return nil
			}
		}
		return fmt.Errorf("metrics %v", families)
	})
}

// TestSilenceCompared: who is silent is compared with what others have answered
// since, not before.
func TestSilenceCompared(t *testing.T) {
	const patience = 8 * time.Second
	for name, test := range map[string]struct {
		// answers are when the others were asked last and answered, after the
		// first time that the silent one did not.
		answers    []time.Duration
		lost, kept bool
	}{
		"alone":                   {nil, true, false},
		"one other, silent":       {[]time.Duration{-time.Second}, true, false},
		"others answer":           {[]time.Duration{time.Second, time.Second}, true, false},
		"answered before":         {[]time.Duration{-time.Second, -time.Second}, false, true},
		"most answered before":    {[]time.Duration{time.Second, -time.Second, -time.Second}, false, true},
		"two of three are silent": {[]time.Duration{time.Second, -time.Second}, false, true},
		"two of four are silent":  {[]time.Duration{time.Second, time.Second, -time.Second}, true, false},
	} {
		clock := &fixture.Clock{}
		p := newProber(nil, clock)
		start := clock.Now()
		probeOf := func(uid types.UID) *probe {
			p.probes[uid] = &probe{asked: question{patience: patience}, silence: silence{since: start}}
			return p.probes[uid]
		}
		one := probeOf("one")
		for i, at := range test.answers {
			p.answers(probeOf(types.UID(fmt.Sprint(i))), start.Add(at))
		}
		p.probes["booting"] = &probe{}
		if lost, kept := p.silent(one, start); lost || kept {
			t.Errorf("%s: lost %v, kept %v at once", name, lost, kept)
		}
		clock.Advance(patience)
		if lost, kept := p.silent(one, clock.Now()); lost != test.lost || kept != test.kept {
			t.Errorf("%s: lost %v, kept %v", name, lost, kept)
		}
		if _, kept := p.silent(one, clock.Now()); kept {
			t.Errorf("%s: said twice", name)
		}
		for uid := range p.probes {
			if uid != "one" && uid != "booting" {
				p.answers(p.probes[uid], clock.Now())
			}
		}
		if lost, _ := p.silent(one, clock.Now()); lost != test.lost {
			t.Errorf("%s: lost %v as soon as the others answer again", name, lost)
		}
		clock.Advance(patience)
		if lost, _ := p.silent(one, clock.Now()); !lost {
			t.Errorf("%s: silent for its time while others answer, and not given up", name)
		}
	}
}
