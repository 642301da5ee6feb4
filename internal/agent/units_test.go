package agent

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
)

func TestBackoff(t *testing.T) {
	now := time.Unix(0, 0)
	var b backoff
	if got := b.wait(now); !got.Equal(now) {
		t.Errorf("the first try waits until %s", got)
	}
	for _, want := range []time.Duration{10, 20, 40, 80, 160, 300, 300} {
		b = b.next(now, now)
		if got := b.wait(now); got.Sub(now) != want*time.Second {
			t.Errorf("waits %s, want %ds", got.Sub(now), want)
		}
	}
	if later := now.Add(10*time.Minute + 1); !b.wait(later).Equal(later) || b.next(later, later).Delay != 10*time.Second {
		t.Error("a long run does not reset the delay")
	}
}

func TestCredentialsFor(t *testing.T) {
	all := map[string]itzo.RegistryCredentials{
		"index.docker.io": {Username: "hub"}, "quay.io": {Username: "quay"}, "127.0.0.1:5000": {Username: "local"}, "localhost": {Username: "lo"},
	}
	for image, want := range map[string]string{
		"busybox": "hub", "library/busybox": "hub", "docker.io/library/busybox": "hub", "quay.io/a/b:1": "quay",
		"127.0.0.1:5000/a": "local", "localhost/a": "lo", "gcr.io/a": "",
	} {
		got := credentialsFor(image, all)
		if got == nil && want != "" || got != nil && got.Username != want {
			t.Errorf("%s: %+v, want %s", image, got, want)
		}
	}
}

func TestPullPolicy(t *testing.T) {
	for image, want := range map[string]corev1.PullPolicy{
		"a": corev1.PullAlways, "a:latest": corev1.PullAlways, "a:1": corev1.PullIfNotPresent, "h:5000/a": corev1.PullAlways,
		"h:5000/a:1": corev1.PullIfNotPresent, "a@sha256:0": corev1.PullIfNotPresent,
	} {
		if got := pullPolicy(&corev1.Container{Image: image}); got != want {
			t.Errorf("%s: %s", image, got)
		}
	}
	if got := pullPolicy(&corev1.Container{Image: "a", ImagePullPolicy: corev1.PullNever}); got != corev1.PullNever {
		t.Errorf("got %s", got)
	}
}

func TestRunAsNonRoot(t *testing.T) {
	yes, no, zero, user := true, false, int64(0), int64(1000)
	container := func(nonRoot *bool, user *int64) *corev1.Container {
		return &corev1.Container{SecurityContext: &corev1.SecurityContext{RunAsNonRoot: nonRoot, RunAsUser: user}}
	}
	pod := &corev1.Pod{Spec: corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes}}}
	tests := map[string]struct {
		container *corev1.Container
		image     Image
		allowed   bool
	}{
		"root by default":      {&corev1.Container{}, Image{}, false},
		"the image's user":     {&corev1.Container{}, Image{UID: &user}, true},
		"root by image":        {&corev1.Container{}, Image{UID: &zero}, false},
		"a name":               {&corev1.Container{}, Image{Username: "nobody"}, false},
		"own user":             {container(nil, &user), Image{}, true},
		"own user is root":     {container(nil, &zero), Image{UID: &user}, false},
		"container allows it":  {container(&no, nil), Image{}, true},
		"container's own rule": {container(&yes, nil), Image{}, false},
	}
	for name, test := range tests {
		if err := checkNonRoot(pod, test.container, test.image); (err == nil) != test.allowed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// fileHost is a Host that has nothing but a resolv.conf.
type fileHost struct {
	Host
	path string
}

func (h fileHost) OpenFile(string) (io.ReadSeekCloser, error) { return os.Open(h.path) }

func TestDNS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	text := "# comment\nnameserver 1.1.1.1\nnameserver 2.2.2.2\nsearch a b\noptions ndots:2 edns0\nbad\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &Agent{config: Config{Host: fileHost{path: path}}}
	five := "5"
	config := &corev1.PodDNSConfig{Nameservers: []string{"2.2.2.2", "3.3.3.3", "4.4.4.4"}, Searches: []string{"c", "a"},
		Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &five}, {Name: "rotate"}}}
	for _, test := range []struct {
		spec corev1.PodSpec
		want *DNS
	}{
		{corev1.PodSpec{DNSPolicy: corev1.DNSClusterFirst}, nil},
		{corev1.PodSpec{DNSPolicy: corev1.DNSClusterFirst, DNSConfig: config}, &DNS{
			Servers: []string{"2.2.2.2", "3.3.3.3", "4.4.4.4"}, Searches: []string{"c", "a"}, Options: []string{"ndots:5", "rotate"}}},
		{corev1.PodSpec{DNSPolicy: corev1.DNSDefault, DNSConfig: config}, &DNS{
			Servers: []string{"1.1.1.1", "2.2.2.2", "3.3.3.3"}, Searches: []string{"a", "b", "c"}, Options: []string{"edns0", "ndots:5", "rotate"}}},
	} {
		got, _, err := a.dnsFor(&corev1.Pod{Spec: test.spec})
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%v: %v %s", test.spec.DNSPolicy, err, diff)
		}
	}
}

