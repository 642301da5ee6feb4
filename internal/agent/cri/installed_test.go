package cri_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent/cri"
	"kip.elotl.co/internal/agent/install"
)

// TestInstalledContainerd: a machine without a container runtime gets a bundle,
// and the program of sandboxes too, from where agents are downloaded; nobody but
// the agent starts it; and then it runs pods.
func TestInstalledContainerd(t *testing.T) {
	if !inNamespaces(t, "") {
		return
	}
	c := &containerd{t: t, dir: t.TempDir(), major: containerdMajor(t)}
	outer, err := strconv.Atoi(os.Getenv(insideVariable))
	must(t, err)
	pause, err := os.ReadFile(os.Getenv("KIP_TEST_PAUSE"))
	must(t, err)
	served := map[string][]byte{
		"/containerd-" + runtime.GOARCH + ".tar.gz": runtimeBundle(t),
		"/pause-v1-" + runtime.GOARCH:               pause,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(served[r.URL.Path]) }))
	t.Cleanup(server.Close)
	must(t, os.WriteFile(c.dir+"/itzo_url", []byte(server.URL), 0o600))
	hidePrograms(t, c.dir)
	c.config = cri.Config{Endpoint: "unix://" + c.dir + "/containerd.sock", CNIDir: c.dir + "/cni", LogDir: c.dir + "/log", CgroupParent: cgroupParent(outer)}
	must(t, os.WriteFile("/etc/containerd/config.toml", []byte(strings.Replace(c.settings(), cniPlugins, "/opt/cni/bin", 1)), 0o600))
	installer := install.New(install.Config{Endpoint: c.config.Endpoint, Parameters: c.dir, StateDir: c.dir})
	c.config.FetchPause = func(ctx context.Context) (string, error) { return installer.Pause(ctx, "v1") }
	if !installer.Needed() {
		t.Fatal("there is a container runtime")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); installer.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; endContainerd(t); unmountAll(t, c.dir) })
	c.waitForSocket()
	c.importBusybox()
	cell := c.newCell(t)
	cell.run(newPod(corev1.RestartPolicyNever, shell("main", "echo ran")))
	cell.waitPhase(corev1.PodSucceeded)
	if got := cell.logs("main"); got != "ran\n" {
		t.Errorf("log %q", got)
	}
}

// runtimePrograms are what hidePrograms takes away, and a bundle brings.
func runtimePrograms() []string {
	return []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc"}
}

func runtimeBundle(t *testing.T) []byte {
	t.Helper()
	files := map[string]string{}
	for _, program := range runtimePrograms() {
		path, err := exec.LookPath(program)
		must(t, err)
		files["bin/"+program] = path
	}
	for _, plugin := range []string{"ptp", "host-local", "loopback"} {
		files["cni/"+plugin] = filepath.Join(cniPlugins, plugin)
	}
	var out bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	must(t, err)
	archive := tar.NewWriter(compressed)
	for name, path := range files {
		content, err := os.ReadFile(path)
		must(t, err)
		must(t, archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))}))
		_, err = archive.Write(content)
		must(t, err)
	}
	must(t, errors.Join(archive.Close(), compressed.Close()))
	return out.Bytes()
}

// hidePrograms lets the search path find all but the runtime's programs and
// package managers, and empties where a bundle goes.
func hidePrograms(t *testing.T, dir string) {
	t.Helper()
	hidden := append(runtimePrograms(), "apt-get", "dnf", "yum", "apk")
	programs := filepath.Join(dir, "programs")
	must(t, os.Mkdir(programs, 0o755))
	for _, from := range filepath.SplitList(os.Getenv("PATH")) {
		entries, _ := os.ReadDir(from) // not all of a search path need exist
		for _, entry := range entries {
			link := filepath.Join(programs, entry.Name())
			if err := os.Symlink(filepath.Join(from, entry.Name()), link); err != nil && !errors.Is(err, os.ErrExist) {
				t.Fatal(err)
			}
		}
	}
	for _, name := range hidden {
		if err := os.Remove(filepath.Join(programs, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	for _, place := range []string{"/usr/local/bin", "/opt", "/etc/containerd", "/var/log"} {
		if err := os.MkdirAll(place, 0o755); err != nil {
			t.Fatal(err)
		}
		must(t, unix.Mount("tmpfs", place, "tmpfs", 0, "mode=0755"))
	}
	t.Setenv("PATH", programs+":/usr/local/bin")
}

// endContainerd ends the one in this process namespace.
func endContainerd(t *testing.T) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	for _, process := range processes {
		name, err := os.ReadFile(process + "/comm")
		pid, bad := strconv.Atoi(filepath.Base(process))
		if err == nil && bad == nil && strings.TrimSpace(string(name)) == "containerd" {
			must(t, unix.Kill(pid, unix.SIGKILL))
		}
	}
}
