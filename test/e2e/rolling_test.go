package e2e

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/test/testenv"
)

// counting counts on its output until it is told to end.
const counting = `trap 'exit 0' TERM; i=0; while :; do i=$((i+1)); echo "line $i"; sleep 0.1; done`

// TestRollingUpdate: while two replicas of the operator are replaced, no container restarts, who follows a log asks again once at most, and
// the node's address is that of who leads.
func TestRollingUpdate(t *testing.T) {
	env := environment(t)
	two := env.Environment
	two.Replicas = 2
	t.Cleanup(func() {
		one := env.Environment
		one.Replicas = 1
		if err := one.StartOperator(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := two.StartOperator(t.Context()); err != nil {
		t.Fatal(err)
	}
	class, ns := readyClass(t, env, "rolling"), namespace(t, env)
	pod := newPod(env, ns, "counts", class, counting)
	create(t, env, pod)
	waitForPhase(t, env, pod, corev1.PodRunning)
	k := &kubectl{env: env, namespace: ns}
	f := follow(t, k, "counts")
	f.waitForMore(t)

	before := pod.Status.ContainerStatuses[0]
	waiting := k.command(t, "exec", "counts", "--", "sh", "-c", "echo begun; sleep 1000")
	said, err := waiting.StdoutPipe()
	if err != nil || waiting.Start() != nil {
		t.Fatal(err)
	}
	if begun, err := bufio.NewReader(said).ReadString('\n'); err != nil || begun != "begun\n" {
		t.Fatalf("exec began with %q, %v", begun, err)
	}
	if err := two.RollOperators(t.Context()); err != nil {
		t.Fatal(err)
	}
	if waiting.Wait() == nil {
		t.Error("exec ended as if its command had")
	}
	f.waitForMore(t)
	if asked := f.timesAsked(); asked > 2 {
		t.Errorf("the log had to be asked for %d times, want at most 2", asked)
	}
	if err := env.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		t.Fatal(err)
	}
	if after := pod.Status.ContainerStatuses[0]; after.ContainerID != before.ContainerID || after.RestartCount != before.RestartCount {
		t.Errorf("the container was %s, %d restarts; is %s, %d", before.ContainerID, before.RestartCount, after.ContainerID, after.RestartCount)
	}
	if got := k.run(t, "exec", "counts", "--", "echo", "here"); got != "here\n" {
		t.Errorf("exec after the update: %q", got)
	}
}

// following follows a log, and asks anew when that breaks off and the node can be reached.
type following struct {
	mu    sync.Mutex
	last  string
	asked int
}

func follow(t *testing.T, k *kubectl, pod string) *following {
	t.Helper()
	f, ended := &following{}, make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			f.once(ctx, t, k, pod)
		}
	}()
	return f
}

// once counts as asked for what has begun: an operator that is not there yet refuses at once, and the next try is the same question.
func (f *following) once(ctx context.Context, t *testing.T, k *kubectl, pod string) {
	cmd := k.command(t, "logs", "-f", "--tail=1", pod)
	out, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	lines, begun := bufio.NewScanner(out), false
	for lines.Scan() {
		f.mu.Lock()
		if !begun {
			f.asked++
			begun = true
		}
		f.last = lines.Text()
		f.mu.Unlock()
	}
	_ = cmd.Wait()
}

func (f *following) timesAsked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func (f *following) lastLine() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// waitForMore waits for another line.
func (f *following) waitForMore(t *testing.T) {
	t.Helper()
	first := f.lastLine()
	testenv.Eventually(t, soon, "more of the log", func(context.Context) error {
		if last := f.lastLine(); last == first || !strings.HasPrefix(last, "line ") {
			return fmt.Errorf("the last line is still %q", last)
		}
		return nil
	})
}
