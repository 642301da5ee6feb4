package main

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"kip.elotl.co/hack/localaws/admin"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/world"
)

func hang(c *client) *cobra.Command {
	h := faults.HungBoot{Count: 1}
	cmd := &cobra.Command{
		Use: "hang [TYPE]", Short: "Let the next instances never get to the end of their boot",
		Long: `Let the next instances never get to the end of their boot: they run, print something to their console, and no agent answers.
TYPE is an instance type; * and ? match.`,
		Example: "  localctl hang\n  localctl hang 't3.*' --zone us-east-1a -n 0   # all, until healed",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h.InstanceType = first(args)
			return c.add(cmd, faults.Plan{HungBoots: []faults.HungBoot{h}}, "hang: type %s, zone %s", orAny(h.InstanceType), orAny(h.Zone))
		},
	}
	cmd.Flags().IntVarP(&h.Count, "count", "n", h.Count, "how many instances; 0 for all until healed")
	placeFlags(cmd, &h.Zone, nil)
	return cmd
}

// afflict changes fields of what EC2 tells of an instance, a world.Trouble.
func (c *client) afflict(cmd *cobra.Command, id string, to map[string]any) error {
	return c.call(cmd.Context(), http.MethodPatch, "instances/"+url.PathEscape(id)+"/trouble", nil, to, nil)
}

func impair(c *client) *cobra.Command {
	var to world.Trouble
	cmd := &cobra.Command{
		Use: "impair INSTANCE", Short: "Let the status checks of an instance fail, or pass again",
		Example: "  localctl impair i-0123456789abcdef0 --system\n  localctl impair i-0123456789abcdef0   # they pass",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.afflict(cmd, args[0], map[string]any{"systemImpaired": to.SystemImpaired, "instanceImpaired": to.InstanceImpaired}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: system status check fails: %t, instance status check fails: %t\n", args[0], to.SystemImpaired, to.InstanceImpaired)
			return nil
		},
	}
	cmd.Flags().BoolVar(&to.SystemImpaired, "system", false, "the system status check fails")
	cmd.Flags().BoolVar(&to.InstanceImpaired, "instance", false, "the instance status check fails")
	return cmd
}

func maintain(c *client) *cobra.Command {
	m := world.Maintenance{Code: "instance-retirement", Description: "The instance is running on degraded hardware"}
	in := 24 * time.Hour
	cmd := &cobra.Command{
		Use: "maintain INSTANCE", Short: "Schedule maintenance of an instance, as EC2 tells of it",
		Example: "  localctl maintain i-0123456789abcdef0 --code system-reboot --in 2h",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m.NotBefore = time.Now().Add(in).UTC().Truncate(time.Second)
			if err := c.afflict(cmd, args[0], map[string]any{"maintenance": []world.Maintenance{m}}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s not before %s\n", args[0], m.Code, m.NotBefore.Format(time.RFC3339))
			return nil
		},
	}
	cmd.Flags().StringVar(&m.Code, "code", m.Code, "instance-reboot, system-reboot, system-maintenance, instance-retirement or instance-stop")
	cmd.Flags().DurationVar(&in, "in", in, "when it begins")
	return cmd
}

func stopInstance(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "stop INSTANCE", Short: "Stop an instance, as somebody's StopInstances would",
		Example: "  localctl stop i-0123456789abcdef0",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.call(cmd.Context(), http.MethodPost, "instances/"+url.PathEscape(args[0])+"/stop", nil, struct{}{}, nil); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is stopping\n", args[0])
			return nil
		},
	}
}

func rebalance(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "rebalance INSTANCE", Short: "Recommend to move away from an instance, by its metadata",
		Example: "  localctl rebalance i-0123456789abcdef0",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.afflict(cmd, args[0], map[string]any{"rebalance": time.Now().UTC().Truncate(time.Second)}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is told to rebalance\n", args[0])
			return nil
		},
	}
}

func kill(c *client) *cobra.Command {
	var req admin.KillRequest
	cmd := &cobra.Command{
		Use: "kill INSTANCE", Short: "End an instance as a failing host does",
		Example: "  localctl kill i-0123456789abcdef0\n  localctl kill i-0123456789abcdef0 --unnoticed   # EC2 goes on calling it running",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.call(cmd.Context(), http.MethodPost, "instances/"+url.PathEscape(args[0])+"/kill", nil, req, nil); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is killed\n", args[0])
			return nil
		},
	}
	cmd.Flags().BoolVar(&req.Unnoticed, "unnoticed", false, "EC2 goes on calling it running")
	return cmd
}

func killAgent(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "kill-agent INSTANCE", Short: "Kill the agent of an instance; the instance starts another",
		Example: "  localctl kill-agent i-0123456789abcdef0",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.call(cmd.Context(), http.MethodPost, "instances/"+url.PathEscape(args[0])+"/kill-agent", nil, struct{}{}, nil); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the agent of %s is killed\n", args[0])
			return nil
		},
	}
}

func unseen(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "unseen DURATION", Short: "Let no call but the launch show an instance for so long after its launch",
		Example: "  localctl unseen 20s",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := time.ParseDuration(args[0])
			if err != nil {
				return err
			}
			return c.add(cmd, faults.Plan{UnseenFor: faults.Duration(d)}, "unseen: for %s after their launch", d)
		},
	}
}

func slowMetadata(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "slow-metadata DURATION", Short: "Let each answer of the instances' metadata service take so long",
		Example: "  localctl slow-metadata 5s",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := time.ParseDuration(args[0])
			if err != nil {
				return err
			}
			return c.add(cmd, faults.Plan{MetadataDelay: faults.Duration(d)}, "slow-metadata: each answer takes %s", d)
		},
	}
}
