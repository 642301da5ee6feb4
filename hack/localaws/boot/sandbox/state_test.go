package sandbox

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"kip.elotl.co/hack/localaws/boot/sandbox/cgroups"
)

// testName is the name of this process's fabrics.
func testName() string { return "ks" + strconv.Itoa(os.Getpid()%10_000_000) }

// testSubnet is theirs.
var testSubnet = netip.MustParsePrefix("100.64.79.0/24")

// hostState is everything on the host that a cell of these tests could leave
// behind: mounts, links, routes, named namespaces, control groups under this
// process's own, and processes in them. Others' are left out.
func hostState(t *testing.T) []string {
	t.Helper()
	var state []string
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "/cells/i-") || strings.Contains(line, testName()) {
			state = append(state, "mount "+strings.TrimSpace(line))
		}
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, testName()) {
			state = append(state, "link "+l.Attrs().Name)
		}
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		if addr, ok := netip.AddrFromSlice(r.Dst.IP.To4()); ok && testSubnet.Contains(addr) {
			state = append(state, "route "+r.String())
		}
	}
	names, _ := os.ReadDir("/run/netns")
	for _, n := range names {
		if strings.HasPrefix(n.Name(), testName()) {
			state = append(state, "namespace "+n.Name())
		}
	}
	state = append(state, cgroupState(t)...)
	state = append(state, processState(t)...)
	slices.Sort(state)
	return state
}

func cgroupState(t *testing.T) []string {
	t.Helper()
	layout, err := cgroups.Detect()
	if err != nil {
		t.Fatal(err)
	}
	var state []string
	for _, h := range layout.Hierarchies {
		entries, err := os.ReadDir(h.Own)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() && strings.HasPrefix(e.Name(), testName()) {
				state = append(state, "cgroup "+filepath.Join(h.Own, e.Name()))
			}
		}
	}
	return state
}

// processState lists the processes in the cells' control groups.
func processState(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var state []string
	for _, dir := range dirs {
		group, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		if bytes.Contains(group, []byte("/"+testName())) {
			state = append(state, fmt.Sprintf("process %s %s", filepath.Base(dir), bytes.TrimSpace(name)))
		}
	}
	return state
}

// requireSame waits until the host is as it was. The kernel takes links of a
// dead network namespace away a moment after its last process.
func requireSame(t *testing.T, before []string) {
	t.Helper()
	eventually(t, "the host is not as before", func() error {
		if diff := cmp.Diff(before, hostState(t)); diff != "" {
			return fmt.Errorf("(-before +after)\n%s", diff)
		}
		return nil
	})
}
