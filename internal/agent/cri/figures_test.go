package cri_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/itzo"
)

// TestFigures and TestFigures2 measure, and say with -v, how much of a pod's
// start is the agent's own, and how soon the long poll tells of a container's
// end (docs/performance.md).
func TestFigures(t *testing.T) { testFigures(t, "") }

func TestFigures2(t *testing.T) { testFigures(t, containerd2(t)) }

const measured = 5

func testFigures(t *testing.T, dir string) {
	if !inNamespaces(t, dir) {
		return
	}
	c := startContainerd(t)
	var whole, own []time.Duration
	for range measured {
		t.Run("start", func(t *testing.T) {
			took, calls := measureStart(t, c)
			whole, own = append(whole, took), append(own, took-calls)
		})
	}
	t.Logf("containerd %d: a pod's start took %s, of which the agent's own part %s", c.major, spread(whole), spread(own))
	t.Run("ends", func(t *testing.T) {
		t.Logf("containerd %d: a container's end was told after %s", c.major, spread(measureEnds(t, c.newCell(t))))
	})
}

func spread(all []time.Duration) string {
	slices.Sort(all)
	if len(all) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%s to %s (median %s of %d)", all[0], all[len(all)-1], all[len(all)/2], len(all))
}

// measureStart is how long it takes from sending a pod of one container, whose
// image is there, to hearing that it runs, and for how long of that at least one
// call to the runtime was under way.
func measureStart(t *testing.T, c *containerd) (took, calls time.Duration) {
	cell := c.newCell(t)
	cell.stop()
	timed := &timedRuntime{}
	cell.wrap = func(runtime agent.Runtime) agent.Runtime {
		timed.Runtime = runtime
		return timed
	}
	cell.start()
	timed.reset()
	began := time.Now()
	cell.run(newPod(corev1.RestartPolicyAlways, shell("main", waiting)))
	cell.waitPhase(corev1.PodRunning)
	ended := time.Now()
	return ended.Sub(began), timed.busy(began, ended)
}

// measureEnds is how long it takes from containers' ends to hearing of them.
// Each leaves when it ended as its last words.
func measureEnds(t *testing.T, cell *cell) []time.Duration {
	var containers []corev1.Container
	for i := range measured {
		containers = append(containers, shell(fmt.Sprintf("end-%d", i),
			fmt.Sprintf("sleep %d; cat /proc/uptime >/dev/termination-log", 3+i)))
	}
	cell.run(newPod(corev1.RestartPolicyNever, containers...))
	told := map[string]time.Duration{}
	cell.wait("all ends", func(status *corev1.PodStatus) bool {
		now := uptime(t)
		for _, container := range status.ContainerStatuses {
			if end := container.State.Terminated; end != nil && told[container.Name] == 0 {
				told[container.Name] = now - parseUptime(t, end.Message)
			}
		}
		return len(told) == measured
	})
	var all []time.Duration
	for _, each := range told {
		all = append(all, each)
	}
	return all
}

// uptime has a resolution of 10 ms.
func uptime(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/uptime")
	must(t, err)
	return parseUptime(t, string(text))
}

func parseUptime(t *testing.T, text string) time.Duration {
	t.Helper()
	first, _, _ := strings.Cut(text, " ")
	seconds, err := strconv.ParseFloat(first, 64)
	must(t, err)
	return time.Duration(seconds * float64(time.Second))
}

// timedRuntime notes when calls are under way.
type timedRuntime struct {
	agent.Runtime
	mu    sync.Mutex
	calls [][2]time.Time
}

func (r *timedRuntime) note(began time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, [2]time.Time{began, time.Now()})
}

func (r *timedRuntime) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = nil
}

// busy is for how long between two times at least one call was under way.
func (r *timedRuntime) busy(from, to time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := slices.Clone(r.calls)
	slices.SortFunc(calls, func(a, b [2]time.Time) int { return a[0].Compare(b[0]) })
	var sum time.Duration
	for _, call := range calls {
		begin, end := call[0], call[1]
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		if end.After(begin) {
			sum += end.Sub(begin)
			from = end
		}
	}
	return sum
}

func (r *timedRuntime) RunSandbox(ctx context.Context, spec agent.SandboxSpec) (string, error) {
	defer r.note(time.Now())
	return r.Runtime.RunSandbox(ctx, spec)
}

func (r *timedRuntime) Image(ctx context.Context, name string) (agent.Image, bool, error) {
	defer r.note(time.Now())
	return r.Runtime.Image(ctx, name)
}

func (r *timedRuntime) PullImage(ctx context.Context, name string, c *itzo.RegistryCredentials) (agent.Image, error) {
	defer r.note(time.Now())
	return r.Runtime.PullImage(ctx, name, c)
}

func (r *timedRuntime) CreateContainer(ctx context.Context, spec agent.ContainerSpec) (string, error) {
	defer r.note(time.Now())
	return r.Runtime.CreateContainer(ctx, spec)
}

func (r *timedRuntime) StartContainer(ctx context.Context, id string) error {
	defer r.note(time.Now())
	return r.Runtime.StartContainer(ctx, id)
}

func (r *timedRuntime) List(ctx context.Context, pod types.UID) (agent.Observation, error) {
	defer r.note(time.Now())
	return r.Runtime.List(ctx, pod)
}
