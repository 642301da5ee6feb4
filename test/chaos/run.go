package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/dev"
	"kip.elotl.co/hack/proc"
	"kip.elotl.co/hack/proc/atomicfile"
	"kip.elotl.co/internal/crashpoint"
	"kip.elotl.co/test/testenv"
)

// lab is an environment whose operator can be told where to die.
type lab struct {
	env *testenv.Env
	// limit is how long a group's pods may take to end, and to be gone.
	limit    time.Duration
	progress io.Writer
}

// leaseName is that of the operator's lease.
const leaseName = "kip-operator"

// lookEvery is how often the world is looked at.
const lookEvery = 250 * time.Millisecond

// describe is an environment of that name for a lab. Tests have its processes die with theirs.
func describe(root, name string, hollow, test bool) (dev.Environment, error) {
	e, err := testenv.New(root, name, hollow)
	e.OperatorTags, e.DieWithParent = "chaos", test
	e.OperatorVariables = []string{crashpoint.EnvPlan + "=" + planFile(e)}
	return e, err
}

func planFile(e dev.Environment) string   { return filepath.Join(e.Dir, "crashes", "plan.json") }
func crashesDir(e dev.Environment) string { return filepath.Dir(planFile(e)) }

// open brings the environment up anew.
func open(ctx context.Context, e dev.Environment, limit time.Duration, progress io.Writer) (*lab, error) {
	if err := errors.Join(e.Down(ctx, progress), os.RemoveAll(crashesDir(e))); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(crashesDir(e), 0o755); err != nil {
		return nil, err
	}
	if err := e.Up(ctx, progress); err != nil {
		return nil, err
	}
	env, err := testenv.Connect(ctx, e)
	if err != nil {
		return nil, err
	}
	return &lab{env: env, limit: limit, progress: progress}, prepare(ctx, env)
}

// outcome is what became of one experiment.
type outcome struct {
	experiment
	launched, doubled, leaked, lost int
	// crashed: the operator has died where it was to.
	crashed bool
	took    time.Duration
	// notes tell of each thing that is wrong.
	notes []string
}

func (o outcome) good() bool { return o.crashed && o.doubled == 0 && o.leaked == 0 && o.lost == 0 }

// missed: nothing is wrong but that the operator did not die.
func (o outcome) missed() bool { return !o.crashed && o.doubled == 0 && o.leaked == 0 && o.lost == 0 }

// run makes experiments under the same fault at the same time.
func (l *lab) run(ctx context.Context, seed uint64, group []experiment) ([]outcome, error) {
	w, err := newWorld(ctx, l.env)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := errors.Join(l.plan(group), l.env.SetFaults(ctx, group[0].fault.plan(seed^uint64(group[0].number)))); err != nil {
		return nil, err
	}
	alive, stop := context.WithCancel(ctx)
	defer stop()
	keeping, alive := errgroup.WithContext(alive)
	keeping.Go(func() error { return l.keepAlive(alive) })
	out, err := l.live(alive, w, group)
	if cause := context.Cause(alive); ctx.Err() == nil && alive.Err() != nil {
		err = errors.Join(err, cause)
	}
	stop()
	if kept := keeping.Wait(); ctx.Err() == nil && !errors.Is(kept, context.Canceled) {
		err = errors.Join(err, kept)
	}
	for i := range out {
		out[i].took = time.Since(began)
	}
	return out, errors.Join(err, l.heal(ctx))
}

// plan tells the operator where to die.
func (l *lab) plan(group []experiment) error {
	plan := crashpoint.Plan{Dir: crashesDir(l.env.Environment)}
	for _, e := range group {
		plan.Rules = append(plan.Rules, e.rule())
	}
	data, err := json.Marshal(plan)
	if err != nil {
		return err
	}
	_, err = atomicfile.Write(planFile(l.env.Environment), data, 0o644)
	return err
}

// heal ends the faults, and has the operator die no more.
func (l *lab) heal(ctx context.Context) error {
	return errors.Join(l.env.SetFaults(ctx, normal.plan(0)), l.plan(nil))
}

// crashed says whether the operator has died for the experiment.
func (l *lab) crashed(e experiment) (bool, error) {
	data, err := os.ReadFile(filepath.Join(crashesDir(l.env.Environment), e.rule().Name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return bytes.Count(data, []byte("\n")) >= e.times, nil
}

// keepAlive starts the operator again whenever it has died, until ctx ends.
func (l *lab) keepAlive(ctx context.Context) error {
	tick := time.NewTicker(lookEvery / 5)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		_, alive, err := proc.Alive(l.env.Dir, dev.Operator)
		if err == nil && !alive {
			err = l.start(ctx)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("starting the operator again: %w", err)
		}
	}
}

// start starts the operator, which need not wait for the dead one's lease to run out; that it dies at once, at another point, is no failure.
func (l *lab) start(ctx context.Context) error {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: dev.Namespace, Name: leaseName}}
	if err := client.IgnoreNotFound(l.env.Delete(ctx, lease)); err != nil {
		return err
	}
	err := l.env.StartOperator(ctx)
	if _, alive, seen := proc.Alive(l.env.Dir, dev.Operator); err != nil && seen == nil && !alive {
		return nil
	}
	return err
}

