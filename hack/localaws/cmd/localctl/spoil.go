package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"kip.elotl.co/hack/localaws/admin"
	"kip.elotl.co/hack/localaws/faults"
)

// add puts more over what goes wrong, and says that it was done.
func (c *client) add(cmd *cobra.Command, plan faults.Plan, said string, args ...any) error {
	if err := c.call(cmd.Context(), http.MethodPost, "faults", nil, plan, nil); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), said+"\n", args...)
	return nil
}

// first is the first argument, or "" for want of one.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// orAny names what a pattern stands for.
func orAny(pattern string) string {
	if pattern == "" {
		return "any"
	}
	return pattern
}

func placeFlags(cmd *cobra.Command, zone, market *string) {
	cmd.Flags().StringVar(zone, "zone", "", "in this zone only; * and ? match")
	if market != nil {
		cmd.Flags().StringVar(market, "market", "", "in this market only: on-demand or spot")
	}
}

func dry(c *client) *cobra.Command {
	var d faults.Dry
	cmd := &cobra.Command{
		Use: "dry TYPE", Short: "Let offerings have no capacity",
		Long:    "Let offerings have no capacity: launches answer InsufficientInstanceCapacity. TYPE is an instance type; * and ? match.",
		Example: "  localctl dry t3.small\n  localctl dry 'm5.*' --zone us-east-1a\n  localctl dry '*' --market spot",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d.InstanceType = args[0]
			return c.add(cmd, faults.Plan{Capacity: []faults.Dry{d}}, "dry: type %s, zone %s, market %s", orAny(d.InstanceType), orAny(d.Zone), orAny(d.Market))
		},
	}
	placeFlags(cmd, &d.Zone, &d.Market)
	return cmd
}

func wet(c *client) *cobra.Command {
	var zone, market string
	cmd := &cobra.Command{
		Use: "wet [TYPE]", Short: "Give capacity back to what was made dry",
		Example: "  localctl wet t3.small\n  localctl wet",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out admin.Changed
			query := url.Values{"instanceType": {first(args)}, "zone": {zone}, "market": {market}}
			if err := c.call(cmd.Context(), http.MethodDelete, "faults/capacity", query, nil, &out); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d of what was dry has capacity again\n", out.Changed)
			return nil
		},
	}
	placeFlags(cmd, &zone, &market)
	return cmd
}

func quota(c *client) *cobra.Command {
	var market string
	cmd := &cobra.Command{
		Use: "quota GROUP VCPUS|none", Short: "Limit the running vCPUs of a group of families in a market",
		Long: `Limit the running vCPUs of a group of families in a market: launches beyond answer VcpuLimitExceeded or, for Spot,
MaxSpotInstanceCountExceeded. GROUP is standard, g, p, inf, trn, x or high-memory.`,
		Example: "  localctl quota standard 8\n  localctl quota g 0 --market spot\n  localctl quota standard none",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[1] == "none" {
				return c.unlimit(cmd, args[0], market)
			}
			n, err := strconv.Atoi(args[1])
			if err != nil {
				return fmt.Errorf("%q is neither a number of vCPUs nor none", args[1])
			}
			q := faults.Quota{Group: args[0], Market: market, VCPUs: n}
			return c.add(cmd, faults.Plan{Quotas: []faults.Quota{q}}, "quota: %d vCPUs of group %s, %s", n, args[0], market)
		},
	}
	cmd.Flags().StringVar(&market, "market", "on-demand", "on-demand or spot")
	return cmd
}

func (c *client) unlimit(cmd *cobra.Command, group, market string) error {
	var out admin.Changed
	if err := c.call(cmd.Context(), http.MethodDelete, "faults/quotas", url.Values{"group": {group}, "market": {market}}, nil, &out); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d quotas taken away\n", out.Changed)
	return nil
}

func throttleCalls(c *client) *cobra.Command {
	n := 1
	cmd := &cobra.Command{
		Use: "throttle ACTION", Short: "Refuse the next calls of an action with RequestLimitExceeded",
		Example: "  localctl throttle RunInstances -n 5\n  localctl throttle 'Describe*' -n 0   # all, until healed",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			refusal := faults.Refusal{Action: args[0], Code: "RequestLimitExceeded", Message: "Request limit exceeded.", Count: n}
			return c.add(cmd, faults.Plan{Errors: []faults.Refusal{refusal}}, "%s: %s of %s", refusal.Code, howMany(n), args[0])
		},
	}
	cmd.Flags().IntVarP(&n, "count", "n", n, "how many calls; 0 for all until healed")
	return cmd
}

func howMany(n int) string {
	if n == 0 {
		return "all calls"
	}
	return fmt.Sprintf("the next %d calls", n)
}

func fail(c *client) *cobra.Command {
	n, message := 1, ""
	cmd := &cobra.Command{
		Use: "error ACTION CODE", Short: "Answer the next calls of an action with an error code",
		Example: "  localctl error RunInstances UnauthorizedOperation\n  localctl error 'Describe*' InternalError -n 10",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			refusal := faults.Refusal{Action: args[0], Code: args[1], Message: message, Count: n}
			return c.add(cmd, faults.Plan{Errors: []faults.Refusal{refusal}}, "%s: %s of %s", args[1], howMany(n), args[0])
		},
	}
	cmd.Flags().IntVarP(&n, "count", "n", n, "how many calls; 0 for all until healed")
	cmd.Flags().StringVar(&message, "message", "", "message of the error")
	return cmd
}

func full(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "full SUBNET", Short: "Let a subnet have no free addresses",
		Example: "  localctl full subnet-0000000c0ffee0010\n  localctl full 'subnet-*'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.add(cmd, faults.Plan{FullSubnets: args}, "full: %s", args[0])
		},
	}
}

func heal(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "heal", Short: "Let nothing go wrong any more; prices and rate limits stay",
		Example: "  localctl heal",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.call(cmd.Context(), http.MethodDelete, "faults", nil, nil, nil); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "nothing goes wrong any more")
			return nil
		},
	}
}
