// Command chaos kills the operator at each of its crash points, under each fault of the cloud, and looks whether anything is launched
// twice, left behind or lost.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/internal/crashpoint"
)

func main() {
	log.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		stop()
		os.Exit(1)
	}
}

type options struct {
	root, name     string
	seed           uint64
	pods, together int
	points, faults []string
	real, keep     bool
	limit          time.Duration
}

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "chaos", Short: "Kill the operator at every crash point under every fault, and check the world", Args: cobra.NoArgs,
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd, o) },
	}
	shared := cmd.PersistentFlags()
	shared.StringVar(&o.root, "root", ".", "root directory of the repository")
	shared.StringVar(&o.name, "name", "chaos", "name of the environment")
	shared.Uint64Var(&o.seed, "seed", 1, "decides which pods are struck, and which calls")
	shared.BoolVar(&o.real, "real", false, "with real cells (as root)")
	shared.BoolVar(&o.keep, "keep", false, "leave the environment up")
	shared.DurationVar(&o.limit, "limit", 4*time.Minute, "how long pods may take to end, and then to be gone")
	flags := cmd.Flags()
	flags.IntVar(&o.pods, "pods", 20, "pods of each experiment")
	flags.IntVar(&o.together, "together", 12, "experiments at the same time; under slow calls twice as many")
	flags.StringSliceVar(&o.points, "points", nil, "only at these crash points")
	flags.StringSliceVar(&o.faults, "faults", nil, "only under these of normal, lost-reply, throttled, 500 and slow")
	cmd.AddCommand(storyCommand(&o))
	return cmd
}

func storyCommand(base *options) *cobra.Command {
	var o storyOptions
	var names []string
	cmd := &cobra.Command{
		Use: "story [name...]", Short: "See many pods through what befalls the operator; all stories unless some are named",
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.seed = base.seed; len(args) > 0 {
				names = args
			}
			return tellStories(cmd.Context(), *base, o, names, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	for _, s := range stories() {
		names = append(names, s.name)
		cmd.Long += fmt.Sprintf("%-10s %s (%d)\n", s.name, s.about, s.measure.pods)
	}
	flags := cmd.Flags()
	flags.IntVar(&o.pods, "pods", 0, "how many; 0: as the story has it, as with all flags")
	flags.DurationVar(&o.lasts, "lasts", 0, "for how long something happens")
	flags.DurationVar(&o.every, "every", 0, "how often it does, where it does more than once")
	return cmd
}

// chosen are the experiments that the flags name.
func (o options) chosen() ([]experiment, error) {
	points, under := crashpoint.All(), allFaults()
	if len(o.points) > 0 {
		points = nil
		for _, name := range o.points {
			points = append(points, crashpoint.Point(name))
		}
	}
	if len(o.faults) > 0 {
		under = nil
		for _, name := range o.faults {
			under = append(under, fault(name))
		}
	}
	for _, p := range points {
		if !slices.Contains(crashpoint.All(), p) {
			return nil, fmt.Errorf("--points: there is no crash point %q", p)
		}
	}
	for _, f := range under {
		if !slices.Contains(allFaults(), f) {
			return nil, fmt.Errorf("--faults: %q is none of %v", f, allFaults())
		}
	}
	if o.pods < routed+stopped || o.pods > 255 || o.together < 1 {
		return nil, fmt.Errorf("--pods must be from %d to 255, --together at least 1", routed+stopped)
	}
	return matrix(o.seed, o.pods, points, under), nil
}

func run(cmd *cobra.Command, o options) error {
	all, err := o.chosen()
	if err != nil {
		return err
	}
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	e, err := describe(o.root, o.name, !o.real, false)
	if err != nil {
		return err
	}
	l, err := open(ctx, e, o.limit, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	began := time.Now()
	fmt.Fprintf(out, "seed %d, %d experiments with %d pods each\n", o.seed, len(all), o.pods)
	outcomes, err := l.runAll(ctx, o.seed, o.together, all)
	if err != nil {
		return fmt.Errorf("%w (the environment in %s is still up)", err, e.Dir)
	}
	if !o.keep {
		if err := e.Down(ctx, cmd.ErrOrStderr()); err != nil {
			return err
		}
	}
	sum := sumUp(outcomes)
	sum.print(out)
	fmt.Fprintf(out, "took %s\n", time.Since(began).Round(time.Second))
	if sum.bad > 0 {
		return errors.New("not everything is as it should be")
	}
	return nil
}

// runAll makes all experiments, some at the same time, and tells of each group when it is over. One whose operator died for another of its
// group just when an effect was under way, and so never came to the point after it, is made again alone.
func (l *lab) runAll(ctx context.Context, seed uint64, together int, all []experiment) ([]outcome, error) {
	outcomes, err := l.runGroups(ctx, seed, together, all)
	if err != nil {
		return outcomes, err
	}
	var missed []experiment
	for _, o := range outcomes {
		if o.missed() {
			missed = append(missed, o.experiment)
		}
	}
	again, err := l.runGroups(ctx, seed, 1, missed)
	return append(slices.DeleteFunc(outcomes, outcome.missed), again...), err
}

func (l *lab) runGroups(ctx context.Context, seed uint64, together int, all []experiment) ([]outcome, error) {
	var outcomes []outcome
	for len(all) > 0 {
		size := together
		if all[0].fault == slow && together > 1 {
			size *= 2 // it waits most of the time
		}
		group := all[:min(size, len(all))]
		if other := slices.IndexFunc(group, func(e experiment) bool { return e.fault != all[0].fault }); other > 0 {
			group = group[:other]
		}
		all = all[len(group):]
		got, err := l.run(ctx, seed, group)
		if err != nil {
			return outcomes, err
		}
		tell(l.progress, got)
		outcomes = append(outcomes, got...)
	}
	return outcomes, nil
}
