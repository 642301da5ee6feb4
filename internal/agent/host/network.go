package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The priorities of the rules about the instance's metadata: soon after the
// local table's 0, before any that others make.
const (
	exemptPriority = 100
	guardPriority  = 101
	afterPriority  = 102
)

// Actions of rules (linux/fib_rules.h).
const (
	actionNothing  = 3
	actionProhibit = 8
)

// metadataAddresses are those of the instance's metadata
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html).
func metadataAddresses() []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{169, 254, 169, 254}), netip.MustParseAddr("fd00:ec2::254")}
}

// GuardMetadata implements agent.Host. It makes routing rules in the cell's
// namespace, out of reach of whatever a pod may do in its own: what the cell
// itself sends passes by, all else is refused.
func (h *Host) GuardMetadata(pass bool) error {
	for _, address := range metadataAddresses() {
		change := netlink.RuleAdd
		if pass {
			change = netlink.RuleDel
		}
		for _, rule := range guardRules(address, pass) {
			if err := ignoreSettled(change(rule), address); err != nil {
				return fmt.Errorf("guarding the instance's metadata at %s from pods: %w", address, err)
			}
		}
	}
	return nil
}

// guardRules are in the order in which they may be made, so that the cell itself
// always passes; to be taken away they are in the opposite order.
func guardRules(address netip.Addr, remove bool) []*netlink.Rule {
	rule := func(priority int) *netlink.Rule {
		r := netlink.NewRule()
		r.Priority = priority
		r.Dst = &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(address.BitLen(), address.BitLen())}
		r.Family = unix.AF_INET
		if address.Is6() {
			r.Family = unix.AF_INET6
		}
		return r
	}
	after, exempt, guard := rule(afterPriority), rule(exemptPriority), rule(guardPriority)
	after.Type, guard.Type = actionNothing, actionProhibit
	exempt.IifName, exempt.Goto = "lo", afterPriority // "lo": what the cell sends
	if remove {
		return []*netlink.Rule{guard, exempt, after}
	}
	return []*netlink.Rule{after, exempt, guard}
}

// ignoreSettled takes a rule that is there, or gone, already for made or
// removed, and does without those of a family that the kernel does not speak.
func ignoreSettled(err error, address netip.Addr) error {
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOENT) || address.Is6() && errors.Is(err, unix.EAFNOSUPPORT) {
		return nil
	}
	return err
}

// DeviceWithAddress implements agent.Host.
func (h *Host) DeviceWithAddress(address netip.Addr) (string, error) {
	devices, err := net.Interfaces()
	if err != nil {
		return "", fmt.Errorf("listing the cell's network interfaces: %w", err)
	}
	for _, device := range devices {
		configured, err := device.Addrs()
		if err != nil {
			return "", fmt.Errorf("listing the addresses of %s: %w", device.Name, err)
		}
		for _, one := range configured {
			if network, ok := one.(*net.IPNet); ok && network.IP.Equal(address.AsSlice()) {
				return device.Name, nil
			}
		}
	}
	return "", nil
}
