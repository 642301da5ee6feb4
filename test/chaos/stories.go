package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/hack/dev"
	"kip.elotl.co/hack/devcluster"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/proc"
	"kip.elotl.co/internal/castore"
)

// story is what befalls the operator while it has many pods.
type story struct {
	name, about string
	// measure is what it is told with unless told otherwise, replicas how many operators there are.
	measure  storyOptions
	replicas int
	tell     func(ctx context.Context, l *lab, o storyOptions, out io.Writer) error
}

// storyOptions are the measure of a story.
type storyOptions struct {
	pods int
	// lasts is how long it goes on for, every how often something happens.
	lasts, every time.Duration
	seed         uint64
}

func stories() []story {
	return []story{
		{"many", "pods made at once while 20 % of the calls are refused and of 20 % the reply is lost", storyOptions{pods: 500}, 1, tellMany},
		{"kill", "kill -9 of the operator again and again under pods that run", storyOptions{pods: 100, lasts: 3 * time.Minute, every: 5 * time.Second}, 1, tellKill},
		{"handover", "leadership that goes to and fro, and a deleted Secret of the authority, while pods are made", storyOptions{pods: 100, lasts: time.Minute, every: 8 * time.Second}, 2, tellHandover},
		{"outage", "an API server that is away under pods that run", storyOptions{pods: 100, lasts: 2 * time.Minute}, 1, tellOutage},
	}
}

// spoilt is of how many in a hundred calls the reply is lost, and as many are refused.
const spoilt = 20

func tellMany(ctx context.Context, l *lab, o storyOptions, out io.Writer) error {
	h, err := newHerd(ctx, l, "many", sameLives(o.pods, endsSoon))
	if err != nil {
		return err
	}
	plan := faults.Plan{Seed: o.seed}
	for _, action := range changing() {
		code := "RequestLimitExceeded"
		if strings.Contains(action, "Parameter") {
			code = "ThrottlingException"
		}
		plan.LostReplies = append(plan.LostReplies, faults.Loss{Action: action, Percent: spoilt})
		plan.Errors = append(plan.Errors, faults.Refusal{Action: action, Code: code, Percent: spoilt})
	}
	if err := errors.Join(l.env.SetFaults(ctx, plan), h.create(ctx, 0), h.untilRight(ctx)); err != nil {
		return err
	}
	return h.account(ctx, out)
}

func sameLives(n int, life time.Duration) []time.Duration {
	lives := make([]time.Duration, n)
	for i := range lives {
		lives[i] = life
	}
	return lives
}

// mixedLives are those of pods of which one in five ends by itself in the course of a story.
func mixedLives(n int, lasts time.Duration) []time.Duration {
	lives := sameLives(n, untilDeleted)
	for i := 0; i < n; i += 5 {
		lives[i] = lasts * time.Duration(i+1) / time.Duration(n)
	}
	return lives
}

func tellKill(ctx context.Context, l *lab, o storyOptions, out io.Writer) error {
	h, err := newHerd(ctx, l, "kill", mixedLives(o.pods, o.lasts))
	if err != nil {
		return err
	}
	if err := errors.Join(h.create(ctx, 0), h.untilStarted(ctx)); err != nil {
		return err
	}
	kills := 0
	err = every(ctx, o, func(ctx context.Context) error {
		if err := killOperator(l, dev.Operator); err != nil {
			return err
		}
		kills++
		// Some pods are deleted meanwhile: those at 1, 6, 11 and so on.
		if i := 1 + 5*(kills/4); kills%4 == 0 && i < o.pods {
			if err := h.remove(ctx, i); err != nil {
				return err
			}
		}
		return l.start(ctx)
	})
	fmt.Fprintf(out, "  the operator was killed %d times\n", kills)
	if err := errors.Join(err, h.untilRight(ctx)); err != nil {
		return err
	}
	return h.account(ctx, out)
}

// every does something now and again, until the story has lasted long enough.
func every(ctx context.Context, o storyOptions, do func(context.Context) error) error {
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	over := time.After(o.lasts)
	for {
		if err := do(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-over:
			return nil
		case <-tick.C:
		}
	}
}

// killOperator ends a replica of the operator as a lost machine does.
func killOperator(l *lab, name string) error {
	process, alive, err := proc.Alive(l.env.Dir, name)
	if err != nil || !alive {
		return err
	}
	if err := unix.Kill(process.PID, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("killing %s: %w", name, err)
	}
	return nil
}

