package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"kip.elotl.co/hack/dev"
	"kip.elotl.co/hack/localaws/journal"
	"kip.elotl.co/hack/localaws/throttle"
	"kip.elotl.co/test/testenv"
)

const (
	// settled is how long after the first launch an operator may still be learning what is allowed.
	settled = 10 * time.Second
	// limitsBound is for 500 pods at a quarter of what EC2 allows.
	limitsBound = 30 * time.Minute
)

// limitsCommand measures launches under the rate limits that EC2 publishes.
func limitsCommand() *cobra.Command {
	var root string
	var pods int
	var halve bool
	cmd := &cobra.Command{
		Use: "limits", Short: "Measure launches under EC2's published rate limits", Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return runLimits(cmd, root, pods, halve) },
	}
	cmd.Flags().StringVar(&root, "root", ".", "root directory of the repository")
	cmd.Flags().IntVar(&pods, "pods", 500, "how many pods are made at once")
	cmd.Flags().BoolVar(&halve, "halve", false, "allow half of what is published, without telling the operator")
	return cmd
}

func runLimits(cmd *cobra.Command, root string, pods int, halve bool) error {
	ctx, progress := cmd.Context(), cmd.ErrOrStderr()
	e, err := testenv.New(root, "bench-limits", true)
	if err != nil {
		return err
	}
	e.AWSLimits = "published"
	if err := e.Down(ctx, progress); err != nil {
		return err
	}
	if err := e.Up(ctx, progress); err != nil {
		return err
	}
	scale := 1.0
	if halve {
		scale = 0.5
	}
	report, err := measureLimits(ctx, e, pods, scale)
	if err != nil {
		return fmt.Errorf("%w (the environment in %s is still up)", err, e.Dir)
	}
	if err := e.Down(ctx, progress); err != nil {
		return err
	}
	return report.print(cmd.OutOrStdout())
}

func measureLimits(ctx context.Context, e dev.Environment, pods int, scale float64) (limitsReport, error) {
	ctx, cancel := context.WithTimeout(ctx, limitsBound)
	defer cancel()
	env, err := testenv.Connect(ctx, e)
	if err != nil {
		return limitsReport{}, err
	}
	if err := env.SetLimits(ctx, throttle.Settings{Scale: scale}); err != nil {
		return limitsReport{}, err
	}
	before, err := env.LastCall(ctx)
	if err != nil {
		return limitsReport{}, err
	}
	m := measurement{env: env}
	if _, err := m.live(ctx, "limited", pods); err != nil {
		return limitsReport{}, err
	}
	calls, err := env.Calls(ctx, before, "")
	if err != nil {
		return limitsReport{}, err
	}
	return newLimitsReport(calls, pods, scale)
}

// limitsReport is what became of launches under rate limits.
type limitsReport struct {
	pods, instances int
	scale           float64
	took            time.Duration
	// calls and throttled are counted after operators have settled.
	calls, throttled int
}

func newLimitsReport(calls []journal.Entry, pods int, scale float64) (limitsReport, error) {
	times := launches(calls)
	if len(times) == 0 {
		return limitsReport{}, errors.New("nothing was launched")
	}
	first, last := slices.MinFunc(times, time.Time.Compare), slices.MaxFunc(times, time.Time.Compare)
	r := limitsReport{pods: pods, instances: len(times), scale: scale, took: last.Sub(first)}
	for _, call := range calls {
		if call.Time.Before(first.Add(settled)) || call.Time.After(last) {
			continue
		}
		r.calls++
		if call.Code == "RequestLimitExceeded" {
			r.throttled++
		}
	}
	return r, nil
}

func (r limitsReport) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, `%d pods, %g × EC2's published limits
  instances launched      %d (aim: %d)
  launched within         %.1f s
  of what was allowed     %.1f %% (aim: ≥ 95 %%)
  calls throttled         %d of %d after the first %s (aim: < 5 %%)
`, r.pods, r.scale, r.instances, r.pods, r.took.Seconds(), 100*float64(r.instances)/r.allowed(), r.throttled, r.calls, settled)
	return err
}

// allowed is how many launches the buckets allowed in the time that they took.
func (r limitsReport) allowed() float64 {
	limit := throttle.Published()["RunInstances"].Requests
	return r.scale * (limit.Burst + limit.PerSecond*r.took.Seconds())
}
