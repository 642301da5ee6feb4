package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// cellLink is the name of a cell's interface inside the cell.
const cellLink = "eth0"

// Port is where one cell is plugged in.
type Port struct {
	// Primary is configured in the cell. It must be in the subnet, behind the
	// reserved hosts.
	Primary netip.Addr
	// Secondary addresses are routed to the cell and configured nowhere: they
	// are for the pod's own namespace, as with an ENI's secondary addresses.
	Secondary []netip.Addr
	// MAC is that of the cell's interface; nil lets the kernel choose.
	MAC net.HardwareAddr
	// PID is a process whose network namespace becomes the cell's: empty but
	// for lo.
	PID int
}

func (n *Network) validatePort(p Port) error {
	first := n.Gateway().Next().Next()
	for _, addr := range append([]netip.Addr{p.Primary}, p.Secondary...) {
		if !n.cfg.Subnet.Contains(addr) || addr.Less(first) {
			return fmt.Errorf("address %s is not for cells of %s", addr, n.cfg.Subnet)
		}
	}
	return nil
}

// portName derives the interface's name in the fabric from the cell's primary
// address, so that whoever knows the address can remove it.
func portName(primary netip.Addr) string { return fmt.Sprintf("v%x", primary.AsSlice()) }

// Attach plugs a cell in: an interface eth0 with the primary address and a
// default route, and the fabric's routes to all its addresses. When it fails
// nothing remains. What an earlier cell left under the address is replaced.
func (n *Network) Attach(p Port) error {
	if err := n.validatePort(p); err != nil {
		return err
	}
	if err := n.Detach(p.Primary); err != nil {
		return err
	}
	if err := n.attach(p); err != nil {
		return errors.Join(fmt.Errorf("attaching %s to fabric %s: %w", p.Primary, n.cfg.Name, err), n.Detach(p.Primary))
	}
	return nil
}

func (n *Network) attach(p Port) error {
	cell, err := netns.GetFromPid(p.PID)
	if err != nil {
		return fmt.Errorf("opening the cell's namespace: %w", err)
	}
	defer cell.Close()
	inside, err := n.handle()
	if err != nil {
		return err
	}
	defer inside.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = portName(p.Primary)
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: cellLink, PeerHardwareAddr: p.MAC, PeerNamespace: netlink.NsFd(int(cell)),
	}
	if err := inside.LinkAdd(veth); err != nil {
		return fmt.Errorf("adding the veth: %w", err)
	}
	if err := n.configureCell(cell, p.Primary); err != nil {
		return err
	}
	return n.routeCell(inside, p)
}

// configureCell sets up what a cell's image finds configured.
func (n *Network) configureCell(cell netns.NsHandle, primary netip.Addr) error {
	h, err := netlink.NewHandleAt(cell, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink in the cell: %w", err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the cell's lo: %w", err)
	}
	eth, err := h.LinkByName(cellLink)
	if err != nil {
		return fmt.Errorf("finding the cell's interface: %w", err)
	}
	index := eth.Attrs().Index
	direct := func(addr netip.Addr) *netlink.Route {
		return &netlink.Route{LinkIndex: index, Dst: hostNet(addr), Scope: netlink.SCOPE_LINK}
	}
	return errors.Join(
		wrap("setting the cell's lo up", h.LinkSetUp(lo)),
		wrap("adding the cell's address", h.AddrReplace(eth, &netlink.Addr{IPNet: hostNet(primary)})),
		wrap("setting the cell's interface up", h.LinkSetUp(eth)),
		wrap("adding the cell's route to the gateway", h.RouteReplace(direct(n.Gateway()))),
		wrap("adding the cell's route to the metadata service", h.RouteReplace(direct(netip.MustParseAddr(MetadataAddr)))),
		wrap("adding the cell's default route", h.RouteReplace(&netlink.Route{
			LinkIndex: index, Gw: n.Gateway().AsSlice(), Dst: prefixNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0)),
		})),
	)
}

// routeCell leads the cell's addresses to its interface; the secondary ones
// by way of the primary, since nobody in the cell answers ARP for them.
func (n *Network) routeCell(inside *netlink.Handle, p Port) error {
	port, err := inside.LinkByName(portName(p.Primary))
	if err != nil {
		return fmt.Errorf("finding the fabric's end: %w", err)
	}
	if err := inside.LinkSetUp(port); err != nil {
		return fmt.Errorf("setting the fabric's end up: %w", err)
	}
	index := port.Attrs().Index
	err = inside.RouteReplace(&netlink.Route{LinkIndex: index, Dst: hostNet(p.Primary), Scope: netlink.SCOPE_LINK})
	if err != nil {
		return fmt.Errorf("adding the route to %s: %w", p.Primary, err)
	}
	for _, addr := range p.Secondary {
		err := inside.RouteReplace(&netlink.Route{
			LinkIndex: index, Dst: hostNet(addr), Gw: p.Primary.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		})
		if err != nil {
			return fmt.Errorf("adding the route to %s: %w", addr, err)
		}
	}
	return nil
}

// Detach unplugs the cell with that primary address: its interface and its
// routes are gone when it returns. A cell or a fabric that is not there is no
// error.
func (n *Network) Detach(primary netip.Addr) error {
	inside, err := n.handle()
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer inside.Close()
	return wrap("detaching "+primary.String(), removeLink(inside, portName(primary)))
}

func removeLink(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err == nil {
		err = h.LinkDel(link)
	}
	if isGone(err) {
		return nil
	}
	return err
}

// removeCells unplugs every cell. The namespace may outlive its name while a
// process holds a socket in it, and must then lead nowhere.
func (n *Network) removeCells() error {
	if !isNamespace(n.path()) {
		return nil
	}
	inside, err := n.handle()
	if err != nil {
		return err
	}
	defer inside.Close()
	links, err := inside.LinkList()
	if err != nil {
		return fmt.Errorf("listing the fabric's links: %w", err)
	}
	var errs []error
	for _, link := range links {
		if name := link.Attrs().Name; link.Type() == "veth" && strings.HasPrefix(name, "v") {
			errs = append(errs, wrap("removing "+name, removeLink(inside, name)))
		}
	}
	return errors.Join(errs...)
}

// Ports lists the primary addresses of the cells that are plugged in.
func (n *Network) Ports() ([]netip.Addr, error) {
	inside, err := n.handle()
	if err != nil {
		return nil, err
	}
	defer inside.Close()
	links, err := inside.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing the links of fabric %s: %w", n.cfg.Name, err)
	}
	var addrs []netip.Addr
	for _, link := range links {
		var b [4]byte
		name := link.Attrs().Name
		if c, err := fmt.Sscanf(name, "v%02x%02x%02x%02x", &b[0], &b[1], &b[2], &b[3]); c == 4 && err == nil {
			addrs = append(addrs, netip.AddrFrom4(b))
		}
	}
	return addrs, nil
}