// live takes the pods of a group from their creation to the last trace of them.
func (l *lab) live(ctx context.Context, w *world, group []experiment) ([]outcome, error) {
	if err := create(ctx, w, group); err != nil {
		return nil, fmt.Errorf("creating pods: %w", err)
	}
	verdicts := map[string]string{}
	if err := l.untilEnded(ctx, group, verdicts); err != nil {
		return nil, err
	}
	traces, err := l.untilGone(ctx, w, group)
	if err != nil {
		return nil, err
	}
	launched, err := w.launches(ctx)
	if err != nil {
		return nil, err
	}
	var out []outcome
	for _, e := range group {
		o, err := l.judge(e, launched, verdicts, traces)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// untilEnded waits until all pods have ended as they are to, deleting those that are to be stopped once they run. For each pod verdicts
// holds what is wrong with it then, or when the time is over; empty when nothing is.
func (l *lab) untilEnded(ctx context.Context, group []experiment, verdicts map[string]string) error {
	limited, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	err := poll(limited, func(ctx context.Context) (bool, error) {
		var list corev1.PodList
		if err := l.env.List(ctx, &list, client.InNamespace(namespace), client.HasLabels{labelExperiment}); err != nil {
			return false, err
		}
		pods := map[string]*corev1.Pod{}
		for i := range list.Items {
			pods[list.Items[i].Name] = &list.Items[i]
		}
		done := true
		for _, e := range group {
			for i := range e.pods {
				verdict, settled, err := l.verdict(ctx, e.isStopped(i), pods[e.podName(i)])
				if err != nil {
					return false, err
				}
				verdicts[e.podName(i)] = verdict
				done = done && settled
			}
		}
		return done, nil
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil // what is not right yet is lost
	}
	return err
}

// verdict says what is wrong with a pod, and whether nothing more is to come of it.
func (l *lab) verdict(ctx context.Context, stopped bool, pod *corev1.Pod) (wrong string, settled bool, err error) {
	switch {
	case pod == nil && stopped:
		return "", true, nil
	case pod == nil:
		return "is gone", true, nil
	case !stopped:
		return right(pod), ended(pod), nil
	case ended(pod) && pod.DeletionTimestamp.IsZero():
		return "has ended unasked: " + pod.Status.Message, true, nil
	case pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp.IsZero():
		err = client.IgnoreNotFound(l.env.Delete(ctx, pod))
	}
	return fmt.Sprintf("is %s, and to be stopped: %s", pod.Status.Phase, pod.Status.Message), false, err
}

// lastCrash is how long after the end of the last Cell the operator may come to a point of its life.
const lastCrash = 5 * time.Second

// untilGone deletes what there is of the pods, and waits until their Cells are gone, or the time is over, and the operator has died as often
// as it was to, or can no more. It gives what is left then: a Cell goes when nothing is left of its own.
func (l *lab) untilGone(ctx context.Context, w *world, group []experiment) (map[string][]string, error) {
	if err := l.delete(ctx, group); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	present := time.Now()
	err := poll(limited, func(ctx context.Context) (bool, error) {
		cells := map[string][]string{}
		err := w.cells(ctx, cells)
		if len(cells) > 0 {
			present = time.Now()
		}
		if time.Since(present) > lastCrash {
			return true, err
		}
		done := len(cells) == 0
		for _, e := range group {
			crashed, lookErr := l.crashed(e)
			err = errors.Join(err, lookErr)
			done = done && crashed
		}
		return done, err
	})
	if err != nil && !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return nil, err
	}
	// What looks is not to be spoilt.
	if err := l.heal(ctx); err != nil {
		return nil, err
	}
	return w.left(ctx)
}

func (l *lab) delete(ctx context.Context, group []experiment) error {
	for _, e := range group {
		if err := l.env.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(namespace), client.MatchingLabels{labelExperiment: e.name()}); err != nil {
			return err
		}
		if !e.wantsCell() {
			continue
		}
		cell := &v1beta1.Cell{}
		cell.Name = e.name()
		if err := client.IgnoreNotFound(l.env.Delete(ctx, cell)); err != nil {
			return err
		}
	}
	return nil
}

// judge counts what went wrong.
func (l *lab) judge(e experiment, launched map[string][]string, verdicts map[string]string, traces map[string][]string) (outcome, error) {
	o := outcome{experiment: e}
	var err error
	if o.crashed, err = l.crashed(e); err != nil {
		return o, err
	}
	if !o.crashed {
		o.notes = append(o.notes, "the operator was to die at "+string(e.point)+" for "+e.key()+", and did not come there")
	}
	owners := []string{""}
	if e.wantsCell() {
		owners = append(owners, e.name())
	}
	for i := range e.pods {
		owners = append(owners, e.podName(i))
	}
	for _, owner := range owners {
		o.launched += len(launched[owner])
		if extra := len(launched[owner]) - 1; extra > 0 && owner != "" {
			o.doubled += extra
			o.notes = append(o.notes, fmt.Sprintf("%s had %s", owner, strings.Join(launched[owner], ", ")))
		}
		o.leaked += len(traces[owner])
		for _, trace := range traces[owner] {
			o.notes = append(o.notes, fmt.Sprintf("%s has left %s", owner, trace))
		}
		if wrong := verdicts[owner]; wrong != "" {
			o.lost++
			o.notes = append(o.notes, owner+" "+wrong)
		}
	}
	return o, nil
}

// poll looks until done, an error, or the end of ctx.
func poll(ctx context.Context, look func(context.Context) (done bool, err error)) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		done, err := look(ctx)
		if done && err == nil {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
