package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/dev"
	"kip.elotl.co/test/testenv"
)

const (
	// agentBound is for all that is measured of one agent.
	agentBound = 10 * time.Minute
	// rest is how long an agent has nothing to do before its memory is measured.
	rest = 20 * time.Second
)

// agentCommand measures the agent of real cells.
func agentCommand() *cobra.Command {
	var root string
	var events int
	cmd := &cobra.Command{
		Use: "agent", Short: "Measure the agent's memory, and how soon a container's end is in the API server, on a real cell (as root)",
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAgent(cmd, root, events) },
	}
	cmd.Flags().StringVar(&root, "root", ".", "root directory of the repository")
	cmd.Flags().IntVar(&events, "events", 20, "how many ends of containers are measured")
	return cmd
}

func runAgent(cmd *cobra.Command, root string, events int) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), agentBound)
	defer cancel()
	progress := cmd.ErrOrStderr()
	e, err := testenv.New(root, "agent", false)
	if err != nil {
		return err
	}
	if err := errors.Join(e.Down(ctx, progress), e.Up(ctx, progress)); err != nil {
		return err
	}
	env, err := testenv.Connect(ctx, e)
	if err != nil {
		return err
	}
	m := agentMeasurement{env}
	var out agentFigures
	if out.alone, err = m.withoutPod(ctx); err == nil {
		if out.withPod, err = m.withPod(ctx); err == nil {
			out.told, err = m.ends(ctx, events)
		}
	}
	if err != nil {
		return fmt.Errorf("%w (the environment in %s is still up)", err, e.Dir)
	}
	if err := e.Down(ctx, progress); err != nil {
		return err
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	const mb = 1e6
	fmt.Fprintln(table, "\taim\tnow")
	fmt.Fprintf(table, "agent's memory without a pod\t< 30 MB\t%.1f MB (most: %.1f)\n", float64(out.alone.RSS)/mb, float64(out.alone.Peak)/mb)
	fmt.Fprintf(table, "  with a pod that does nothing\t< 30 MB\t%.1f MB (most: %.1f)\n", float64(out.withPod.RSS)/mb, float64(out.withPod.Peak)/mb)
	fmt.Fprintf(table, "container's end → pod's status in the API server\t\tp50 %.0f ms, max %.0f ms (%d ends)\n",
		1000*percentile(out.told, 50), 1000*percentile(out.told, 100), len(out.told))
	return table.Flush()
}

type agentFigures struct {
	alone, withPod usage
	// told are the times from a container's end to its watcher at the API server.
	told []time.Duration
}

type agentMeasurement struct{ env *testenv.Env }

// withoutPod measures the agent of a Cell that nobody uses.
func (m agentMeasurement) withoutPod(ctx context.Context) (usage, error) {
	cell := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: "bench-alone"}, Spec: v1beta1.CellSpec{CellClassName: dev.ClassName}}
	if err := m.env.Create(ctx, cell); err != nil {
		return usage{}, err
	}
	err := testenv.Poll(ctx, func(ctx context.Context) error {
		if err := m.env.Get(ctx, client.ObjectKeyFromObject(cell), cell); err != nil {
			return err
		}
		if cell.Status.Phase != v1beta1.CellReady {
			return fmt.Errorf("the Cell is %s", cell.Status.Phase)
		}
		return nil
	})
	if err != nil {
		return usage{}, err
	}
	used, err := m.rested(ctx, cell)
	return used, errors.Join(err, m.env.Delete(ctx, cell))
}

// withPod measures the agent of a pod that does nothing.
func (m agentMeasurement) withPod(ctx context.Context) (usage, error) {
	pod := m.pod("bench-idle", "sleep 1000000", corev1.RestartPolicyAlways)
	if err := m.env.Create(ctx, pod); err != nil {
		return usage{}, err
	}
	if err := m.running(ctx, pod); err != nil {
		return usage{}, err
	}
	cell := &v1beta1.Cell{}
	if err := m.env.Get(ctx, client.ObjectKey{Name: v1beta1.CellNameForPod(pod.UID)}, cell); err != nil {
		return usage{}, err
	}
	used, err := m.rested(ctx, cell)
	return used, errors.Join(err, m.env.Delete(ctx, pod))
}

