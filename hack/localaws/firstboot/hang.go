package firstboot

import (
	"context"
	"os"
)

// HangFile is there in a cell whose first boot is never to get to its end.
const HangFile = "/etc/localaws-hangs"

// hang stops a first boot for ever where it is told to.
func hang(ctx context.Context, c *console) {
	if _, err := os.Stat(HangFile); err != nil {
		return
	}
	c.printf("waiting for a disk that does not come")
	<-ctx.Done()
}
