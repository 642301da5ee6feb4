package host_test

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kip.elotl.co/internal/agent"
)

// inNetwork runs a test in a network namespace of its own.
func inNetwork(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: needs root for a network namespace of its own")
	}
	done := make(chan error, 1)
	go func() {
		defer close(done)
		// The thread ends with the goroutine, and its namespace with it.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			test(t)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// metadataRules are the priorities of the rules about the metadata.
func metadataRules(t *testing.T, family int) []int {
	t.Helper()
	rules, err := netlink.RuleList(family)
	check(t, err)
	var found []int
	for _, rule := range rules {
		if rule.Priority >= 100 && rule.Priority <= 102 {
			found = append(found, rule.Priority)
		}
	}
	slices.Sort(found)
	return found
}

func TestGuardMetadata(t *testing.T) {
	h, _ := newHost(t)
	inNetwork(t, func(t *testing.T) {
		for _, step := range []struct {
			access agent.MetadataAccess
			want   []int
		}{
			{agent.MetadataForPods, nil}, {agent.MetadataForCell, []int{100, 101, 102}}, {agent.MetadataForCell, []int{100, 101, 102}},
			{agent.MetadataForNone, []int{101}}, {agent.MetadataForNone, []int{101}}, {agent.MetadataForCell, []int{100, 101, 102}},
			{agent.MetadataForPods, nil}, {agent.MetadataForNone, []int{101}}, {agent.MetadataForPods, nil}, {agent.MetadataForPods, nil},
		} {
			check(t, h.GuardMetadata(step.access))
			for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
				if got := metadataRules(t, family); !slices.Equal(got, step.want) {
					t.Errorf("access %v: rules %v of family %d, want %v", step.access, got, family, step.want)
				}
			}
		}
	})
}

func TestDeviceWithAddress(t *testing.T) {
	h, _ := newHost(t)
	inNetwork(t, func(t *testing.T) {
		v4, v6 := netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("fd77::2")
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "ens5"}, PeerName: "peer"}
		check(t, netlink.LinkAdd(link))
		for _, address := range []netip.Addr{v4, v6} {
			if got, err := h.DeviceWithAddress(address); got != "" || err != nil {
				t.Errorf("%s: got %q, %v", address, got, err)
			}
			network := &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(address.BitLen()-8, address.BitLen())}
			check(t, netlink.AddrAdd(link, &netlink.Addr{IPNet: network}))
			if got, err := h.DeviceWithAddress(address); got != "ens5" || err != nil {
				t.Errorf("%s: got %q, %v", address, got, err)
			}
		}
	})
}
