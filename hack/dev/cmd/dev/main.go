// Command dev brings the local environment up and takes it down.
package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/spf13/cobra"

	"kip.elotl.co/hack/dev"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "dev:", err)
		stop()
		os.Exit(1)
	}
}

type options struct {
	root, dir, bin, subnet string
	hollow                 bool
	replicas               int
}

func (o *options) environment() (dev.Environment, error) {
	e := dev.Environment{Root: o.root, Dir: o.dir, BinDir: o.bin, Name: "dev", Hollow: o.hollow, Replicas: o.replicas}
	if o.subnet == "" {
		return e, nil
	}
	var err error
	if e.Subnet, err = netip.ParsePrefix(o.subnet); err != nil {
		return e, fmt.Errorf("--subnet: %w", err)
	}
	return e, nil
}

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{Use: "dev", Short: "The local environment", SilenceUsage: true, SilenceErrors: true}
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.root, "root", ".", "root directory of the repository")
	flags.StringVar(&o.dir, "dir", ".dev", "directory of the environment's state")
	flags.StringVar(&o.bin, "bin", "bin", "directory of the executables")
	flags.StringVar(&o.subnet, "subnet", "", "IPv4 range of the cells, inside 127.0.0.0/8 for hollow ones (default: as last time, or a free one)")
	flags.BoolVar(&o.hollow, "hollow", false, "cells simulate their containers; needs no root")
	flags.IntVar(&o.replicas, "replicas", 0, "how many operators run, 1 or 2 (default: as many as there are, or 1)")
	with := func(use, short string, run func(dev.Environment, *cobra.Command) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := o.environment()
			if err != nil {
				return err
			}
			return run(e, cmd)
		}}
	}
	cmd.AddCommand(
		with("up", "Start what does not run", func(e dev.Environment, c *cobra.Command) error { return e.Up(c.Context(), c.OutOrStdout()) }),
		with("down", "End all of it", func(e dev.Environment, c *cobra.Command) error { return e.Down(c.Context(), c.OutOrStdout()) }),
		with("roll", "Start the operator's replicas anew, one after the other", func(e dev.Environment, c *cobra.Command) error { return e.RollOperators(c.Context()) }),
		with("build", "Build all executables", func(e dev.Environment, c *cobra.Command) error { return e.Build(c.Context(), c.OutOrStdout()) }),
		with("packages", "Install the Debian packages that real cells need",
			func(_ dev.Environment, c *cobra.Command) error {
				return dev.InstallPackages(c.Context(), c.OutOrStdout())
			}),
		&cobra.Command{Use: "instances", Short: "List the live instances, asking as AWS_* variables say", Args: cobra.NoArgs, RunE: instances},
	)
	return cmd
}

// instances prints the instances that are neither terminated nor on the way, and how many they are.
func instances(cmd *cobra.Command, _ []string) error {
	cfg, err := config.LoadDefaultConfig(cmd.Context())
	if err != nil {
		return err
	}
	live := ec2.NewDescribeInstancesPaginator(ec2.NewFromConfig(cfg), &ec2.DescribeInstancesInput{Filters: []types.Filter{
		{Name: aws.String("instance-state-name"), Values: []string{"pending", "running", "stopping", "stopped", "shutting-down"}},
	}})
	count := 0
	for live.HasMorePages() {
		page, err := live.NextPage(cmd.Context())
		if err != nil {
			return fmt.Errorf("describing instances: %w", err)
		}
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				count++
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %-12s %-10s %s\n",
					aws.ToString(i.InstanceId), i.State.Name, i.InstanceType, aws.ToString(i.PrivateIpAddress))
			}
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d live instances\n", count)
	return nil
}
