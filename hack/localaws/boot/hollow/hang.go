package hollow

import (
	"context"
	"fmt"
	"net"

	"kip.elotl.co/hack/localaws/boot"
)

// hang plays a boot that never ends: what it prints is made up.
func hang(ctx context.Context, spec boot.Spec, l net.Listener, c *console) error {
	if err := l.Close(); err != nil {
		return fmt.Errorf("release the address of %s: %w", spec.InstanceID, err)
	}
	c.print("[    0.000000] Linux version 6.1.0-hollow (nobody@localaws)\r\n" +
		"[    1.204011] EXT4-fs (nvme0n1p1): mounted filesystem with ordered data mode\r\n" +
		"[\x1b[0;32m  OK  \x1b[0m] Reached target network.target - Network.\r\n" +
		"         Starting cloud-init.service - Cloud-init: Network Stage...\r\n" +
		"[    7.531200] cloud-init[612]: waiting for a disk that does not come\r\n")
	<-ctx.Done()
	return ctx.Err()
}
