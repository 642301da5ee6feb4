package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/testenv"
)

// looking is how long one kubectl may take to look into a pod.
const looking = 3 * time.Minute

// talking counts on its output, and says again what it hears.
const talking = `mkdir -p /www && head -c 100000 /dev/urandom >/www/blob && httpd -p 127.0.0.1:8080 -h /www
(i=0; while :; do i=$((i+1)); echo "line $i"; sleep 0.01; done) & while read line; do echo "heard $line"; done; wait`

// TestStreams looks into a pod by kubectl, as into one on any node.
func TestStreams(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := readyClass(t, env, "streams")
	ns := namespace(t, env)
	pod := newPod(env, ns, "web", class, talking, func(pod *corev1.Pod) { pod.Spec.Containers[0].Stdin = true })
	create(t, env, pod)
	waitForPhase(t, env, pod, corev1.PodRunning)
	k := &kubectl{env: env, namespace: ns}
	t.Run("exec", k.testExec)
	t.Run("exit code", k.testExitCode)
	t.Run("cp", k.testCopy)
	t.Run("port-forward", k.testPortForward)
	t.Run("logs -f", k.testFollow)
	t.Run("logs --previous", func(t *testing.T) { k.testPrevious(t, class) })
	t.Run("attach", k.testAttach)
	t.Run("terminal", k.testTerminal)
	t.Run("debug", func(t *testing.T) { k.testDebug(t, pod.Spec.Containers[0].Image) })
}

// kubectl is the program, for a namespace.
type kubectl struct {
	env       *testenv.Env
	namespace string
}

// The log of the run before can be read while the next one runs.
func (k *kubectl) testPrevious(t *testing.T, class *v1beta1.CellClass) {
	pod := newPod(k.env, k.namespace, "twice", class, "if [ -e /keep/x ]; then echo second; sleep 1000; fi; touch /keep/x; echo first; exit 3", func(pod *corev1.Pod) {
		pod.Spec.Volumes = []corev1.Volume{{Name: "keep", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "keep", MountPath: "/keep"}}
	})
	create(t, k.env, pod)
	testenv.Eventually(t, soon, "the second run's log", func(context.Context) error {
		out, err := k.command(t, "logs", "twice").CombinedOutput()
		if err != nil || string(out) != "second\n" {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if got := k.run(t, "logs", "--previous", "twice"); got != "first\n" {
		t.Errorf("the previous run's log is %q", got)
	}
}

func (k *kubectl) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), looking)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, filepath.Join(k.env.BinDir, "kubectl"), append([]string{"--namespace", k.namespace}, args...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "KUBECONFIG=" + k.env.Kubeconfig(), "HOME=" + t.TempDir(), "TERM=dumb"}
	return cmd
}

// run gives what it prints; that it fails is fatal.
func (k *kubectl) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := k.command(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// 100 MB go in and come back.
func (k *kubectl) testExec(t *testing.T) {
	const size = 100 << 20
	sent, got := sha256.New(), sha256.New()
	cmd := k.command(t, "exec", "-i", "web", "--", "cat")
	cmd.Stdin, cmd.Stdout = io.TeeReader(io.LimitReader(rand.Reader, size), sent), got
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Run(); err != nil || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Errorf("%v: %s; sent %x, got %x", err, complaints.String(), sent.Sum(nil), got.Sum(nil))
	}
}

func (k *kubectl) testExitCode(t *testing.T) {
	err := k.command(t, "exec", "web", "--", "sh", "-c", "exit 42").Run()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 42 {
		t.Errorf("got %v, want exit code 42", err)
	}
}

// A directory goes to the pod and comes back.
func (k *kubectl) testCopy(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "here"), filepath.Join(t.TempDir(), "back")
	want := map[string][]byte{"a": []byte("small"), "deep/er/b": make([]byte, 3<<20)}
	_, _ = rand.Read(want["deep/er/b"])
	for name, content := range want {
		path := filepath.Join(from, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	k.run(t, "cp", from, "web:/there")
	k.run(t, "cp", "web:/there", to)
	for name, content := range want {
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(content), err)
		}
	}
}

