package host

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// Dial implements agent.Host. It does not lead to the instance's metadata: what
// asks is the pod, by its probes and hooks.
func (h *Host) Dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		target, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if slices.Contains(metadataAddresses(), target.Addr().Unmap()) {
			return fmt.Errorf("%s is not for pods", target.Addr())
		}
		return nil
	}}
	return dialer.DialContext(ctx, "tcp", address)
}
