package cri_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
)

// testStreams looks into a running pod by all the streams that an agent has.
func testStreams(t *testing.T, c *cell) {
	main := shell("main", `echo up; exec sleep 4321`)
	talk := shell("talk", `while read line; do echo "heard $line"; done; echo over; exec sleep 4321`)
	talk.Stdin = true
	screen := shell("screen", `exec sh -i`)
	screen.Stdin, screen.TTY = true, true
	pod := newPod(corev1.RestartPolicyAlways, main, talk, screen)
	c.run(pod)
	c.waitPhase(corev1.PodRunning)
	c.waitLog("main", "up\n")
	t.Run("exec", func(t *testing.T) { testExecStream(t, c, pod) })
	t.Run("exit codes", func(t *testing.T) { testExitCodes(t, c, pod) })
	t.Run("terminal", func(t *testing.T) { testTerminal(t, c, pod) })
	t.Run("attach", func(t *testing.T) { testAttach(t, c, pod) })
	t.Run("port", func(t *testing.T) { testPort(t, c, pod) })
}

func openExec(t *testing.T, c *cell, pod *corev1.Pod, tty bool, words ...string) itzo.Command {
	t.Helper()
	command, err := c.client.OpenExec(t.Context(), itzo.CommandRequest{
		PodUID: pod.UID, Container: "main", Command: words, Stdin: true, Stdout: true, Stderr: !tty, TTY: tty,
	})
	must(t, err)
	return command
}

// Input comes to its end, and both outputs come back whole.
func testExecStream(t *testing.T, c *cell, pod *corev1.Pod) {
	input := make([]byte, 20<<20)
	_, err := rand.Read(input)
	must(t, err)
	var stdout, stderr bytes.Buffer
	code, err := openExec(t, c, pod, false, "sh", "-c", "cat; echo done >&2; exit 7").Run(t.Context(), itzo.Streams{
		Stdin: bytes.NewReader(input), Stdout: &stdout, Stderr: &stderr,
	})
	if err != nil || code != 7 || !bytes.Equal(stdout.Bytes(), input) || stderr.String() != "done\n" {
		t.Errorf("exit code %d, %v, %d of %d bytes, errors %q", code, err, stdout.Len(), len(input), stderr.String())
	}
}

func testExitCodes(t *testing.T, c *cell, pod *corev1.Pod) {
	for script, want := range map[string]int32{"true": 0, "exit 3": 3, "kill -9 $$": 137} {
		// Who does not read its input does not keep the stream open.
		silent, writer := io.Pipe()
		code, err := openExec(t, c, pod, false, "sh", "-c", script).Run(t.Context(), itzo.Streams{Stdin: silent})
		writer.Close()
		if err != nil || code != want {
			t.Errorf("%s: exit code %d, %v, want %d", script, code, err, want)
		}
	}
	if _, err := openExec(t, c, pod, false, "/no/such/program").Run(t.Context(), itzo.Streams{}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a program that is not there: %v", err)
	}
	if _, err := c.client.OpenExec(t.Context(), itzo.CommandRequest{PodUID: pod.UID, Container: "other", Command: []string{"true"}, Stdout: true}); !itzo.IsCode(err, 400) {
		t.Errorf("a container that is not there: %v", err)
	}
	if _, err := c.client.OpenExec(t.Context(), itzo.CommandRequest{PodUID: "another", Container: "main", Command: []string{"true"}, Stdout: true}); !itzo.IsCode(err, 409) {
		t.Errorf("another pod: %v", err)
	}
	// Whoever goes away is not waited for.
	ctx, cancel := context.WithCancel(t.Context())
	ready, told := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := openExec(t, c, pod, false, "sh", "-c", "echo here; sleep 4322").Run(ctx, itzo.Streams{Stdout: told})
		ended <- err
	}()
	readUntil(t, ready, "here\n")
	cancel()
	if err := <-ended; err == nil {
		t.Error("it ended well, though the client had gone")
	}
}

// readUntil reads what comes until it has seen that.
func readUntil(t *testing.T, from io.Reader, want string) {
	t.Helper()
	var seen strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(seen.String(), want) {
		n, err := from.Read(buffer)
		seen.Write(buffer[:n])
		if err != nil {
			t.Fatalf("%v after %q, want %q", err, seen.String(), want)
		}
	}
}

