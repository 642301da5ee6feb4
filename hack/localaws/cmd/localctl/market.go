package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kip.elotl.co/hack/localaws/admin"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/market"
	"kip.elotl.co/hack/localaws/throttle"
)

func spotPrices(c *client) *cobra.Command {
	var zone string
	cmd := &cobra.Command{
		Use: "spot-prices [TYPE]", Short: "List Spot prices beside those on demand",
		Example: "  localctl spot-prices m5.large\n  localctl spot-prices 't3.*' --zone us-east-1a",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var found []admin.SpotPrice
			if err := c.call(cmd.Context(), http.MethodGet, "spot-prices", url.Values{"instanceType": {first(args)}, "zone": {zone}}, nil, &found); err != nil {
				return err
			}
			var lines [][]string
			for _, p := range found {
				lines = append(lines, []string{p.InstanceType, p.Zone, usd(p.PerHour), usd(p.OnDemand)})
			}
			return table(cmd.OutOrStdout(), "TYPE ZONE SPOT ON-DEMAND", lines)
		},
	}
	placeFlags(cmd, &zone, nil)
	return cmd
}

func spotPrice(c *client) *cobra.Command {
	var zone string
	cmd := &cobra.Command{
		Use: "spot-price TYPE PRICE", Short: "Change what offerings cost as Spot",
		Long:    "Change what offerings cost as Spot: PRICE is in USD per hour, or such as 60% of the price on demand, or first for the price before any change.",
		Example: "  localctl spot-price m5.large 0.05 --zone us-east-1b\n  localctl spot-price 'c5.*' 95%\n  localctl spot-price '*' first",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := changeTo(args[1])
			if err != nil {
				return err
			}
			change.InstanceType, change.Zone = args[0], zone
			var out admin.Changed
			if err := c.call(cmd.Context(), http.MethodPost, "spot-prices", nil, change, &out); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d prices changed\n", out.Changed)
			return nil
		},
	}
	placeFlags(cmd, &zone, nil)
	return cmd
}

func changeTo(price string) (market.Change, error) {
	if price == "first" {
		return market.Change{}, nil
	}
	number, percent := strings.CutSuffix(price, "%")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n <= 0 {
		return market.Change{}, fmt.Errorf("%q is no price: want USD per hour such as 0.05, or a percentage such as 60%%, or first", price)
	}
	if percent {
		return market.Change{Percent: n}, nil
	}
	return market.Change{PerHour: n}, nil
}

func interrupt(c *client) *cobra.Command {
	notice := 2 * time.Minute
	cmd := &cobra.Command{
		Use: "interrupt INSTANCE...", Short: "Take Spot instances back, as EC2 does",
		Long:    "Take Spot instances back, as EC2 does: their metadata says so at once, and they end when the time of the notice is over.",
		Example: "  localctl interrupt i-0123456789abcdef0\n  localctl interrupt i-0123456789abcdef0 --notice 0s   # without a word",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var found []admin.Instance
			if err := c.call(cmd.Context(), http.MethodGet, "instances", nil, nil, &found); err != nil {
				return err
			}
			onDemand := map[string]bool{}
			for _, i := range found {
				onDemand[i.ID] = i.Market != "spot"
			}
			for _, id := range args {
				if onDemand[id] {
					return fmt.Errorf("%s is no Spot instance", id)
				}
				if err := c.call(cmd.Context(), http.MethodPost, "instances/"+url.PathEscape(id)+"/kill", nil, admin.KillRequest{Spot: true, Notice: faults.Duration(notice)}, nil); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s is interrupted\n", id)
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&notice, "notice", notice, "how long before the end the instance is told")
	return cmd
}

func limits(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "limits [SCALE|halve|none]", Short: "Show or change how fast calls may come",
		Long: `Show or change how fast calls may come. SCALE multiplies the limits that EC2 publishes: 1 is these, 0.5 half of them; none is no limits.
halve halves what is in force.`,
		Example: "  localctl limits\n  localctl limits 1\n  localctl limits halve\n  localctl limits none",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var settings throttle.Settings
			if err := c.setLimits(cmd, first(args), &settings); err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), settings)
		},
	}
}

func (c *client) setLimits(cmd *cobra.Command, to string, now *throttle.Settings) error {
	ctx := cmd.Context()
	switch to {
	case "":
		return c.call(ctx, http.MethodGet, "limits", nil, nil, now)
	case "halve":
		return c.call(ctx, http.MethodPost, "limits/scale", nil, admin.ScaleRequest{Factor: 0.5}, now)
	case "none":
		return c.call(ctx, http.MethodPut, "limits", nil, throttle.Settings{}, now)
	}
	scale, err := strconv.ParseFloat(to, 64)
	if err != nil || scale < 0 {
		return fmt.Errorf("%q is no scale: want a number such as 0.5, or halve, or none", to)
	}
	if err := c.call(ctx, http.MethodGet, "limits", nil, nil, now); err != nil {
		return err
	}
	now.Scale = scale
	return c.call(ctx, http.MethodPut, "limits", nil, *now, now)
}
