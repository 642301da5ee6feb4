// Command devcluster builds, starts and stops a Kubernetes control plane on this machine.
//
//	devcluster build    make the executables (those that are not up to date) and print their directory
//	devcluster up       build, start what does not run, print the administrator's kubeconfig
//	devcluster down     stop it
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"kip.elotl.co/hack/devcluster"
	"kip.elotl.co/hack/devcluster/build"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "devcluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var cfg devcluster.Config
	flags := flag.NewFlagSet("devcluster [flags] build|up|down", flag.ContinueOnError)
	flags.StringVar(&cfg.Dir, "dir", ".dev", "`directory` of the cluster's state")
	flags.StringVar(&cfg.BinDir, "bin", "bin", "`directory` of the executables")
	root := flags.String("root", ".", "root `directory` of this repository")
	flags.IntVar(&cfg.Ports.APIServer, "port", 0, "port of the API server; 0: a free one, kept from then on")
	flags.DurationVar(&cfg.NodeMonitorGrace, "node-monitor-grace", 0, "how long after its last sign of life a node becomes NotReady; 0: 50s")
	flags.Func("address", "`IP` address for the API server besides 127.0.0.1; may be given several times", func(s string) error {
		ip := net.ParseIP(s)
		if ip == nil {
			return fmt.Errorf("%q is not an IP address", s)
		}
		cfg.BindAddresses = append(cfg.BindAddresses, ip)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	builder := build.Builder{Root: *root, BinDir: cfg.BinDir, Progress: os.Stderr}
	switch flags.Arg(0) {
	case "build":
		return builder.Build(ctx)
	case "up":
		return up(ctx, builder, cfg)
	case "down":
		return devcluster.Stop(ctx, cfg.Dir)
	}
	return fmt.Errorf("%q is neither build nor up nor down", flags.Arg(0))
}

func up(ctx context.Context, builder build.Builder, cfg devcluster.Config) error {
	if err := builder.Build(ctx); err != nil {
		return err
	}
	cluster, err := devcluster.Start(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Println(cluster.AdminKubeconfig())
	return nil
}
