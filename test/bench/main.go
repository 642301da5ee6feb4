// Command bench measures how fast and at what cost pods come and go, with hollow cells that boot at once, and prints it beside what the
// first Kip took for the same.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/hack/dev"
	"kip.elotl.co/hack/proc/atomicfile"
	"kip.elotl.co/test/testenv"
)

func main() {
	log.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

type options struct {
	root, out   string
	singles, at int
}

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure pods on hollow cells", Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd, o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.root, "root", ".", "root directory of the repository")
	flags.StringVar(&o.out, "out", ".dev/bench.json", "file for the figures as JSON")
	flags.IntVar(&o.singles, "singles", 6, "how many times one pod is measured")
	flags.IntVar(&o.at, "pods", 100, "how many pods are made at once")
	cmd.AddCommand(limitsCommand(), agentCommand(), streamsCommand())
	return cmd
}

func run(cmd *cobra.Command, o options) error {
	ctx, progress := cmd.Context(), cmd.ErrOrStderr()
	e, err := testenv.New(o.root, "bench", true)
	if err != nil {
		return err
	}
	audit := auditLog{path: filepath.Join(e.Dir, "log", "audit")}
	if err := e.Down(ctx, progress); err != nil {
		return err
	}
	if e.APIServerArgs, err = audit.prepare(e.Dir); err != nil {
		return err
	}
	if err := e.Up(ctx, progress); err != nil {
		return err
	}
	result, err := measureAll(ctx, e, audit, o)
	if err != nil {
		return fmt.Errorf("%w (the environment in %s is still up)", err, e.Dir)
	}
	data, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	if _, err := atomicfile.Write(o.out, append(data, '\n'), 0o644); err != nil {
		return err
	}
	if err := e.Down(ctx, progress); err != nil {
		return err
	}
	if err := result.print(cmd.OutOrStdout()); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "\nas JSON: %s\n", o.out)
	return nil
}

func measureAll(ctx context.Context, e dev.Environment, audit auditLog, o options) (result, error) {
	env, err := testenv.Connect(ctx, e)
	if err != nil {
		return result{}, err
	}
	m := measurement{env: env, audit: audit}
	var r result
	for n := range o.singles {
		one, err := m.batch(ctx, fmt.Sprintf("single-%d", n), 1)
		if err != nil {
			return result{}, err
		}
		r.Singles = append(r.Singles, one)
	}
	r.Batch, err = m.batch(ctx, "batch", o.at)
	return r, err
}
