package fabric

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

func TestConfigValidate(t *testing.T) {
	tests := []struct {
		name, subnet string
		ok           bool
	}{
		{"kip-dev", "100.64.77.0/24", true},
		{"k", "10.0.0.0/8", true},
		{"kip-dev", "100.64.77.0/28", true},
		{"", "100.64.77.0/24", false},
		{"-kip", "100.64.77.0/24", false},
		{"Kip", "100.64.77.0/24", false},
		{"a/b", "100.64.77.0/24", false},
		{"sixteen-letters-", "100.64.77.0/24", false},
		{"kip-dev", "100.64.77.1/24", false},
		{"kip-dev", "100.64.77.0/29", false},
		{"kip-dev", "0.0.0.0/0", false},
		{"kip-dev", "fd00::/64", false},
	}
	for _, tt := range tests {
		cfg := Config{Name: tt.name, Subnet: netip.MustParsePrefix(tt.subnet)}
		if err := cfg.validate(); (err == nil) != tt.ok {
			t.Errorf("%q %s: %v", tt.name, tt.subnet, err)
		}
		if tt.ok {
			continue
		}
		if _, err := Up(cfg); err == nil {
			t.Errorf("%q %s: came up", tt.name, tt.subnet)
		}
		if err := Down(cfg); err == nil {
			t.Errorf("%q %s: went down", tt.name, tt.subnet)
		}
	}
}

func TestPortName(t *testing.T) {
	if got := portName(netip.MustParseAddr("100.64.77.10")); got != "v64404d0a" {
		t.Error(got)
	}
}

// testName begins the name of every fabric of this process.
func testName() string { return "kt" + strconv.Itoa(os.Getpid()%10_000_000) }

func testConfig(t *testing.T) Config {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	lockSubnets(t)
	return Config{Name: testName(), Subnet: netip.MustParsePrefix("100.64.80.0/24")}
}

// lockSubnets keeps the tests of another copy of the repository out of testRange until the test ends.
func lockSubnets(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(os.TempDir(), "kip-fabric-test.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func upForTest(t *testing.T) *Network {
	t.Helper()
	cfg := testConfig(t)
	before := rootState(t)
	n, err := Up(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Down(cfg); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(before, rootState(t)); diff != "" {
			t.Errorf("the root namespace is not as before (-before +after):\n%s", diff)
		}
	})
	return n
}

// testRange holds all subnets of these tests.
var testRange = netip.MustParsePrefix("100.64.80.0/21")

// rootState is everything in the root namespace that these tests' fabrics
// could touch: links and namespaces of their names, routes to their subnets.
func rootState(t *testing.T) []string {
	t.Helper()
	var state []string
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
		if addr, ok := netip.AddrFromSlice(r.Dst.IP.To4()); ok && testRange.Contains(addr) {
			state = append(state, "route "+r.String())
		}
	}
	names, err := os.ReadDir(namespaceDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), testName()) {
			state = append(state, "namespace "+n.Name())
		}
	}
	return state
}

// cell is a process that does nothing in a network namespace of its own.
type cell struct {
	port Port
	ns   netns.NsHandle
}

func startCell(t *testing.T, n *Network, primary string, secondary ...string) cell {
	t.Helper()
	cmd := exec.Command("sleep", "infinity")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	p := Port{Primary: netip.MustParseAddr(primary), PID: cmd.Process.Pid, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 7}}
	for _, s := range secondary {
		p.Secondary = append(p.Secondary, netip.MustParseAddr(s))
	}
	if err := n.Attach(p); err != nil {
		t.Fatal(err)
	}
	ns, err := netns.GetFromPid(p.PID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return cell{port: p, ns: ns}
}

