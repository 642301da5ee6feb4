package dev

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unplaced is an environment without a subnet.
func unplaced(t *testing.T, hollow bool) Environment {
	t.Helper()
	e := testEnvironment(t, hollow)
	e.Subnet = netip.Prefix{}
	return e
}

func mustPlace(t *testing.T, e Environment) Environment {
	t.Helper()
	placed, err := e.place(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return placed
}

func TestCandidates(t *testing.T) {
	for n, want := range map[int]string{0: "100.65.0.0/24", 255: "100.65.255.0/24", 256: "100.66.0.0/24", realSubnets - 1: "100.127.255.0/24", realSubnets: "100.65.0.0/24"} {
		if got := candidate(false, n).String(); got != want {
			t.Errorf("real %d: %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int]string{0: "127.16.0.0/16", hollowSubnets - 1: "127.207.0.0/16", hollowSubnets: "127.16.0.0/16"} {
		if got := candidate(true, n).String(); got != want {
			t.Errorf("hollow %d: %s, want %s", n, got, want)
		}
	}
}

// Environments in different directories get different names and, where the one is up, different subnets.
func TestPlaces(t *testing.T) {
	const longest = 11
	for _, hollow := range []bool{false, true} {
		e := unplaced(t, hollow)
		one, again := mustPlace(t, e), mustPlace(t, e)
		if one.Name != again.Name || one.Subnet != again.Subnet {
			t.Errorf("%+v, then %+v", one, again)
		}
		if other := mustPlace(t, unplaced(t, hollow)); other.Name == one.Name {
			t.Errorf("two are called %s", one.Name)
		}
		if len(one.Name) > longest || one.Subnet != one.Subnet.Masked() || one.Subnet.Addr().IsLoopback() != hollow {
			t.Errorf("%q in %s", one.Name, one.Subnet)
		}
	}
}

// hold listens as the emulator of a hollow environment would.
func hold(t *testing.T, e Environment) {
	t.Helper()
	l, err := net.Listen("tcp", e.holding().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

func TestTakenSubnetIsLeftOut(t *testing.T) {
	e := unplaced(t, true)
	first := mustPlace(t, e)
	hold(t, first)
	second := mustPlace(t, e)
	if second.Subnet == first.Subnet {
		t.Fatalf("%s is taken, yet chosen", first.Subnet)
	}
	hold(t, second)
	if third := mustPlace(t, e); third.Subnet == first.Subnet || third.Subnet == second.Subnet {
		t.Errorf("%s is taken, yet chosen", third.Subnet)
	}
}

// What is up keeps its subnet, which it holds itself; what was killed and lost its subnet to another is told how to go on.
func TestPlaceStays(t *testing.T) {
	e := unplaced(t, true)
	placed := mustPlace(t, e)
	if _, err := e.Endpoints(); err == nil || !strings.Contains(err.Error(), "no environment was brought up") {
		t.Errorf("endpoints of what is not up: %v", err)
	}
	if err := placed.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	hold(t, placed)
	again := mustPlace(t, e)
	if again.Subnet != placed.Subnet || again.Name != placed.Name {
		t.Errorf("%+v, then %+v", placed, again)
	}
	if located, err := e.located(); err != nil || located.Subnet != placed.Subnet || located.Name != placed.Name {
		t.Errorf("located %+v, %v", located, err)
	}
	if _, err := e.Endpoints(); err != nil {
		t.Error(err)
	}
	err := again.claim(t.Context())
	if err == nil || !strings.Contains(err.Error(), placed.Subnet.String()+" is taken") || !strings.Contains(err.Error(), "take this one down") {
		t.Errorf("claimed what another holds: %v", err)
	}
	if err := again.clear(); err != nil {
		t.Fatal(err)
	}
	if next := mustPlace(t, e); next.Subnet == placed.Subnet {
		t.Errorf("after taking it down it is still in %s", next.Subnet)
	}
}

func TestVersion(t *testing.T) {
	if got := version(t.Context(), t.TempDir()); got != "dev" {
		t.Errorf("outside of a repository: %q", got)
	}
	if _, err := os.Stat(filepath.Join("../..", ".git")); err != nil {
		t.Skip("this is no repository")
	}
	if got := version(t.Context(), "../.."); got == "" || strings.ContainsAny(got, " \n") {
		t.Errorf("in this repository: %q", got)
	}
}
