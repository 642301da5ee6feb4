package pod_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/pki"
)

// hollow is a cell: the agent with a fake runtime, on an address of its own.
type hollow struct {
	ip      netip.Addr
	podIP   string
	pem     agent.PEM
	runtime *recordingRuntime
	host    *recordingHost
	stop    func()
	// refuses, when set, is what the agent has against pods beside its own checks.
	refuses atomic.Pointer[func(*corev1.Pod) field.ErrorList]
	// notices is what its metadata service tells of its end.
	notices atomic.Pointer[itzo.Notices]
}

// freeAddress listens on the agent's port of a random loopback address.
func freeAddress(t *testing.T) (netip.Addr, net.Listener) {
	t.Helper()
	for range 100 {
		ip := netip.AddrFrom4([4]byte{127, byte(64 + rand.IntN(128)), byte(rand.IntN(256)), byte(1 + rand.IntN(254))})
		listener, err := net.Listen("tcp4", netip.AddrPortFrom(ip, itzo.Port).String())
		if err == nil {
			return ip, listener
		}
	}
	t.Fatal("no address is free")
	return netip.Addr{}, nil
}

// newHollow starts the agent of a cell.
func newHollow(t *testing.T, ca *pki.CA, id pki.CellID) *hollow {
	t.Helper()
	certificate, key, err := ca.CellCertificate(id)
	if err != nil {
		t.Fatal(err)
	}
	ip, listener := freeAddress(t)
	h := &hollow{
		ip: ip, podIP: fmt.Sprintf("10.%d.%d.%d", ip.As4()[1], ip.As4()[2], ip.As4()[3]),
		pem:     agent.PEM{CA: ca.CertificatePEM(), Certificate: certificate, Key: key},
		runtime: &recordingRuntime{Runtime: fake.NewRuntime()},
		host:    &recordingHost{Host: fake.NewHost(agent.Resources{MemoryBytes: 1 << 30, CPUs: 2, BootID: "boot"}), files: map[string]map[string]string{}},
	}
	h.serve(t, listener)
	t.Cleanup(func() { h.stop() })
	return h
}

func (h *hollow) serve(t *testing.T, listener net.Listener) {
	t.Helper()
	a, err := agent.New(agent.Config{Version: "test", Runtime: h.runtime, Host: h.host, HostIP: h.ip, Check: h.check, Notices: h.told})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.Serve(ctx, listener, h.pem); err != nil {
			t.Error(err)
		}
	}()
	h.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
}

func (h *hollow) told(context.Context) (itzo.Notices, error) {
	if notices := h.notices.Load(); notices != nil {
		return *notices, nil
	}
	return itzo.Notices{}, nil
}

func (h *hollow) check(pod *corev1.Pod) field.ErrorList {
	if refuses := h.refuses.Load(); refuses != nil {
		return (*refuses)(pod)
	}
	return nil
}

// restart ends the agent and starts it again; containers go on meanwhile.
func (h *hollow) restart(t *testing.T) {
	t.Helper()
	h.stop()
	listener, err := net.Listen("tcp4", netip.AddrPortFrom(h.ip, itzo.Port).String())
	if err != nil {
		t.Fatal(err)
	}
	h.serve(t, listener)
}

