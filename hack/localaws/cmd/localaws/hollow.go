package main

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/spf13/pflag"

	"kip.elotl.co/hack/localaws/boot/hollow"
)

func hollowBackend() backend {
	var config hollow.Config
	return backend{
		flags: func(f *pflag.FlagSet) {
			f.DurationVar(&config.BootTime, "hollow-boot-time", 0, "how long a hollow cell takes until its agent listens")
		},
		open: func(_ context.Context, e environment) (opened, error) {
			if loopback := netip.MustParsePrefix("127.0.0.0/8"); !loopback.Contains(e.Catalog.VPC.CIDR.Addr()) {
				return opened{}, fmt.Errorf("hollow cells need a --subnet inside %s, not %s", loopback, e.Catalog.VPC.CIDR)
			}
			config.Parameters = e.Parameters
			return opened{Backend: hollow.New(config)}, nil
		},
	}
}
