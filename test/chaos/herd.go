package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
)

// herd is the pods of a story: some run until they are deleted, all others end by themselves.
type herd struct {
	*lab
	world *world
	story string
	// lives are how long each pod's container runs.
	lives []time.Duration
	// runs are the containers of the pods that run until they are deleted, as they were seen first, by pod.
	runs map[string]string
	// deleted are the pods that were deleted in the story.
	deleted map[string]bool
}

func newHerd(ctx context.Context, l *lab, story string, lives []time.Duration) (*herd, error) {
	w, err := newWorld(ctx, l.env)
	return &herd{lab: l, world: w, story: story, lives: lives, runs: map[string]string{}, deleted: map[string]bool{}}, err
}

func (h *herd) name(i int) string { return fmt.Sprintf("%s-%d", h.story, i) }

// create makes the pods in the course of a time.
func (h *herd) create(ctx context.Context, over time.Duration) error {
	const atOnce = 50
	creating, ctx := errgroup.WithContext(ctx)
	creating.SetLimit(atOnce)
	pods := make([]*corev1.Pod, len(h.lives))
	pace := time.NewTicker(max(over/time.Duration(len(pods)), 1))
	defer pace.Stop()
	for i, life := range h.lives {
		<-pace.C
		pods[i] = newPod(h.env, h.name(i), h.story, life)
		creating.Go(func() error { return h.env.Create(ctx, pods[i]) })
	}
	err := creating.Wait()
	for _, pod := range pods {
		h.world.owners[v1beta1.CellNameForPod(pod.UID)] = pod.Name
	}
	return err
}

// pods are those that there are, by name.
func (h *herd) pods(ctx context.Context) (map[string]*corev1.Pod, error) {
	var list corev1.PodList
	if err := h.env.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{labelExperiment: h.story}); err != nil {
		return nil, err
	}
	pods := map[string]*corev1.Pod{}
	for i := range list.Items {
		pods[list.Items[i].Name] = &list.Items[i]
	}
	return pods, nil
}

// untilStarted waits until all containers run, or have ended as they are to, and remembers those that go on.
func (h *herd) untilStarted(ctx context.Context) error {
	return h.until(ctx, "all pods run", func(i int, pod *corev1.Pod) string {
		if h.lives[i] != untilDeleted && right(pod) == "" {
			return ""
		}
		run := runOf(pod)
		if run == "" {
			return fmt.Sprintf("%s is %s: %s", pod.Name, pod.Status.Phase, pod.Status.Message)
		}
		if h.lives[i] == untilDeleted {
			h.runs[pod.Name] = run
		}
		return ""
	})
}

// runOf tells one run of a pod's container from any other; empty: it does not run, or is not ready.
func runOf(pod *corev1.Pod) string {
	for _, status := range pod.Status.ContainerStatuses {
		if running := status.State.Running; running != nil && status.Ready && pod.Status.Phase == corev1.PodRunning {
			return fmt.Sprintf("%s, since %s, after %d restarts", status.ContainerID, running.StartedAt.UTC().Format(time.RFC3339), status.RestartCount)
		}
	}
	return ""
}

// remove deletes a pod that runs until then.
func (h *herd) remove(ctx context.Context, i int) error {
	pod := newPod(h.env, h.name(i), h.story, untilDeleted)
	h.deleted[pod.Name] = true
	return client.IgnoreNotFound(h.env.Delete(ctx, pod))
}

// untilRight waits until all pods are as they should be: ended with the right status, run on as before, or gone.
func (h *herd) untilRight(ctx context.Context) error {
	return h.until(ctx, "all pods are right", h.wrong)
}

// wrong says what is wrong with a pod, which is nil where there is none; empty when nothing is.
func (h *herd) wrong(i int, pod *corev1.Pod) string {
	switch name := h.name(i); {
	case h.deleted[name] && pod == nil:
		return ""
	case h.deleted[name]:
		return name + " is still there"
	case pod == nil:
		return name + " is gone"
	case h.lives[i] != untilDeleted:
		if what := right(pod); what != "" {
			return name + " " + what
		}
		return ""
	case runOf(pod) != h.runs[name]:
		return fmt.Sprintf("%s ran as %s, and is %s as %q: %s", name, h.runs[name], pod.Status.Phase, runOf(pod), pod.Status.Message)
	}
	return ""
}

// until waits until nothing is wrong with any pod, for the lab's limit.
func (h *herd) until(ctx context.Context, what string, wrong func(i int, pod *corev1.Pod) string) error {
	limited, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	var bad []string
	err := poll(limited, func(ctx context.Context) (bool, error) {
		pods, err := h.pods(ctx)
		if err != nil {
			return false, err
		}
		bad = nil
		for i := range h.lives {
			pod := pods[h.name(i)]
			if pod == nil && !h.deleted[h.name(i)] {
				bad = append(bad, h.name(i)+" is gone")
			} else if problem := wrong(i, pod); problem != "" {
				bad = append(bad, problem)
			}
		}
		return len(bad) == 0, nil
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("after %s not yet: %s: of %d pods\n  %s", h.limit, what, len(bad), strings.Join(bad, "\n  "))
	}
	return err
}

// account deletes the pods, waits until nothing is left of them, and tells what was launched, doubled and leaked. The error says what is not
// as it should be.
func (h *herd) account(ctx context.Context, out io.Writer) error {
	if err := h.env.DeleteAllOf(ctx, newPod(h.env, "", h.story, untilDeleted), client.InNamespace(namespace), client.MatchingLabels{labelExperiment: h.story}); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	err := poll(limited, func(ctx context.Context) (bool, error) {
		cells := map[string][]string{}
		err := h.world.cells(ctx, cells)
		return len(cells) == 0, err
	})
	if err != nil && !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return err
	}
	if err := h.heal(ctx); err != nil {
		return err
	}
	launches, err := h.world.launches(ctx)
	if err != nil {
		return err
	}
	left, err := h.world.left(ctx)
	if err != nil {
		return err
	}
	launched, doubled, leaked := 0, 0, 0
	for _, instances := range launches {
		launched += len(instances)
		doubled += len(instances) - 1
	}
	for owner, traces := range left {
		leaked += len(traces)
		fmt.Fprintf(out, "  %s has left %s\n", owner, strings.Join(traces, ", "))
	}
	fmt.Fprintf(out, "  launched %d for %d pods, doubled %d, leaked %d, lost 0\n", launched, len(h.lives), doubled, leaked)
	if launched != len(h.lives) || doubled > 0 || leaked > 0 {
		return fmt.Errorf("launched %d for %d pods, doubled %d, leaked %d", launched, len(h.lives), doubled, leaked)
	}
	return nil
}