// tellHandover ends the leader time and again: in order, and every third time by SIGKILL. In the middle the Secret of the authority is deleted.
func tellHandover(ctx context.Context, l *lab, o storyOptions, out io.Writer) error {
	h, err := newHerd(ctx, l, "handover", mixedLives(o.pods, o.lasts))
	if err != nil {
		return err
	}
	making, makingCtx := errgroup.WithContext(ctx)
	making.Go(func() error { return h.create(makingCtx, o.lasts) })
	times := 0
	err = every(ctx, o, func(ctx context.Context) error {
		times++
		if times == 2 {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: dev.Namespace, Name: castore.SecretName}}
			if err := l.env.Delete(ctx, secret); err != nil {
				return fmt.Errorf("deleting the authority: %w", err)
			}
			if err := untilBack(ctx, l, secret); err != nil {
				return err
			}
		}
		if times%3 == 0 {
			for _, name := range []string{dev.Operator, dev.SecondOperator} {
				if err := killOperator(l, name); err != nil {
					return err
				}
			}
			return l.env.StartOperator(ctx)
		}
		return l.env.RollOperators(ctx)
	})
	fmt.Fprintf(out, "  all operators were replaced %d times, every third time by SIGKILL of all\n", times)
	if err := errors.Join(err, making.Wait(), h.untilStarted(ctx), h.untilRight(ctx)); err != nil {
		return err
	}
	return h.account(ctx, out)
}

func untilBack(ctx context.Context, l *lab, object client.Object) error {
	limited, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	err := poll(limited, func(ctx context.Context) (bool, error) {
		err := l.env.Get(ctx, client.ObjectKeyFromObject(object), object)
		return err == nil, client.IgnoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("waiting for %s to be written back: %w", object.GetName(), err)
	}
	return nil
}

// tellOutage ends the API server, and starts it again when the story has lasted long enough. The operator, which loses its lease meanwhile, is
// started again whenever it has ended, as a Deployment does it.
func tellOutage(ctx context.Context, l *lab, o storyOptions, out io.Writer) error {
	h, err := newHerd(ctx, l, "outage", mixedLives(o.pods, o.lasts))
	if err != nil {
		return err
	}
	if err := errors.Join(h.create(ctx, 0), h.untilStarted(ctx)); err != nil {
		return err
	}
	if err := proc.Stop(ctx, l.env.Dir, devcluster.APIServer, 0); err != nil {
		return err
	}
	away, stop := context.WithTimeout(ctx, o.lasts)
	defer stop()
	<-away.Done()
	began := time.Now()
	if err := errors.Join(ctx.Err(), l.env.Up(ctx, io.Discard)); err != nil {
		return err
	}
	fmt.Fprintf(out, "  the API server was away for %s; operator and node were back %s after it began to start\n", o.lasts, time.Since(began).Round(time.Second))
	if err := h.untilRight(ctx); err != nil {
		return err
	}
	return h.account(ctx, out)
}

// tellStories tells those that are named, each in an environment of its own.
func tellStories(ctx context.Context, base options, o storyOptions, names []string, out, progress io.Writer) error {
	var errs []error
	for _, name := range names {
		s, err := storyNamed(name)
		if err != nil {
			return err
		}
		if err := tellStory(ctx, base, s, o, out, progress); err != nil {
			fmt.Fprintf(out, "  WRONG: %v\n", err)
			errs = append(errs, errors.New(name))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("not as it should be: %w", errors.Join(errs...))
	}
	return nil
}

func storyNamed(name string) (story, error) {
	var known []string
	for _, s := range stories() {
		if s.name == name {
			return s, nil
		}
		known = append(known, s.name)
	}
	return story{}, fmt.Errorf("there is no story %q: there are %s", name, strings.Join(known, ", "))
}

func tellStory(ctx context.Context, base options, s story, o storyOptions, out, progress io.Writer) error {
	o = storyOptions{pods: cmp.Or(o.pods, s.measure.pods), lasts: cmp.Or(o.lasts, s.measure.lasts), every: cmp.Or(o.every, s.measure.every), seed: o.seed}
	e, err := describe(base.root, base.name, !base.real, false)
	if err != nil {
		return err
	}
	e.Replicas = s.replicas
	l, err := open(ctx, e, base.limit, progress)
	if err != nil {
		return err
	}
	began := time.Now()
	fmt.Fprintf(out, "%s: %s; %d pods\n", s.name, s.about, o.pods)
	if err := s.tell(ctx, l, o, out); err != nil {
		return fmt.Errorf("%w (the environment in %s is still up)", err, e.Dir)
	}
	fmt.Fprintf(out, "  took %s\n", time.Since(began).Round(time.Second))
	if base.keep {
		return nil
	}
	return errors.Join(e.Down(ctx, progress), os.RemoveAll(crashesDir(e)))
}
