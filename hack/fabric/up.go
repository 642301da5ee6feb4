package fabric

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Up makes the fabric, or completes one of that name. It refuses a subnet that
// overlaps a route of the root namespace.
func Up(cfg Config) (*Network, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n := &Network{cfg: cfg}
	if err := n.up(); err != nil {
		return nil, fmt.Errorf("making fabric %s (%s): %w", cfg.Name, cfg.Subnet, err)
	}
	return n, nil
}

func (n *Network) up() error {
	root, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	defer root.Close()
	if err := n.refuseOverlap(root); err != nil {
		return err
	}
	// The guard comes before anything else: should the veth be missing, the
	// subnet's packets must not follow the machine's default route.
	if err := root.RouteReplace(n.guard()); err != nil {
		return fmt.Errorf("adding the unreachable route: %w", err)
	}
	if err := n.namespace(); err != nil {
		return err
	}
	if err := n.Do(n.sysctls); err != nil {
		return err
	}
	inside, err := n.handle()
	if err != nil {
		return err
	}
	defer inside.Close()
	if err := n.loopback(inside); err != nil {
		return err
	}
	return n.linkRoot(root, inside)
}

func (n *Network) guard() *netlink.Route {
	return &netlink.Route{Dst: prefixNet(n.cfg.Subnet), Type: unix.RTN_UNREACHABLE, Priority: guardMetric}
}

// Taken tells which route of the root namespace overlaps the subnet: nil when none does. It needs no root.
func Taken(subnet netip.Prefix) error {
	root, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	defer root.Close()
	return refuseOverlap(root, subnet, func(netlink.Route) bool { return false })
}

// refuseOverlap looks for routes of somebody else that overlap the subnet.
func (n *Network) refuseOverlap(root *netlink.Handle) error {
	return refuseOverlap(root, n.cfg.Subnet, func(r netlink.Route) bool {
		if r.Type == unix.RTN_UNREACHABLE && r.Dst.String() == prefixNet(n.cfg.Subnet).String() {
			return true
		}
		link, err := root.LinkByIndex(r.LinkIndex)
		return err == nil && link.Attrs().Name == n.cfg.Name
	})
}

func refuseOverlap(root *netlink.Handle, subnet netip.Prefix, own func(netlink.Route) bool) error {
	routes, err := root.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		addr, ok := netip.AddrFromSlice(r.Dst.IP.To4())
		ones, _ := r.Dst.Mask.Size()
		if !ok || ones == 0 || !netip.PrefixFrom(addr, ones).Overlaps(subnet) || own(r) {
			continue
		}
		return fmt.Errorf("the subnet %s overlaps the route %s", subnet, r.Dst)
	}
	return nil
}

// namespaceTries is how often making the namespace starts again when another
// fabric's Down has just removed the directory of the names.
const namespaceTries = 50

// namespace makes the named namespace unless it is there.
func (n *Network) namespace() error {
	if isNamespace(n.path()) {
		return nil
	}
	if err := os.Remove(n.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing a broken namespace file: %w", err)
	}
	for try := 1; ; try++ {
		err := makeNamespace(n.cfg.Name)
		if !errors.Is(err, os.ErrNotExist) || try == namespaceTries {
			return wrap("making the namespace", err)
		}
	}
}

func makeNamespace(name string) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		origin, err := netns.Get()
		if err != nil {
			result <- err
			return
		}
		defer origin.Close()
		created, err := netns.NewNamed(name)
		if err == nil {
			created.Close()
		}
		if back := netns.Set(origin); back == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// sysctls are written by a thread inside the namespace. Links made later take
// the defaults: strict reverse path filtering drops spoofed sources. Without
// ICMP's rate limit the fabric says "unreachable" to five packets of a source
// at once and to one a second from then on; with it to two.
func (n *Network) sysctls() error {
	values := []struct{ key, value string }{
		{"ipv4/ip_forward", "1"},
		{"ipv4/icmp_ratelimit", "0"},
		{"ipv4/conf/all/rp_filter", "1"},
		{"ipv4/conf/default/rp_filter", "1"},
		{"ipv4/conf/all/send_redirects", "0"},
		{"ipv4/conf/default/send_redirects", "0"},
		{"ipv6/conf/all/disable_ipv6", "1"},
		{"ipv6/conf/default/disable_ipv6", "1"},
	}
	for _, s := range values {
		err := os.WriteFile("/proc/sys/net/"+s.key, []byte(s.value), 0o644)
		if errors.Is(err, os.ErrNotExist) { // a kernel without IPv6
			continue
		}
		if err != nil {
			return fmt.Errorf("setting net/%s: %w", s.key, err)
		}
	}
	return nil
}

