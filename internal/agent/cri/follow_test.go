package cri_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/cri"
	"kip.elotl.co/internal/itzo"
)

// A log is rotated again and again while it is followed: no line is lost, and
// none comes twice.
func testFollow(t *testing.T, c *cell) {
	pod := newPod(corev1.RestartPolicyAlways, shell("main", `i=0; while :; do i=$((i+1)); echo line $i; done`))
	c.run(pod)
	id := containerdID(c.waitPhase(corev1.PodRunning).ContainerStatuses[0])
	config := c.config
	config.LogMaxSize, config.LogMaxFiles = 64<<10, 3
	runtime := cri.New(config)
	defer runtime.Close(t.Context())
	name := agent.ContainerID{Namespace: pod.Namespace, Pod: pod.Name, UID: pod.UID, Container: "main"}
	log, err := runtime.FollowLog(t.Context(), name)
	must(t, err)
	defer log.Close()
	over := make(chan struct{})
	go func() {
		defer close(over)
		pattern := filepath.Join(config.LogDir, "*_"+string(pod.UID), "main", "0.log*")
		for range 4 {
			before := c.files(pattern)
			c.until("rotation", func() error {
				must(t, runtime.RotateLog(t.Context(), name, id))
				if slices.Equal(before, c.files(pattern)) {
					return errors.New("nothing was rotated")
				}
				return nil
			})
		}
		must(t, c.client.Stop(t.Context(), itzo.StopRequest{PodUID: pod.UID}))
		c.waitPhase(corev1.PodFailed)
	}()
	lines := bufio.NewScanner(&followed{t: t, log: log, ended: over})
	n := 0
	for lines.Scan() {
		n++
		if want := fmt.Sprintf(" stdout F line %d", n); !strings.HasSuffix(lines.Text(), want) {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
	}
	must(t, lines.Err())
	if whole, err := runtime.Log(t.Context(), name); err == nil {
		defer whole.Close()
		text, err := io.ReadAll(whole)
		must(t, err)
		if last := bytes.TrimSuffix(text, []byte("\n")); len(last) > 0 && !bytes.HasSuffix(last, fmt.Appendf(nil, " line %d", n)) {
			t.Errorf("%d lines were read, the log ends with %q", n, last[max(len(last)-100, 0):])
		}
	}
	if n < 4000 {
		t.Errorf("there were %d lines in 5 files", n)
	}
}

// followed reads a log until its container has ended.
type followed struct {
	t     *testing.T
	log   agent.LogFollower
	ended <-chan struct{}
}

func (w *followed) Read(p []byte) (int, error) {
	for {
		n, err := w.log.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		if err := w.log.More(w.t.Context(), w.ended); err != nil {
			return 0, err
		}
	}
}
