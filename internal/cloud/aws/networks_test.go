package aws

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/internal/cloud"
)

const (
	vpc     = "vpc-0000000c0ffee0001"
	subnetB = "subnet-0000000c0ffee0011"
	extra   = "sg-0000000c0ffee0021"
)

var compareNets = cmp.Options{
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
}

func TestSubnets(t *testing.T) {
	e := newEmulator(t)
	e.launch(t, "token") // takes two addresses
	got, err := e.Subnets(t.Context(), []string{subnetB, subnetA, subnetB})
	if err != nil {
		t.Fatal(err)
	}
	b := cloud.Subnet{ID: subnetB, VPCID: vpc, Zone: "us-east-1b", CIDR: netip.MustParsePrefix("10.9.1.0/24"), FreeAddresses: 251}
	want := []cloud.Subnet{b, {ID: subnetA, VPCID: vpc, Zone: "us-east-1a", CIDR: netip.MustParsePrefix("10.9.0.0/24"), FreeAddresses: 249}, b}
	if diff := cmp.Diff(want, got, compareNets); diff != "" {
		t.Errorf("subnets (-want +got):\n%s", diff)
	}
}

func TestSecurityGroups(t *testing.T) {
	e := newEmulator(t)
	got, err := e.SecurityGroups(t.Context(), []string{extra, group})
	if err != nil {
		t.Fatal(err)
	}
	want := []cloud.SecurityGroup{{ID: extra, Name: "kip-extra", VPCID: vpc}, {ID: group, Name: "default", VPCID: vpc}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

func TestDefaultSecurityGroup(t *testing.T) {
	e := newEmulator(t)
	got, err := e.DefaultSecurityGroup(t.Context(), vpc)
	if want := (cloud.SecurityGroup{ID: group, Name: "default", VPCID: vpc}); got != want || err != nil {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	_, err = e.DefaultSecurityGroup(t.Context(), "vpc-0123456789abcdef0")
	wantKind(t, err, cloud.KindNotFound)
	if about := subject(err); about != "vpc-0123456789abcdef0" {
		t.Errorf("the error is about %q", about)
	}
}

func TestNetworksThatDoNotExist(t *testing.T) {
	e := newEmulator(t)
	for name, ask := range map[string]func([]string) error{
		"subnet": func(ids []string) error { _, err := e.Subnets(t.Context(), ids); return err },
		"sg":     func(ids []string) error { _, err := e.SecurityGroups(t.Context(), ids); return err },
	} {
		known := map[string]string{"subnet": subnetA, "sg": group}[name]
		err := ask([]string{known, name + "-00000000000000002", name + "-00000000000000001"})
		wantKind(t, err, cloud.KindNotFound)
		if got := subject(err); got != name+"-00000000000000002" {
			t.Errorf("%s: the error is about %q", name, got)
		}
		if err := ask(nil); err != nil {
			t.Errorf("%s: nothing asked for: %v", name, err)
		}
	}
	if calls := len(e.journal.Since(0, "")); calls != 2 {
		t.Errorf("%d calls", calls)
	}
}

// An answer that leaves something out must not shift the others.
func TestInOrder(t *testing.T) {
	got, err := inOrder("ec2:X", []string{"b", "a"}, map[string]int{"a": 1, "b": 2, "c": 3})
	if diff := cmp.Diff([]int{2, 1}, got); diff != "" || err != nil {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
	_, err = inOrder("ec2:X", []string{"a", "d"}, map[string]int{"a": 1})
	wantKind(t, err, cloud.KindNotFound, "ec2:X", `"d"`)
}

func subject(err error) string {
	var e *cloud.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Subject
}