// loopback holds the addresses by which cells know the fabric itself.
func (n *Network) loopback(inside *netlink.Handle) error {
	lo, err := inside.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding lo: %w", err)
	}
	for _, addr := range []netip.Addr{n.Gateway(), netip.MustParseAddr(MetadataAddr)} {
		if err := inside.AddrReplace(lo, &netlink.Addr{IPNet: hostNet(addr)}); err != nil {
			return fmt.Errorf("adding address %s: %w", addr, err)
		}
	}
	return wrap("setting lo up", inside.LinkSetUp(lo))
}

// linkRoot connects the namespace with the root namespace.
func (n *Network) linkRoot(root, inside *netlink.Handle) error {
	outer, err := n.rootVeth(root)
	if err != nil {
		return err
	}
	inner, err := inside.LinkByName(rootLink)
	if err != nil {
		return fmt.Errorf("finding the fabric's end of the veth: %w", err)
	}
	if err := inside.LinkSetUp(inner); err != nil {
		return fmt.Errorf("setting the fabric's end up: %w", err)
	}
	for _, addr := range []netip.Addr{n.RootAddr(), n.SecondRootAddr()} {
		back := &netlink.Route{LinkIndex: inner.Attrs().Index, Dst: hostNet(addr), Scope: netlink.SCOPE_LINK}
		if err := inside.RouteReplace(back); err != nil {
			return fmt.Errorf("adding the route to the root end: %w", err)
		}
		if err := root.AddrReplace(outer, &netlink.Addr{IPNet: hostNet(addr)}); err != nil {
			return fmt.Errorf("adding the root end's address %s: %w", addr, err)
		}
	}
	if err := root.LinkSetUp(outer); err != nil {
		return fmt.Errorf("setting the root end up: %w", err)
	}
	return wrap("adding the route to the subnet", root.RouteReplace(&netlink.Route{
		LinkIndex: outer.Attrs().Index,
		Dst:       prefixNet(n.cfg.Subnet),
		Gw:        n.Gateway().AsSlice(),
		Src:       n.RootAddr().AsSlice(),
		Flags:     int(netlink.FLAG_ONLINK),
	}))
}

func (n *Network) rootVeth(root *netlink.Handle) (netlink.Link, error) {
	if link, err := root.LinkByName(n.cfg.Name); err == nil {
		return link, nil
	}
	target, err := netns.GetFromPath(n.path())
	if err != nil {
		return nil, fmt.Errorf("opening the namespace: %w", err)
	}
	defer target.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = n.cfg.Name
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: rootLink, PeerNamespace: netlink.NsFd(int(target))}
	if err := ignoreExisting(root.LinkAdd(veth)); err != nil {
		return nil, fmt.Errorf("adding the veth to the fabric: %w", err)
	}
	link, err := root.LinkByName(n.cfg.Name)
	return link, wrap("finding the root end of the veth", err)
}

// Down removes the fabric of that name, whoever made it and whatever of it is
// left, and nothing else. Cells on it lose their network. Calling it again is
// harmless.
func Down(cfg Config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	n := &Network{cfg: cfg}
	root, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	defer root.Close()
	var errs []error
	if link, err := root.LinkByName(cfg.Name); err == nil {
		if err := root.LinkDel(link); err != nil && !isGone(err) {
			errs = append(errs, fmt.Errorf("removing the root end: %w", err))
		}
	} else if !isGone(err) {
		errs = append(errs, fmt.Errorf("finding the root end: %w", err))
	}
	errs = append(errs, n.removeCells(), n.removeNamespace())
	if err := root.RouteDel(n.guard()); err != nil && !isGone(err) {
		errs = append(errs, fmt.Errorf("removing the unreachable route: %w", err))
	}
	return wrap("removing fabric "+cfg.Name, errors.Join(errs...))
}

// removeNamespace unmounts every layer of the name; the kernel ends the
// namespace when no process is in it any more.
func (n *Network) removeNamespace() error {
	for isNamespace(n.path()) {
		if err := unix.Unmount(n.path(), unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting the namespace: %w", err)
		}
	}
	if err := os.Remove(n.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the namespace: %w", err)
	}
	_ = os.Remove(namespaceDir) // stays while it has other names
	return nil
}

func wrap(doing string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
