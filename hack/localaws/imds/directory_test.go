package imds

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"kip.elotl.co/hack/localaws/boot"
)

// machine is a machine that ends when told.
type machine struct{ done chan struct{} }

func (m machine) Done() <-chan struct{}      { return m.done }
func (m machine) Stop(context.Context) error { close(m.done); return nil }
func (m machine) Console() []byte            { return nil }

// starter is a back end; during tells what to look at while it starts.
type starter struct {
	during func()
	err    error
}

func (s starter) Start(context.Context, boot.Spec) (boot.Machine, error) {
	if s.during != nil {
		s.during()
	}
	if s.err != nil {
		return nil, s.err
	}
	return machine{make(chan struct{})}, nil
}

func (s starter) Recover(ctx context.Context, spec boot.Spec) (boot.Machine, error) {
	return s.Start(ctx, spec)
}

func knows(d *Directory, addr string) (string, Role) {
	spec, role, _ := d.BySourceIP(netip.MustParseAddr(addr))
	return spec.InstanceID, role
}

func waitForgotten(t *testing.T, d *Directory, addr string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for id, _ := knows(d, addr); id != ""; id, _ = knows(d, addr) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is still known as %s", addr, id)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestDirectory(t *testing.T) {
	spec := specFor("i-1", "10.0.0.5", "10.0.0.6")
	var d *Directory
	d = NewDirectory(starter{during: func() {
		if id, _ := knows(d, "10.0.0.5"); id != "i-1" {
			t.Error("not known while it starts")
		}
	}})
	for name, begin := range map[string]func(context.Context, boot.Spec) (boot.Machine, error){"Start": d.Start, "Recover": d.Recover} {
		m, err := begin(t.Context(), spec)
		if err != nil {
			t.Fatal(name, err)
		}
		if id, role := knows(d, "10.0.0.5"); id != "i-1" || role != Primary {
			t.Errorf("%s: primary: %q, %v", name, id, role)
		}
		if id, role := knows(d, "10.0.0.6"); id != "i-1" || role != Secondary {
			t.Errorf("%s: secondary: %q, %v", name, id, role)
		}
		if err := m.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		waitForgotten(t, d, "10.0.0.5")
		waitForgotten(t, d, "10.0.0.6")
	}
}

func TestDirectoryForgetsWhatFails(t *testing.T) {
	d := NewDirectory(starter{err: errors.New("no")})
	if _, err := d.Start(t.Context(), specFor("i-1", "10.0.0.5")); err == nil {
		t.Fatal("no error")
	}
	if id, _ := knows(d, "10.0.0.5"); id != "" {
		t.Errorf("known as %s", id)
	}
}

// The end of an instance is noticed late, when its address is another's.
func TestDirectoryKeepsTheNextOwner(t *testing.T) {
	d := NewDirectory(starter{})
	first, second := specFor("i-1", "10.0.0.5", "10.0.0.6"), specFor("i-2", "10.0.0.5")
	m, err := d.Start(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Start(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitForgotten(t, d, "10.0.0.6")
	if id, _ := knows(d, "10.0.0.5"); id != "i-2" {
		t.Errorf("known as %q", id)
	}
}