func (m agentMeasurement) pod(name, script string, policy corev1.RestartPolicy) *corev1.Pod {
	pod := benchPod(name)
	pod.Spec.RestartPolicy = policy
	pod.Spec.Containers[0].Image = m.env.Endpoints.Registry + "/busybox:latest"
	pod.Spec.Containers[0].Command = []string{"sh", "-c", script}
	return pod
}

func (m agentMeasurement) running(ctx context.Context, pod *corev1.Pod) error {
	return testenv.Poll(ctx, func(ctx context.Context) error {
		if err := m.env.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		if pod.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("pod %s is %s: %s", pod.Name, pod.Status.Phase, pod.Status.Message)
		}
		return nil
	})
}

// rested is what a Cell's agent uses when it has had nothing to do for a while.
func (m agentMeasurement) rested(ctx context.Context, cell *v1beta1.Cell) (usage, error) {
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return usage{}, context.Cause(ctx)
	}
	pid, err := m.agent(cell)
	if err != nil {
		return usage{}, err
	}
	return usageOf(pid)
}

// agent is the process in a Cell's sandbox: the one of its name in the process
// namespace of the sandbox's first.
func (m agentMeasurement) agent(cell *v1beta1.Cell) (int, error) {
	data, err := os.ReadFile(filepath.Join(m.env.Dir, "localaws", "sandbox", "cells", cell.Status.InstanceID, "cell.json"))
	if err != nil {
		return 0, err
	}
	var record struct {
		Process struct {
			PID int `json:"pid"`
		} `json:"process"`
	}
	if err := json.Unmarshal(data, &record); err != nil {
		return 0, err
	}
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", record.Process.PID))
	if err != nil {
		return 0, err
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, process := range processes {
		name, nameErr := os.ReadFile(process + "/comm")
		namespace, err := os.Readlink(process + "/ns/pid")
		if nameErr == nil && err == nil && namespace == own && strings.TrimSpace(string(name)) == "itzo" {
			return strconv.Atoi(filepath.Base(process))
		}
	}
	return 0, fmt.Errorf("no agent runs in %s", cell.Status.InstanceID)
}

// ends measures from a container's end to the moment at which it is seen by a
// watcher of the API server, for a pod of several containers that end in turn.
// Each leaves when it ended as its last words; cells have this machine's clock.
func (m agentMeasurement) ends(ctx context.Context, n int) ([]time.Duration, error) {
	pod := m.pod("bench-ends", "", corev1.RestartPolicyNever)
	first := pod.Spec.Containers[0]
	pod.Spec.Containers = nil
	for i := range n {
		one := *first.DeepCopy()
		one.Name = fmt.Sprintf("end-%d", i)
		one.Command = []string{"sh", "-c", fmt.Sprintf("sleep %d; cut -d' ' -f1 /proc/uptime >/dev/termination-log", 20+i)}
		pod.Spec.Containers = append(pod.Spec.Containers, one)
	}
	watcher, err := m.env.Kube.CoreV1().Pods(pod.Namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", pod.Name).String(),
	})
	if err != nil {
		return nil, err
	}
	defer watcher.Stop()
	if err := m.env.Create(ctx, pod); err != nil {
		return nil, err
	}
	told, err := collectEnds(ctx, watcher, n)
	return told, errors.Join(err, m.env.Delete(ctx, pod))
}

func collectEnds(ctx context.Context, watcher watch.Interface, n int) ([]time.Duration, error) {
	var told []time.Duration
	var seen []string
	for len(told) < n {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d ends were seen: %w", len(told), n, context.Cause(ctx))
		case event, ok := <-watcher.ResultChan():
			pod, isPod := event.Object.(*corev1.Pod)
			if !ok || !isPod {
				return nil, fmt.Errorf("the watch ended after %d of %d ends: %v", len(told), n, event.Type)
			}
			now, err := uptime()
			if err != nil {
				return nil, err
			}
			for _, status := range pod.Status.ContainerStatuses {
				end := status.State.Terminated
				if end == nil || slices.Contains(seen, status.Name) {
					continue
				}
				seen = append(seen, status.Name)
				at, err := parseUptime(end.Message)
				if err != nil {
					return nil, fmt.Errorf("container %s ended with code %d: %w", status.Name, end.ExitCode, err)
				}
				told = append(told, now-at)
			}
		}
	}
	return told, nil
}

// uptime is the machine's, in hundredths of a second, which cells share.
func uptime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), " ")
	return parseUptime(first)
}

func parseUptime(text string) (time.Duration, error) {
	seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no uptime: %w", text, err)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