func logOf(text string) io.ReadSeeker { return strings.NewReader(text) }

func TestWriteLog(t *testing.T) {
	const log = "T stdout F one\nT stderr P tw\nT stderr F o\nT stdout F \nT stdout P:x end\nT stdout F incomp"
	for _, test := range []struct {
		query logQuery
		want  string
	}{
		{logQuery{}, "one\ntwo\n\nend"},
		{logQuery{lines: 1}, "end"},
		{logQuery{lines: 3}, "two\n\nend"},
		{logQuery{bytes: 6}, "o\n\nend"},
		{logQuery{lines: 2, metadata: true}, "T stdout F \nT stdout P:x end\n"},
		{logQuery{lines: -1}, ""},
	} {
		var got bytes.Buffer
		if err := writeLog(&got, logOf(log), test.query); err != nil || got.String() != test.want {
			t.Errorf("%+v: %q, %v", test.query, got.String(), err)
		}
	}
	if err := writeLog(io.Discard, logOf("garbage\n"), logQuery{}); !errors.Is(err, errLogFormat) {
		t.Errorf("got %v", err)
	}
	if err := writeLog(io.Discard, logOf(strings.Repeat("x", 2<<20)), logQuery{}); !errors.Is(err, errLogFormat) {
		t.Errorf("an endless line: %v", err)
	}
}

func TestLastLines(t *testing.T) {
	for lines, want := range map[int64]string{1: "c\n", 2: "b\nc\n", 3: "a\nb\nc\n", 9: "a\nb\nc\n"} {
		if got := lastLines([]byte("a\nb\nc\n"), lines); string(got) != want {
			t.Errorf("%d: %q", lines, got)
		}
	}
}

func TestFileTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(strings.Repeat("0123456789abcde\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &Agent{config: Config{Host: fileHost{path: path}}}
	for _, test := range []struct{ lines, bytes, want int64 }{{0, 0, 4096}, {2, 0, 32}, {0, 5, 5}, {1, 20, 16}, {0, 1 << 40, 16000}, {-1, -1, 4096}} {
		got, err := a.fileTail(path, test.lines, test.bytes)
		if err != nil || int64(len(got)) != test.want {
			t.Errorf("%+v: %d bytes, %v", test, len(got), err)
		}
	}
}

func FuzzLogEntry(f *testing.F) {
	f.Add([]byte("2026-11-20T15:17:02.5Z stdout F text\n"), int64(2), int64(3))
	f.Add([]byte("a b P c\na b F d\n"), int64(1), int64(0))
	f.Fuzz(func(t *testing.T, log []byte, lines, size int64) {
		var all, part bytes.Buffer
		if writeLog(&all, logOf(string(log)), logQuery{}) != nil {
			return
		}
		if err := writeLog(&part, logOf(string(log)), logQuery{lines: lines, bytes: size}); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(all.Bytes(), part.Bytes()) || size > 0 && int64(part.Len()) > size {
			t.Errorf("lines %d, bytes %d of %q: %q", lines, size, all.String(), part.String())
		}
	})
}
