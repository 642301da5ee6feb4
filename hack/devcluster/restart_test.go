package devcluster

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/hack/proc"
)

func TestStartAgain(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	c := startCluster(t, cfg)
	first := pids(t, cfg.Dir)
	if len(first) != 4 {
		t.Fatalf("processes %v, want four", first)
	}

	startCluster(t, cfg)
	if diff := cmp.Diff(first, pids(t, cfg.Dir)); diff != "" {
		t.Errorf("a second Start changed processes:\n%s", diff)
	}

	kill(t, cfg.Dir, Scheduler)
	startCluster(t, cfg)
	revived := pids(t, cfg.Dir)
	if revived[Scheduler] == first[Scheduler] || revived[Scheduler] == 0 {
		t.Errorf("the scheduler was not revived: %d", revived[Scheduler])
	}
	if diff := cmp.Diff(without(first, Scheduler), without(revived, Scheduler)); diff != "" {
		t.Errorf("reviving the scheduler changed others:\n%s", diff)
	}

	cfg.NodeMonitorGrace = 20 * time.Second
	startCluster(t, cfg)
	if diff := cmp.Diff(without(revived, ControllerManager), without(pids(t, cfg.Dir), ControllerManager)); diff != "" {
		t.Errorf("another node grace changed others than the controller manager:\n%s", diff)
	}
	if pids(t, cfg.Dir)[ControllerManager] == revived[ControllerManager] {
		t.Error("the controller manager runs with the old node grace")
	}
	testStopAndStart(t, cfg, c)
}

// testStopAndStart checks that the stopped cluster leaves no process, and that the next one has its objects and ports.
func testStopAndStart(t *testing.T, cfg Config, c *Cluster) {
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}
	must[*corev1.ConfigMap](t)(admin(t, c).CoreV1().ConfigMaps(namespace).Create(t.Context(), config, metav1.CreateOptions{}))
	running := pids(t, cfg.Dir)
	if err := Stop(t.Context(), cfg.Dir); err != nil {
		t.Fatal(err)
	}
	for name, pid := range running {
		if exists(pid) {
			// A zombie exists until this process has collected it.
			eventually(t, name+" is gone", func(context.Context) error {
				if !exists(pid) {
					return nil
				}
				return os.ErrExist
			})
		}
	}
	if left := must[[]string](t)(proc.Names(cfg.Dir)); len(left) > 0 {
		t.Errorf("still recorded: %v", left)
	}
	if err := Stop(t.Context(), cfg.Dir); err != nil {
		t.Errorf("stopping what is stopped: %v", err)
	}

	again := startCluster(t, cfg)
	if diff := cmp.Diff(c.Ports(), again.Ports()); diff != "" {
		t.Errorf("other ports:\n%s", diff)
	}
	must[*corev1.ConfigMap](t)(admin(t, again).CoreV1().ConfigMaps(namespace).Get(t.Context(), "kept", metav1.GetOptions{}))
}

func kill(t *testing.T, dir, name string) {
	t.Helper()
	if err := syscall.Kill(pids(t, dir)[name], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, name+" has ended", func(context.Context) error {
		if pids(t, dir)[name] != 0 {
			return os.ErrExist
		}
		return nil
	})
}

func without(pids map[string]int, name string) map[string]int {
	out := map[string]int{}
	for n, pid := range pids {
		if n != name {
			out[n] = pid
		}
	}
	return out
}

func TestStartTellsWhyAComponentDied(t *testing.T) {
	for component, arg := range map[string]string{
		Etcd: "--data-dir=/proc/nonsense", APIServer: "--nonsense", ControllerManager: "--nonsense", Scheduler: "--nonsense",
	} {
		t.Run(component, func(t *testing.T) {
			cfg := Config{Dir: t.TempDir(), BinDir: executables(t), DieWithParent: true, ExtraArgs: map[string][]string{component: {arg}}}
			t.Cleanup(func() {
				if err := Stop(context.Background(), cfg.Dir); err != nil {
					t.Error(err)
				}
			})
			_, err := Start(t.Context(), cfg)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range []string{component, "nonsense"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error lacks %q: %v", part, err)
				}
			}
		})
	}
}

func TestStartRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, cfg := range map[string]Config{
		"no directory":          {BinDir: "bin"},
		"no executables":        {Dir: dir},
		"missing executables":   {Dir: dir, BinDir: dir},
		"no service range":      {Dir: dir, BinDir: dir, ServiceCIDR: "10.96.0.0"},
		"service range of IPv6": {Dir: dir, BinDir: dir, ServiceCIDR: "fd00::/112"},
	} {
		if _, err := Start(t.Context(), cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if running := pids(t, dir); len(running) > 0 {
		t.Errorf("processes %v", running)
	}
}

func TestStopOfNothing(t *testing.T) {
	if err := Stop(t.Context(), t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestChoosePorts(t *testing.T) {
	dir := t.TempDir()
	choose := func(fixed Ports) Ports {
		t.Helper()
		c := must[*Cluster](t)(newCluster(Config{Dir: dir, BinDir: dir, Ports: fixed}))
		if err := c.choosePorts(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c.Ports()
	}
	first := choose(Ports{})
	if diff := cmp.Diff(first, choose(Ports{})); diff != "" {
		t.Errorf("not remembered:\n%s", diff)
	}
	fixed := choose(Ports{APIServer: 7443})
	want := first
	want.APIServer = 7443
	if diff := cmp.Diff(want, fixed); diff != "" {
		t.Errorf("with a fixed port:\n%s", diff)
	}
	taken := must[net.Listener](t)(net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: first.Scheduler}))
	defer taken.Close()
	if choose(Ports{}).Scheduler == first.Scheduler {
		t.Error("the scheduler got a port that somebody else listens on")
	}
}

func FuzzParsePorts(f *testing.F) {
	f.Add([]byte(`{"apiServer":6443,"etcdClient":2379}`))
	f.Add([]byte(`{"apiServer":-1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ports, err := parsePorts(data)
		if err != nil {
			return
		}
		for _, port := range []int{ports.APIServer, ports.EtcdClient, ports.EtcdPeer, ports.ControllerManager, ports.Scheduler} {
			if port < 0 || port > 65535 {
				t.Errorf("port %d accepted from %q", port, data)
			}
		}
	})
}
