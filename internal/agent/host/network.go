package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kip.elotl.co/internal/agent"
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
// namespace, out of reach of whatever a pod may do in its own: what is not to
// pass is refused.
func (h *Host) GuardMetadata(access agent.MetadataAccess) error {
	for _, address := range metadataAddresses() {
		for _, step := range guardSteps(address, access) {
			if err := ignoreSettled(step.change(step.rule), address); err != nil {
				return fmt.Errorf("guarding the instance's metadata at %s from pods: %w", address, err)
			}
		}
	}
	return nil
}

type guardStep struct {
	change func(*netlink.Rule) error
	rule   *netlink.Rule
}

// guardSteps are in an order in which nobody is let pass, nor the cell kept out,
// in between.
func guardSteps(address netip.Addr, access agent.MetadataAccess) []guardStep {
	after, exempt, guard := guardRule(address, afterPriority), guardRule(address, exemptPriority), guardRule(address, guardPriority)
	after.Type, guard.Type = actionNothing, actionProhibit
	exempt.IifName, exempt.Goto = "lo", afterPriority // "lo": what the cell sends
	switch access {
	case agent.MetadataForPods:
		return []guardStep{{netlink.RuleDel, guard}, {netlink.RuleDel, exempt}, {netlink.RuleDel, after}}
	case agent.MetadataForNone:
		return []guardStep{{netlink.RuleAdd, guard}, {netlink.RuleDel, exempt}, {netlink.RuleDel, after}}
	}
	return []guardStep{{netlink.RuleAdd, after}, {netlink.RuleAdd, exempt}, {netlink.RuleAdd, guard}}
}

func guardRule(address netip.Addr, priority int) *netlink.Rule {
	rule := netlink.NewRule()
	rule.Priority = priority
	rule.Dst = &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(address.BitLen(), address.BitLen())}
	rule.Family = unix.AF_INET
	if address.Is6() {
		rule.Family = unix.AF_INET6
	}
	return rule
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
