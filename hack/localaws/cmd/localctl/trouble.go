package main

import (
	"github.com/spf13/cobra"

	"kip.elotl.co/hack/localaws/faults"
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