// status asks the agent directly.
func (h *hollow) status(t *testing.T, ca *pki.CA, cell *v1beta1.Cell) itzo.StatusReply {
	t.Helper()
	agents := cellagent.New(ca, time.Now)
	asking, err := agents.ForCell(cell)
	if err != nil {
		t.Fatal(err)
	}
	defer asking.Close()
	reply, err := asking.WaitStatus(t.Context(), "", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// recordingRuntime notes what containers were told, and with what images were
// pulled.
type recordingRuntime struct {
	*fake.Runtime
	// obey, when set: a container that is given longer than this does not end.
	obey   time.Duration
	mu     sync.Mutex
	starts int
	graces []time.Duration
	pulls  []itzo.RegistryCredentials
	// environment of each container that was made.
	environments []map[string]string
	// dns of each sandbox that was made.
	dns []*agent.DNS
}

func (r *recordingRuntime) RunSandbox(ctx context.Context, spec agent.SandboxSpec) (string, error) {
	r.mu.Lock()
	r.dns = append(r.dns, spec.DNS)
	r.mu.Unlock()
	return r.Runtime.RunSandbox(ctx, spec)
}

// lastDNS is that of the sandbox that was made last.
func (r *recordingRuntime) lastDNS() *agent.DNS {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dns[len(r.dns)-1]
}

func (r *recordingRuntime) CreateContainer(ctx context.Context, spec agent.ContainerSpec) (string, error) {
	r.mu.Lock()
	r.starts++
	environment := map[string]string{}
	for _, variable := range spec.Env {
		environment[variable.Name] = variable.Value
	}
	r.environments = append(r.environments, environment)
	r.mu.Unlock()
	return r.Runtime.CreateContainer(ctx, spec)
}

func (r *recordingRuntime) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	r.mu.Lock()
	r.graces = append(r.graces, grace)
	obey := r.obey
	r.mu.Unlock()
	if obey > 0 && grace > obey {
		<-ctx.Done()
		return ctx.Err()
	}
	return r.Runtime.StopContainer(ctx, id, grace)
}

func (r *recordingRuntime) PullImage(ctx context.Context, name string, credentials *itzo.RegistryCredentials) (agent.Image, error) {
	if credentials != nil {
		r.mu.Lock()
		r.pulls = append(r.pulls, *credentials)
		r.mu.Unlock()
	}
	return r.Runtime.PullImage(ctx, name, credentials)
}

// lastEnvironment is that of the container that was made last; nil before the first.
func (r *recordingRuntime) lastEnvironment() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.environments) == 0 {
		return nil
	}
	return r.environments[len(r.environments)-1]
}

func (r *recordingRuntime) seen() (starts int, graces []time.Duration, pulls []itzo.RegistryCredentials) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.starts, append([]time.Duration(nil), r.graces...), append([]itzo.RegistryCredentials(nil), r.pulls...)
}

// recordingHost notes what packages hold.
type recordingHost struct {
	*fake.Host
	gate  *gate // of what is to be kept; nil: open
	mu    sync.Mutex
	files map[string]map[string]string // package → path → content
	// packages is how many were deployed.
	packages int
	appArmor atomic.Bool // the cell enforces it
}

func (h *recordingHost) Resources() agent.Resources {
	resources := h.Host.Resources()
	resources.AppArmor = h.appArmor.Load()
	return resources
}

func (h *recordingHost) Deploy(name string, archive io.Reader) error {
	files, err := unpack(archive)
	if err != nil {
		return fmt.Errorf("%w: %w", agent.ErrBadPackage, err)
	}
	h.mu.Lock()
	h.files[name] = files
	h.packages++
	h.mu.Unlock()
	return h.Host.Deploy(name, bytes.NewReader(nil))
}

// gate holds up whoever enters it, until it is opened.
type gate struct{ entered, open chan struct{} }

// hold makes the agent answer neither dispatch nor stop before the gate is opened.
func (h *hollow) hold(t *testing.T) (entered <-chan struct{}, open func()) {
	g := &gate{entered: make(chan struct{}, 100), open: make(chan struct{})}
	h.host.mu.Lock()
	h.host.gate = g
	h.host.mu.Unlock()
	open = sync.OnceFunc(func() { close(g.open) })
	t.Cleanup(open)
	return g.entered, open
}

func (h *recordingHost) Save(state []byte) error {
	h.mu.Lock()
	held := h.gate
	h.mu.Unlock()
	if held != nil {
		select {
		case held.entered <- struct{}{}:
		default:
		}
		<-held.open
	}
	return h.Host.Save(state)
}

func (h *recordingHost) deployed() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.packages
}

func (h *recordingHost) content(pkg, path string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.files[pkg]["ROOTFS/"+path]
}

func unpack(archive io.Reader) (map[string]string, error) {
	compressed, err := gzip.NewReader(archive)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for entries := tar.NewReader(compressed); ; {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(entries)
		if err != nil {
			return nil, err
		}
		files[header.Name] = string(data)
	}
}
