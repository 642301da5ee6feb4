package cell

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/pki"
	"kip.elotl.co/test/fixture"
)

// mutableAgents can be cut off: then nothing answers any more.
type mutableAgents struct {
	Agents
	ca    *pki.CA
	muted atomic.Bool
	// dials and sent count connections and what was written to them.
	dials, sent atomic.Int64
}

func (m *mutableAgents) Client(address string, id pki.CellID) (*itzo.Client, error) {
	certificate, err := m.ca.ClientCertificate(time.Now(), time.Hour)
	if err != nil {
		return nil, err
	}
	return itzo.NewClient(itzo.Config{
		Address: address, ServerName: id.DNSName(), RootCAs: m.ca.Pool(), Certificate: certificate,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			m.dials.Add(1)
			if m.muted.Load() {
				return nil, errors.New("no route to the agent")
			}
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &mutableConn{conn, m}, nil
		},
	})
}

type mutableConn struct {
	net.Conn
	agents *mutableAgents
}

func (c *mutableConn) Write(p []byte) (int, error) {
	if c.agents.muted.Load() {
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

// TestSilentForever: without a timeout, or with 0, nobody asks a ready cell's
// agent.
func TestSilentForever(t *testing.T) {
	for name, edit := range map[string]func(*v1beta1.Cell){"absent": withPod, "0": patience(0)} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			agents := b.mutable()
			b.start().readyClass()
			cell := b.ready(b.cell(edit))
			agents.muted.Store(true)
			dials := agents.dials.Load()
			b.clock.Advance(24 * time.Hour)
			b.pokeAndWait(cell)
			b.wantOneLaunch(b.ready(cell))
			if n := agents.dials.Load(); n != dials {
				t.Errorf("%d more connections", n-dials)
			}
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
