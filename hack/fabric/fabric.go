// Package fabric makes the network that local cells live on: a network
// namespace without a default route, linked to the root namespace by one veth
// and to every cell by another. Nothing can leave it: a packet to an address
// that is neither a cell's, a pod's nor the root end's fails at once.
//
// It needs root. All of its state is in the kernel under a name, so any
// process can continue or remove what another one made.
package fabric

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// MetadataAddr is where the fabric answers as instance metadata service.
const MetadataAddr = "169.254.169.254"

// ReservedHosts is how many addresses from the start of the subnet, the
// network address included, belong to the fabric, as the first four of a
// subnet belong to EC2.
const ReservedHosts = 4

const namespaceDir = "/run/netns"

// rootLink is the name, inside the fabric, of the veth to the root namespace.
const rootLink = "root"

// guardMetric puts the unreachable route behind every other.
const guardMetric = 4278198272

// Config names one fabric. Several with different names and subnets live side
// by side.
type Config struct {
	// Name is that of the namespace and of the root end's interface: at most
	// 15 lower-case letters, digits and hyphens.
	Name string
	// Subnet is IPv4, /28 or wider, used by nobody else on the machine.
	Subnet netip.Prefix
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,14}$`)

func (c Config) validate() error {
	switch {
	case !validName.MatchString(c.Name):
		return fmt.Errorf("fabric name %q: want at most 15 lower-case letters, digits and hyphens", c.Name)
	case !c.Subnet.IsValid() || !c.Subnet.Addr().Is4() || c.Subnet.Bits() > 28 || c.Subnet.Bits() < 8:
		return fmt.Errorf("fabric subnet %q: want an IPv4 prefix from /8 to /28", c.Subnet)
	case c.Subnet != c.Subnet.Masked():
		return fmt.Errorf("fabric subnet %q: bits set outside the mask", c.Subnet)
	}
	return nil
}

// Network is a fabric that exists. It holds no descriptor; methods may be
// called from several goroutines.
type Network struct{ cfg Config }

// Open returns the fabric if it is up, else an error that wraps fs.ErrNotExist.
func Open(cfg Config) (*Network, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n := &Network{cfg: cfg}
	if !isNamespace(n.path()) {
		return nil, fmt.Errorf("fabric %s: %w", cfg.Name, os.ErrNotExist)
	}
	return n, nil
}

// Name is the fabric's name.
func (n *Network) Name() string { return n.cfg.Name }

// Subnet is the fabric's subnet.
func (n *Network) Subnet() netip.Prefix { return n.cfg.Subnet }

// RootAddr is the root namespace's address on the fabric, the subnet's first
// host: what the cells are to find at the root end listens there.
func (n *Network) RootAddr() netip.Addr { return n.cfg.Subnet.Addr().Next() }

// Gateway is the cells' next hop, the subnet's second host.
func (n *Network) Gateway() netip.Addr { return n.RootAddr().Next() }

// SecondRootAddr is the root namespace's other address, the subnet's third
// host, for what serves twice.
func (n *Network) SecondRootAddr() netip.Addr { return n.Gateway().Next() }

func (n *Network) path() string { return filepath.Join(namespaceDir, n.cfg.Name) }

// Do runs fn on a thread inside the fabric's namespace. Sockets that fn opens
// stay there; goroutines that it starts do not run there.
func (n *Network) Do(fn func() error) error {
	target, err := netns.GetFromPath(n.path())
	if err != nil {
		return fmt.Errorf("opening the namespace of fabric %s: %w", n.cfg.Name, err)
	}
	defer target.Close()
	return inNamespace(target, fn)
}

// inNamespace runs fn with the calling thread in the namespace. A thread that
// cannot return to where it was is never used again.
func inNamespace(target netns.NsHandle, fn func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		origin, err := netns.Get()
		if err != nil {
			result <- fmt.Errorf("opening the current network namespace: %w", err)
			return
		}
		defer origin.Close()
		if err := netns.Set(target); err != nil {
			result <- fmt.Errorf("entering a network namespace: %w", err)
			return
		}
		err = fn()
		if back := netns.Set(origin); back == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// Listen opens a listener inside the fabric.
func (n *Network) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	var l net.Listener
	err := n.Do(func() (err error) {
		var lc net.ListenConfig
		l, err = lc.Listen(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening on %s in fabric %s: %w", address, n.cfg.Name, err)
	}
	return l, nil
}

// handle opens a netlink socket inside the fabric.
func (n *Network) handle() (*netlink.Handle, error) {
	target, err := netns.GetFromPath(n.path())
	if err != nil {
		return nil, fmt.Errorf("opening the namespace of fabric %s: %w", n.cfg.Name, err)
	}
	defer target.Close()
	h, err := netlink.NewHandleAt(target, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink in fabric %s: %w", n.cfg.Name, err)
	}
	return h, nil
}

// isNamespace tells a mounted namespace from a file left by a broken creation.
func isNamespace(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// isGone tells that a link, route or address was absent already.
func isGone(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist)
}

// ignoreExisting turns "is there already" into success.
func ignoreExisting(err error) error {
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

func hostNet(addr netip.Addr) *net.IPNet {
	return &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())}
}

func prefixNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
