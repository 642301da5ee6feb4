// Command localaws emulates the parts of AWS that Kip uses, on their real wire
// protocols, and boots instances on this machine.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command(backends()).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "localaws:", err)
		stop()
		os.Exit(1)
	}
}

// command is localaws with its flags; back ends are known by name.
func command(backends map[string]backend) *cobra.Command {
	o := defaults()
	cmd := &cobra.Command{
		Use:           "localaws",
		Short:         "Emulate EC2 with instances on this machine",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := logr.FromSlogHandler(slog.NewJSONHandler(cmd.ErrOrStderr(), nil))
			return run(cmd.Context(), o, backends, log)
		},
	}
	o.bind(cmd.Flags())
	for _, b := range backends {
		if b.flags != nil {
			b.flags(cmd.Flags())
		}
	}
	return cmd
}
