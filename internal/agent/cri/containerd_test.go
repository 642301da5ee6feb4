package cri_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/cri"
	"kip.elotl.co/internal/agent/host"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
)

const (
	cellIP   = "10.77.0.1"
	podIP    = "10.77.0.2"
	cellName = "cell-1.cells.kip"
	busybox  = "docker.io/library/busybox:latest"
	// busyboxUSR1 is the same with STOPSIGNAL SIGUSR1.
	busyboxUSR1 = "docker.io/library/busybox:usr1"

	cniPlugins = "/usr/lib/cni"

	// patience bounds every wait, on a machine that is shared.
	patience = 90 * time.Second
)

// containerd is one of its own, with all its directories in a temporary one.
type containerd struct {
	t      *testing.T
	dir    string
	config cri.Config
	pods   int
	major  int // of its version
	// command is the program that runs.
	command *exec.Cmd
	boots   int
}

func startContainerd(t *testing.T) *containerd {
	t.Helper()
	c := &containerd{t: t, dir: t.TempDir()}
	outer, err := strconv.Atoi(os.Getenv(insideVariable))
	must(t, err)
	c.config = cri.Config{
		Endpoint: "unix://" + c.dir + "/containerd.sock", CNIDir: c.dir + "/cni", LogDir: c.dir + "/log",
		CgroupParent: cgroupParent(outer), PauseBinary: os.Getenv("KIP_TEST_PAUSE"), SeccompDir: c.dir + "/seccomp",
	}
	c.major = containerdMajor(t)
	must(t, os.WriteFile(c.dir+"/config.toml", []byte(c.settings()), 0o600))
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(c.dir + "/containerd.log")
			t.Logf("containerd: %s", text[max(len(text)-8000, 0):])
		}
		c.kill()
		unmountAll(t, c.dir)
	})
	c.launch()
	c.importBusybox()
	return c
}

// launch starts the program, anew after kill.
func (c *containerd) launch() {
	c.t.Helper()
	log, err := os.OpenFile(c.dir+"/containerd.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(c.t, err)
	defer log.Close()
	c.command = exec.Command("containerd", "--config", c.dir+"/config.toml")
	c.command.Stdout, c.command.Stderr = log, log
	must(c.t, c.command.Start())
	c.waitForSocket()
}

// kill ends the program; what it runs goes on.
func (c *containerd) kill() {
	c.t.Helper()
	if err := c.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.t.Error(err)
	}
	_ = c.command.Wait()
}

func containerdMajor(t *testing.T) int {
	t.Helper()
	output, err := exec.Command("containerd", "--version").Output()
	must(t, err)
	found := regexp.MustCompile(` v?(\d+)\.\d+\.`).FindSubmatch(output)
	if found == nil {
		t.Fatalf("containerd's version: %s", output)
	}
	major, err := strconv.Atoi(string(found[1]))
	must(t, err)
	return major
}

// settings is the configuration, in the newest version that the containerd reads
// and all later ones do.
func (c *containerd) settings() string {
	version, cri, plugins, devices := 2, "io.containerd.grpc.v1.cri", fmt.Sprintf("bin_dir = %q", cniPlugins), ""
	if c.major >= 2 {
		version, cri, plugins = 3, "io.containerd.cri.v1.runtime", fmt.Sprintf("bin_dirs = [%q]", cniPlugins)
		devices = fmt.Sprintf("cdi_spec_dirs = [%q]", c.dir+"/cdi")
	}
	return fmt.Sprintf(`version = %[1]d
root = %[2]q
state = %[3]q
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = %[4]q
[plugins.%[5]q]
  restrict_oom_score_adj = true
  %[8]s
  [plugins.%[5]q.cni]
    %[6]s
    conf_dir = %[7]q
`, version, c.dir+"/root", c.dir+"/state", c.dir+"/containerd.sock", cri, plugins, c.config.CNIDir, devices)
}

func (c *containerd) waitForSocket() {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		conn, err := net.Dial("unix", c.dir+"/containerd.sock")
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("containerd does not listen: %v", err)
		}
	}
}

func (c *containerd) importBusybox() {
	c.t.Helper()
	program, err := os.ReadFile("/usr/bin/busybox")
	if err != nil {
		program, err = os.ReadFile("/bin/busybox")
	}
	must(c.t, err)
	var archive bytes.Buffer
	must(c.t, writeBusybox(&archive, program))
	command := exec.Command("ctr", "--address", c.dir+"/containerd.sock", "--namespace", "k8s.io", "images", "import", "-")
	command.Stdin = &archive
	if output, err := command.CombinedOutput(); err != nil {
		c.t.Fatalf("importing busybox: %v: %s", err, output)
	}
}

