package main

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/pflag"
)

// options are localaws's flags.
type options struct {
	listen   []string
	stateDir string
	region   string
	subnet   string
	boot     string

	pendingDelay, shutdownDelay, consistencyDelay time.Duration
	latency                                       time.Duration
	limits                                        float64
	keepInstances                                 bool
	// roles are files with policies by the name of the role.
	roles map[string]string
	// registryPassword is in the tokens that ECR gives.
	registryPassword string

	endTimeout time.Duration
}

func defaults() *options {
	return &options{
		listen: []string{"127.0.0.1:4566"}, stateDir: ".dev/localaws", region: "us-east-1", subnet: "100.64.77.0/24", boot: "hollow",
		shutdownDelay: 50 * time.Millisecond, latency: 2 * time.Millisecond, endTimeout: time.Minute,
	}
}

func (o *options) bind(f *pflag.FlagSet) {
	f.StringSliceVar(&o.listen, "listen", o.listen, "addresses to serve on")
	f.StringVar(&o.stateDir, "state-dir", o.stateDir, "directory for the state and the journal")
	f.StringVar(&o.region, "region", o.region, "region to be")
	f.StringVar(&o.subnet, "subnet", o.subnet, "IPv4 range of the VPC, from /16 to /26; its first address is this machine's; hollow cells need one inside 127.0.0.0/8")
	f.StringVar(&o.boot, "boot", o.boot, "back end that boots instances")
	f.DurationVar(&o.pendingDelay, "pending-delay", o.pendingDelay, "how long a launch stays pending at least")
	f.DurationVar(&o.shutdownDelay, "shutdown-delay", o.shutdownDelay, "how long a termination stays shutting-down at least")
	f.DurationVar(&o.consistencyDelay, "consistency-delay", o.consistencyDelay, "how long after a launch other calls do not know the instance")
	f.DurationVar(&o.latency, "latency", o.latency, "how long every call takes at least")
	f.Float64Var(&o.limits, "limits", o.limits, "limit the rate of calls: 1 as EC2 publishes, 0.5 half of it, 0 not at all")
	f.BoolVar(&o.keepInstances, "keep-instances", o.keepInstances, "on SIGTERM leave instances running for the next start, instead of ending them")
	f.StringToStringVar(&o.roles, "role", o.roles, "NAME=FILE: a role, in an instance profile of its name, with the policy of that file")
	f.StringVar(&o.registryPassword, "registry-password", o.registryPassword, "password in ECR's tokens, which the registry that stands in for it has to take; one that nobody knows when empty")
	f.DurationVar(&o.endTimeout, "end-timeout", o.endTimeout, "how long ending the instances may take on SIGTERM")
}

func (o *options) network() (netip.Prefix, error) {
	p, err := netip.ParsePrefix(o.subnet)
	if err != nil {
		return p, fmt.Errorf("--subnet: %w", err)
	}
	return p, nil
}