func testTerminal(t *testing.T, c *cell, pod *corev1.Pod) {
	keys, keyboard := io.Pipe()
	picture, shown := io.Pipe()
	sizes := make(chan itzo.TerminalSize, 1)
	ended := make(chan error, 1)
	go func() {
		code, err := openExec(t, c, pod, true, "sh").Run(t.Context(), itzo.Streams{Stdin: keys, Stdout: shown, Resize: sizes})
		if err == nil && code != 4 {
			err = fmt.Errorf("exit code %d", code)
		}
		shown.Close()
		ended <- err
	}()
	for _, size := range []itzo.TerminalSize{{Width: 91, Height: 31}, {Width: 132, Height: 50}} {
		sizes <- size
		// The size takes its own way: the shell waits for it.
		fmt.Fprintf(keyboard, "until [ \"$(busybox stty size)\" = '%d %d' ]; do sleep 0.05; done; echo is$((1))%d\n", size.Height, size.Width, size.Width)
		readUntil(t, picture, fmt.Sprintf("is1%d", size.Width))
	}
	go func() { _, _ = io.Copy(io.Discard, picture) }()
	fmt.Fprint(keyboard, "exit 4\n")
	must(t, <-ended)
	keyboard.Close()
}

func testAttach(t *testing.T, c *cell, pod *corev1.Pod) {
	attach := func(container string, tty bool) (keyboard *io.PipeWriter, picture *io.PipeReader, stop func()) {
		command, err := c.client.OpenAttach(t.Context(), itzo.CommandRequest{PodUID: pod.UID, Container: container, Stdin: true, Stdout: true, Stderr: !tty})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		keys, keyboard := io.Pipe()
		picture, shown := io.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = command.Run(ctx, itzo.Streams{Stdin: keys, Stdout: shown})
		}()
		return keyboard, picture, func() { cancel(); picture.Close(); keyboard.Close(); <-ended }
	}
	for range 2 {
		keyboard, picture, stop := attach("talk", false)
		fmt.Fprint(keyboard, "one\n")
		readUntil(t, picture, "heard one\n")
		stop()
	}
	keyboard, picture, stop := attach("screen", true)
	fmt.Fprint(keyboard, "echo t$((3))\n")
	readUntil(t, picture, "t3")
	stop()
}

// A server that listens inside the pod only is reached, by several at once, and
// hears of the end.
func testPort(t *testing.T, c *cell, pod *corev1.Pod) {
	go echoAll(listenWith(t, "sleep\x004321\x00", "127.0.0.1:8080"))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			tunnel, err := c.client.OpenPort(t.Context(), itzo.PortRequest{PodUID: pod.UID, Port: 8080})
			if err != nil {
				t.Error(err)
				return
			}
			near, far := tcpPair(t)
			ended := make(chan error, 1)
			go func() { ended <- tunnel.Run(t.Context(), halfClosing{far}) }()
			data := make([]byte, 300_000)
			_, _ = rand.Read(data)
			go func() {
				_, _ = near.Write(data)
				_ = near.CloseWrite()
			}()
			got, err := io.ReadAll(near)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes of %d came back, %v", len(got), len(data), err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			near.Close()
			far.Close()
		})
	}
	all.Wait()
	if _, err := c.client.OpenPort(t.Context(), itzo.PortRequest{PodUID: pod.UID, Port: 9}); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a port at which nothing listens: %v", err)
	}
}

// listenWith listens in the network of the process with that command line.
func listenWith(t *testing.T, process, address string) net.Listener {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	found := slices.IndexFunc(lines, func(path string) bool {
		line, err := os.ReadFile(path)
		return err == nil && string(line) == process
	})
	if found < 0 {
		t.Fatalf("there is no process %q", process)
	}
	var listener net.Listener
	listening := make(chan error, 1)
	go func() {
		// The thread ends with the goroutine, for it is in another network.
		runtime.LockOSThread()
		network, err := os.Open(filepath.Join(filepath.Dir(lines[found]), "ns/net"))
		if err == nil {
			defer network.Close()
			err = unix.Setns(int(network.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			listener, err = net.Listen("tcp", address)
		}
		listening <- err
	}()
	must(t, <-listening)
	t.Cleanup(func() { listener.Close() })
	return listener
}

// echoAll gives back what each connection sends, and then ends it.
func echoAll(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}

// halfClosing closes its output only, as a stream of a client does.
type halfClosing struct{ *net.TCPConn }

func (h halfClosing) Close() error { return h.CloseWrite() }

func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	must(t, err)
	accepted, err := listener.Accept()
	must(t, err)
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}