// writeBusybox makes an image with busybox and a few links to it.
func writeBusybox(w io.Writer, program []byte) error {
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	entries := []tar.Header{
		{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o777},
		{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755, Size: int64(len(program))},
	}
	for _, applet := range []string{"sh", "cat", "sleep", "echo", "httpd", "tail", "hostname", "id", "mkdir", "touch", "true"} {
		entries = append(entries, tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox"})
	}
	for i := range entries {
		if err := archive.WriteHeader(&entries[i]); err != nil {
			return err
		}
		if entries[i].Typeflag == tar.TypeReg {
			if _, err := archive.Write(program); err != nil {
				return err
			}
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	made, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(empty.Image, made)
	if err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.Architecture, config.OS = "amd64", "linux"
	config.Config.Env = []string{"PATH=/bin"}
	config.Config.Cmd = []string{"sh"}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return err
	}
	config = config.DeepCopy()
	config.Config.StopSignal = "SIGUSR1"
	signalled, err := mutate.ConfigFile(image, config)
	if err != nil {
		return err
	}
	images := map[name.Tag]v1.Image{}
	for text, image := range map[string]v1.Image{busybox: image, busyboxUSR1: signalled} {
		tag, err := name.NewTag(text)
		if err != nil {
			return err
		}
		images[tag] = image
	}
	return tarball.MultiWrite(images, w)
}

// cell is an agent on that containerd, with a client.
type cell struct {
	containerd *containerd
	t          *testing.T
	stateDir   string
	config     cri.Config
	authority  *itzotest.Authority
	client     *itzo.Client
	stop       func()
	// wrap is put around the next agent's runtime; nil: nothing.
	wrap func(agent.Runtime) agent.Runtime
}

// newCell makes an agent without a pod.
func (c *containerd) newCell(t *testing.T) *cell {
	t.Helper()
	made := &cell{containerd: c, t: t, stateDir: filepath.Join(c.dir, "itzo-"+strconv.Itoa(c.pods)), config: c.config, authority: itzotest.NewAuthority(t)}
	c.pods++
	made.start()
	t.Cleanup(func() { made.stop() })
	return made
}

// start makes the agent, anew after stop.
func (c *cell) start() {
	c.t.Helper()
	files, err := host.New(c.stateDir)
	must(c.t, err)
	runtime := cri.New(c.config)
	wrapped := agent.Runtime(runtime)
	if c.wrap != nil {
		wrapped = c.wrap(runtime)
	}
	a, err := agent.New(agent.Config{Version: "test", Runtime: wrapped, Host: files, HostIP: netip.MustParseAddr(cellIP)})
	must(c.t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(c.t, err)
	server, client := c.authority.Server(cellName), c.authority.Client()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- a.Serve(ctx, listener, agent.PEM{CA: c.authority.PEM(), Certificate: server.Certificate, Key: server.Key})
	}()
	c.client, err = itzo.NewClient(itzo.Config{Address: listener.Addr().String(), ServerName: cellName,
		RootCAs: c.authority.Pool(), Certificate: client.TLS(c.t)})
	must(c.t, err)
	c.stop = func() {
		c.client.Close()
		cancel()
		if err := <-done; err != nil {
			c.t.Error(err)
		}
		if err := runtime.Close(context.Background()); err != nil {
			c.t.Error(err)
		}
		c.stop = func() {}
	}
	c.waitForRuntime()
}

func (c *cell) waitForRuntime() {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		info, err := c.client.Info(c.t.Context())
		must(c.t, err)
		if info.Runtime.Version != "" {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatal("the runtime does not answer")
		}
	}
}

// run sends a pod.
func (c *cell) run(pod *corev1.Pod) {
	c.t.Helper()
	err := c.client.UpdatePod(c.t.Context(), &itzo.PodParameters{
		PodName: itzo.FormatPodName(pod.Namespace, pod.Name), PodIP: podIP, Pod: pod,
	})
	must(c.t, err)
	c.t.Cleanup(func() {
		must(c.t, c.client.Stop(context.Background(), itzo.StopRequest{PodUID: pod.UID}))
		c.wait("the end", func(status *corev1.PodStatus) bool {
			for _, condition := range status.Conditions {
				if condition.Type == corev1.PodReadyToStartContainers && condition.Status == corev1.ConditionTrue {
					return false
				}
			}
			return status.Phase == corev1.PodSucceeded || status.Phase == corev1.PodFailed
		})
	})
}

// wait answers the first status that is as wanted.
func (c *cell) wait(what string, wanted func(*corev1.PodStatus) bool) *corev1.PodStatus {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var reply itzo.StatusReply
	for {
		next, err := c.client.WaitStatus(ctx, reply.Epoch, reply.Revision, patience)
		if err != nil {
			c.t.Fatalf("waiting for %s: %v; last: %+v", what, err, reply.Status)
		}
		reply = next
		if wanted(&reply.Status) {
			return &reply.Status
		}
	}
}

func (c *cell) waitPhase(phase corev1.PodPhase) *corev1.PodStatus {
	c.t.Helper()
	return c.wait(string(phase), func(status *corev1.PodStatus) bool { return status.Phase == phase })
}

func (c *cell) logs(unit string) string {
	c.t.Helper()
	log, err := c.client.Logs(c.t.Context(), unit, itzo.LogOptions{})
	must(c.t, err)
	defer log.Close()
	text, err := io.ReadAll(io.LimitReader(log, 1<<20))
	must(c.t, err)
	return string(text)
}