// begin starts it, and gives its output.
func begin(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", cmd, complaints.String())
		}
	})
	return bufio.NewReader(out)
}

// Fifty requests at once reach a server that only the pod itself can reach.
func (k *kubectl) testPortForward(t *testing.T) {
	out := begin(t, k.command(t, "port-forward", "--address=127.0.0.1", "web", ":8080"))
	said, err := out.ReadString('\n')
	found := regexp.MustCompile(`127\.0\.0\.1:(\d+)`).FindStringSubmatch(said)
	if found == nil {
		t.Fatalf("kubectl said %q, %v", said, err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+found[1]+"/blob", http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			if n, err := io.Copy(io.Discard, answer.Body); n != 100_000 || err != nil {
				t.Errorf("%s: %d bytes, %v", answer.Status, n, err)
			}
		})
	}
	all.Wait()
}

// The last line and all that follow come as they are written.
func (k *kubectl) testFollow(t *testing.T) {
	out := begin(t, k.command(t, "logs", "-f", "--tail=1", "web"))
	first := 0
	for i := range 300 {
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if _, err := fmt.Sscanf(line, "line %d", &n); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if first = max(first, n-i); n != first+i {
			t.Fatalf("line %d where line %d should be", n, first+i)
		}
	}
}

// until reads lines to the one that is that.
func until(t *testing.T, from *bufio.Reader, want string) {
	t.Helper()
	var seen strings.Builder
	for {
		line, err := from.ReadString('\n')
		if strings.Contains(line, want) {
			return
		}
		if seen.WriteString(line); err != nil {
			text := seen.String()
			t.Fatalf("%v after %q, want %q", err, text[max(len(text)-2000, 0):], want)
		}
	}
}

func (k *kubectl) testAttach(t *testing.T) {
	cmd := k.command(t, "attach", "-i", "web")
	keyboard, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := begin(t, cmd)
	if _, err := io.WriteString(keyboard, "hello\n"); err != nil {
		t.Fatal(err)
	}
	until(t, out, "heard hello")
}

// pseudoTerminal is a terminal's two ends.
func pseudoTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// A shell in a terminal knows its size, also when that changes.
func (k *kubectl) testTerminal(t *testing.T) {
	master, slave := pseudoTerminal(t)
	resize := func(columns, rows uint16) {
		if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
			t.Fatal(err)
		}
	}
	resize(91, 31)
	cmd := k.command(t, "exec", "-it", "web", "--", "sh")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	screen := bufio.NewReader(master)
	for _, size := range [][2]uint16{{91, 31}, {132, 50}} {
		resize(size[0], size[1])
		fmt.Fprintf(master, "until [ \"$(stty size)\" = '%d %d' ]; do sleep 0.05; done; echo seen $((%d+0))\n", size[1], size[0], size[0])
		until(t, screen, fmt.Sprintf("seen %d", size[0]))
	}
	fmt.Fprint(master, "exit 4\n")
	// What is still shown has to go somewhere.
	go func() { _, _ = io.Copy(io.Discard, screen) }()
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 4 {
		t.Errorf("it ended with %v, want exit code 4", err)
	}
}

// An ephemeral container sees the processes of another, and is spoken to.
func (k *kubectl) testDebug(t *testing.T, image string) {
	cmd := k.command(t, "debug", "-i", "web", "--quiet", "--image="+image, "--target="+k.target(t), "--container=look", "--", "sh", "-c", `read word; tr '\0' ' ' </proc/1/cmdline; echo "asked $word"`)
	keyboard, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := begin(t, cmd)
	if _, err := io.WriteString(keyboard, "please\n"); err != nil {
		t.Fatal(err)
	}
	until(t, out, "asked please")
}

// target is the name of the pod's container.
func (k *kubectl) target(t *testing.T) string {
	t.Helper()
	return k.run(t, "get", "pod", "web", "-o", "jsonpath={.spec.containers[0].name}")
}