// own configures an address on the cell's lo.
func (c cell) own(t *testing.T, addr string) {
	t.Helper()
	h, err := netlink.NewHandleAt(c.ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.AddrReplace(lo, &netlink.Addr{IPNet: hostNet(netip.MustParseAddr(addr))}); err != nil {
		t.Fatal(err)
	}
}

// greet answers every connection to the cell with the peer's address.
func (c cell) greet(t *testing.T, address string) {
	t.Helper()
	var l net.Listener
	err := inNamespace(c.ns, func() (err error) {
		l, err = net.Listen("tcp4", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	greetOn(t, l)
}

func greetOn(t *testing.T, l net.Listener) {
	t.Helper()
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
			_, _ = io.WriteString(conn, host)
			conn.Close()
		}
	}()
}

func greeting(address string) (string, error) {
	conn, err := net.DialTimeout("tcp4", address, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	said, err := io.ReadAll(conn)
	return string(said), err
}

// hears dials from within the cell.
func (c cell) hears(address string) (said string, err error) {
	err = inNamespace(c.ns, func() (err error) {
		said, err = greeting(address)
		return err
	})
	return said, err
}

func TestCellsReachEachOtherAndNothingElse(t *testing.T) {
	n := upForTest(t)
	a := startCell(t, n, "100.64.80.10", "100.64.80.11")
	b := startCell(t, n, "100.64.80.20", "100.64.80.21")
	a.own(t, "100.64.80.11")
	a.greet(t, "0.0.0.0:7000")
	rootEnd, err := net.Listen("tcp4", netip.AddrPortFrom(n.RootAddr(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	greetOn(t, rootEnd)
	metadata, err := n.Listen(t.Context(), "tcp4", MetadataAddr+":80")
	if err != nil {
		t.Fatal(err)
	}
	greetOn(t, metadata)

	for _, target := range []string{"100.64.80.10:7000", "100.64.80.11:7000", rootEnd.Addr().String(), MetadataAddr + ":80"} {
		if said, err := b.hears(target); err != nil || said != "100.64.80.20" {
			t.Errorf("%s from the cell: %q, %v", target, said, err)
		}
	}
	for _, target := range []string{"100.64.80.10:7000", "100.64.80.11:7000"} {
		if said, err := greeting(target); err != nil || said != n.RootAddr().String() {
			t.Errorf("%s from the root end: %q, %v", target, said, err)
		}
		if _, err := greeting("100.64.80.99:7000"); !unreachable(err) {
			t.Errorf("an unused address from the root end: %v", err)
		}
	}
	for _, target := range []string{"192.0.2.77:80", "8.8.8.8:53", "100.64.80.99:7000", "169.254.0.1:80"} {
		if _, err := b.hears(target); !unreachable(err) {
			t.Errorf("%s from the cell: %v, want unreachable", target, err)
		}
	}
}

func unreachable(err error) bool {
	return errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH)
}

// A packet with another cell's source address is dropped: of a forged one and
// an honest one after it, only the honest one arrives.
func TestSpoofedSourceIsDropped(t *testing.T) {
	n := upForTest(t)
	a := startCell(t, n, "100.64.80.10")
	b := startCell(t, n, "100.64.80.20")
	b.own(t, "100.64.80.30")
	var receiver *net.UDPConn
	err := inNamespace(a.ns, func() (err error) {
		receiver, err = net.ListenUDP("udp4", &net.UDPAddr{Port: 7000})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	send := func(source, text string) {
		err := inNamespace(b.ns, func() error {
			conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(source)}, &net.UDPAddr{IP: net.ParseIP("100.64.80.10"), Port: 7000})
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = io.WriteString(conn, text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	send("100.64.80.30", "forged")
	send("100.64.80.20", "honest")
	if err := receiver.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	got, err := receiver.Read(buf)
	if err != nil || string(buf[:got]) != "honest" {
		t.Errorf("received %q, %v", buf[:got], err)
	}
}

func TestUpIsIdempotentAndRepairs(t *testing.T) {
	n := upForTest(t)
	startCell(t, n, "100.64.80.10")
	before := rootState(t)
	for range 2 {
		if _, err := Up(n.cfg); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, rootState(t)); diff != "" {
		t.Errorf("a second Up changed something:\n%s", diff)
	}
	ports, err := n.Ports()
	if want := []netip.Addr{netip.MustParseAddr("100.64.80.10")}; err != nil || !cmp.Equal(ports, want, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) {
		t.Errorf("ports %v, %v", ports, err)
	}

	link, err := netlink.LinkByName(n.Name())
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	if _, err := greeting("100.64.80.10:7000"); !unreachable(err) {
		t.Errorf("without the veth: %v, want the guard's answer", err)
	}
	if _, err := Up(n.cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := greeting("100.64.80.10:7000"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("after repair: %v, want the cell to refuse", err)
	}
}

func TestOverlappingSubnetIsRefused(t *testing.T) {
	n := upForTest(t)
	for _, subnet := range []string{"100.64.80.0/24", "100.64.80.0/28", "100.64.0.0/16"} {
		other := Config{Name: n.Name() + "-x", Subnet: netip.MustParsePrefix(subnet)}
		if _, err := Up(other); err == nil || !strings.Contains(err.Error(), "overlaps") {
			t.Errorf("%s: %v", subnet, err)
			_ = Down(other)
		}
	}
}

func TestTaken(t *testing.T) {
	n := upForTest(t)
	for _, subnet := range []string{"100.64.80.0/24", "100.64.80.16/28", "100.64.0.0/16"} {
		if err := Taken(netip.MustParsePrefix(subnet)); err == nil || !strings.Contains(err.Error(), subnet+" overlaps") {
			t.Errorf("%s beside %s: %v", subnet, n.Subnet(), err)
		}
	}
	if err := Taken(netip.MustParsePrefix("100.64.87.0/24")); err != nil {
		t.Error(err)
	}
}

func TestAttachRefusesForeignAddresses(t *testing.T) {
	n := &Network{cfg: Config{Name: "kip-none", Subnet: netip.MustParsePrefix("100.64.80.0/24")}}
	for _, addr := range []string{"100.64.80.0", "100.64.80.1", "100.64.80.3", "100.64.81.10", "::1"} {
		if err := n.Attach(Port{Primary: netip.MustParseAddr(addr)}); err == nil {
			t.Errorf("%s was accepted", addr)
		}
	}
}

func TestDetachAndDownTwice(t *testing.T) {
	n := upForTest(t)
	c := startCell(t, n, "100.64.80.10", "100.64.80.11")
	for range 2 {
		if err := n.Detach(c.port.Primary); err != nil {
			t.Fatal(err)
		}
	}
	for _, target := range []string{"100.64.80.10:7000", "100.64.80.11:7000"} {
		if _, err := greeting(target); !unreachable(err) {
			t.Errorf("%s after Detach: %v", target, err)
		}
	}
	for range 2 {
		if err := Down(n.cfg); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(n.cfg); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open after Down: %v", err)
	}
	if err := n.Detach(c.port.Primary); err != nil {
		t.Errorf("Detach after Down: %v", err)
	}
}

// Fabrics of several names come and go side by side.
func TestSideBySide(t *testing.T) {
	base := testConfig(t)
	before := rootState(t)
	var group errgroup.Group
	for i := range 4 {
		cfg := Config{Name: base.Name + "-" + strconv.Itoa(i), Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, byte(81 + i), 0}), 24)}
		group.Go(func() error {
			for range 5 {
				if _, err := Up(cfg); err != nil {
					return errors.Join(err, Down(cfg))
				}
				if err := Down(cfg); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, rootState(t)); diff != "" {
		t.Errorf("the root namespace is not as before:\n%s", diff)
	}
}

// A process that died half-way through making the fabric leaves a name
// without a namespace.
func TestBrokenNameIsReplaced(t *testing.T) {
	cfg := testConfig(t)
	if err := os.MkdirAll(namespaceDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile((&Network{cfg: cfg}).path(), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open: %v", err)
	}
	if _, err := Up(cfg); err != nil {
		t.Error(err)
	}
	if err := Down(cfg); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat((&Network{cfg: cfg}).path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the name remains: %v", err)
	}
}
