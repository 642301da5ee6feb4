package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"kip.elotl.co/hack/fabric"
	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/imds"
	"kip.elotl.co/hack/registry"
	"kip.elotl.co/hack/registry/busybox"
)

// world is a fabric with a metadata service, a registry and a back end.
type world struct {
	cfg     Config
	backend *Backend
	host    string // of the registry

	mu    sync.Mutex
	specs []boot.Spec
}

func (w *world) BySourceIP(addr netip.Addr) (boot.Spec, imds.Role, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.specs {
		for i, ip := range s.PrivateIPs {
			if ip == addr {
				return s, imds.Role(min(i, 1)), true
			}
		}
	}
	return boot.Spec{}, 0, false
}

// buildInit builds the cells' first process.
func buildInit(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cellinit")
	cmd := exec.Command("go", "build", "-o", path, "kip.elotl.co/hack/localaws/cmd/cellinit")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building cellinit: %v\n%s", err, out)
	}
	return path
}

// requireHost skips where cells cannot run.
func requireHost(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes namespaces, mounts and control groups")
	}
	for _, program := range []string{"containerd", "runc", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s", program)
		}
	}
	if _, err := findCNI("/"); err != nil {
		t.Skip(err)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	requireHost(t)
	clearKilled(t)
	before := hostState(t)
	fcfg := fabric.Config{Name: testName(), Subnet: testSubnet}
	network, err := fabric.Up(fcfg)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{cfg: Config{Dir: filepath.Join(t.TempDir(), "cells"), Network: network, Init: buildInit(t)}}
	t.Cleanup(func() {
		if err := Sweep(context.Background(), w.cfg.Dir, fcfg.Name); err != nil {
			t.Error(err)
		}
		if err := fabric.Down(fcfg); err != nil {
			t.Error(err)
		}
		requireSame(t, before)
	})
	w.serve(t, network)
	w.cfg.Registries, w.cfg.SandboxImage = []string{w.host}, w.host+"/pause:latest"
	w.backend = w.newBackend(t)
	return w
}

func (w *world) newBackend(t *testing.T) *Backend {
	t.Helper()
	b, err := New(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serve starts the metadata service and a registry with busybox and an image
// that pauses.
func (w *world) serve(t *testing.T, network *fabric.Network) {
	t.Helper()
	l, err := network.Listen(t.Context(), "tcp4", fabric.MetadataAddr+":80")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = imds.New(w, time.Now).Serve(ctx, l)
	}()
	t.Cleanup(func() { cancel(); <-ended })

	r, err := registry.New("")
	if err != nil {
		t.Fatal(err)
	}
	image, err := busybox.Build(t.Context(), "/bin/busybox")
	if err != nil {
		t.Skip(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.Config.Cmd = []string{"tail", "-f", "/dev/null"}
	pause, err := mutate.ConfigFile(image, config)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Put(t.Context(), image, "busybox", "latest"), r.Put(t.Context(), pause, "pause", "latest")); err != nil {
		t.Fatal(err)
	}
	rl, err := net.Listen("tcp4", netip.AddrPortFrom(network.RootAddr(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	w.host = rl.Addr().String()
	srv := &http.Server{Handler: r}
	go func() { _ = srv.Serve(rl) }()
	t.Cleanup(func() { srv.Close() })
}

// spec describes the nth instance, from 0, with two addresses.
func (w *world) spec(n int, userData string) boot.Spec {
	base := w.cfg.Network.Subnet().Addr().As4()
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{base[0], base[1], base[2], byte(10 + 2*n + i)}) }
	s := boot.Spec{
		InstanceID: fmt.Sprintf("i-%017x", n+1), InstanceType: "t3.small", ImageID: "ami-1", Architecture: "x86_64",
		Region: "eu-west-1", Zone: "eu-west-1a", VCPUs: 2, MemoryMiB: 2048,
		PrivateIPs: []netip.Addr{addr(0), addr(1)}, SubnetCIDR: w.cfg.Network.Subnet(), MAC: fmt.Sprintf("02:00:00:00:00:%02x", n+1),
		UserData: []byte(userData), Metadata: boot.MetadataOptions{TokensRequired: true, HopLimit: 1},
	}
	w.mu.Lock()
	w.specs = append(w.specs, s)
	w.mu.Unlock()
	return s
}

func (w *world) boot(t *testing.T, spec boot.Spec) *Machine {
	t.Helper()
	m, err := w.backend.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("console of %s:\n%s", spec.InstanceID, m.Console())
		}
		if err := m.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m.(*Machine)
}

// path is a file of the cell as the host sees it.
func (m *Machine) path(p string) string {
	return filepath.Join("/proc", strconv.Itoa(m.cell.rec.Process.PID), "root", p)
}

// exec runs a shell script in the cell.
func (m *Machine) exec(script string) (string, error) {
	cmd := exec.Command("nsenter", "--target", strconv.Itoa(m.cell.rec.Process.PID), "--all", "sh", "-c", script)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// eventually waits until the condition holds, and fails with what it last said.
func eventually(t *testing.T, what string, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for err := condition(); err != nil; err = condition() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		<-tick.C
	}
}

func exists(path string) func() error {
	return func() error { _, err := os.Stat(path); return err }
}
