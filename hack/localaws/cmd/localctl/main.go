// Command localctl looks into the emulated cloud, and has it go wrong.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "localctl:", err)
		stop()
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var c client
	cmd := &cobra.Command{
		Use:   "localctl",
		Short: "Look into the emulated EC2, and have it go wrong",
		Long: `Look into the emulated EC2, and have it go wrong.

The emulator is found by --endpoint, else by AWS_ENDPOINT_URL, else by .dev/aws.env in this directory or one above it.`,
		Example: `  localctl instances
  localctl dry 't3.*' --zone us-east-1a --market spot
  localctl quota standard 8 --market spot
  localctl spot-price m5.large 0.05 --zone us-east-1b
  localctl interrupt i-0123456789abcdef0
  localctl limits halve
  localctl heal`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return c.find()
		},
	}
	cmd.PersistentFlags().StringVar(&c.endpoint, "endpoint", "", "URL of the emulator")
	cmd.AddCommand(
		instances(&c), journalOf(&c), calls(&c), showFaults(&c), spotPrices(&c), parametersOf(&c), rolesOf(&c), role(&c), credentials(&c),
		dry(&c), wet(&c), quota(&c), throttleCalls(&c), fail(&c), full(&c), hang(&c), impair(&c), maintain(&c), stopInstance(&c), rebalance(&c),
		kill(&c), killAgent(&c), unseen(&c), slowMetadata(&c), heal(&c),
		spotPrice(&c), interrupt(&c), limits(&c),
	)
	return cmd
}
