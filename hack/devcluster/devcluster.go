// Package devcluster runs a real Kubernetes control plane on this machine: etcd, kube-apiserver, kube-controller-manager and
// kube-scheduler as plain processes that outlive their starter. There is no kubelet and no kube-proxy: nodes are what others register.
//
// All it keeps is under one directory:
//
//	kubeconfig           access as cluster administrator
//	cluster/             certificates (pki/), etcd's data, ports, the components' configuration
//	log/, pid/, proc/    see package proc
//
// The API server has the Node and RBAC authorizers and NodeRestriction, and checks the certificates of kubelets. Everything listens on
// 127.0.0.1; the API server also, through a forwarder, on the addresses asked for.
package devcluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kip.elotl.co/hack/proc"
)

// Names of the components, as in log/ and pid/.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	// Forwarder is there only when BindAddresses names more than 127.0.0.1.
	Forwarder = "apiserver-forward"
)

// Config says what cluster to run. Only Dir and BinDir are needed.
type Config struct {
	// Dir holds the cluster's state; it may be shared with other parts of the local environment. The same Dir means the same cluster.
	Dir string
	// BinDir holds the executables that package build makes.
	BinDir string
	// BindAddresses are where the API server is to be reached besides 127.0.0.1; its certificate holds them all. An address that the machine
	// does not have yet is served from the moment it does. The first that is not loopback is the
	// endpoint of the Service default/kubernetes.
	BindAddresses []net.IP
	// Ports chosen by the caller; 0 takes a free one and stays with it.
	Ports Ports
	// ServiceCIDR is where Services get their addresses; empty means 10.96.0.0/16.
	ServiceCIDR string
	// NodeMonitorGrace is how long after a node's last sign of life it becomes NotReady; 0 leaves the controller manager's default, 50 s.
	NodeMonitorGrace time.Duration
	// ExtraArgs are appended to the arguments of a component (by its name), for feature gates and the like.
	ExtraArgs map[string][]string
	// DieWithParent has the kernel end the cluster with the caller's process: for tests.
	DieWithParent bool
}

// Ports are TCP ports on 127.0.0.1; APIServer is the same on every bind address.
type Ports struct {
	APIServer         int `json:"apiServer"`
	EtcdClient        int `json:"etcdClient"`
	EtcdPeer          int `json:"etcdPeer"`
	ControllerManager int `json:"controllerManager"`
	Scheduler         int `json:"scheduler"`
}

// Cluster is a control plane that was seen to be ready.
type Cluster struct {
	cfg   Config
	ports Ports
	pki   pki
	// serviceIP is the address of the Service default/kubernetes.
	serviceIP net.IP
	// ips are 127.0.0.1 and BindAddresses, without repetition.
	ips []net.IP
}

// Start makes the cluster run and returns when it is ready: the API server says so, controllers and scheduler are healthy, pods can be
// created in the namespace default. What runs already as configured is left alone; what has ended, or was started with another
// configuration, executable or certificate, is started. Certificates near their end are renewed.
//
// An error says which component failed, with the end of its log. What was started until then keeps running; Stop ends it. Start gives up
// after three minutes, or when ctx is done.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	const timeout = 3 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := newCluster(cfg)
	if err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	unlock, err := lock(c.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	defer unlock()
	for _, step := range []func(context.Context) error{c.prepare, c.startAPI, c.grantKubeletAccess, c.startControllers} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("control plane: %w", err)
		}
	}
	return c, nil
}

// Stop ends the control plane in dir, and nothing else: first its clients, then the API server, then etcd. A component that does not end on
// SIGTERM, or ctx being done, is met with SIGKILL. State and logs stay.
func Stop(ctx context.Context, dir string) error {
	if _, err := os.Stat(clusterDir(dir)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock, err := lock(dir)
	if err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	defer unlock()
	var errs []error
	for _, group := range [][]string{{Scheduler, ControllerManager, Forwarder}, {APIServer}, {Etcd}} {
		errs = append(errs, stopAll(ctx, dir, group))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	return nil
}

func stopAll(ctx context.Context, dir string, names []string) error {
	errs := make([]error, len(names))
	var stopping sync.WaitGroup
	for i, name := range names {
		stopping.Go(func() { errs[i] = proc.Stop(ctx, dir, name, stopGrace) })
	}
	stopping.Wait()
	return errors.Join(errs...)
}

// stopGrace bounds the API server's wait for its clients. Nothing is lost when it is killed: what it has acknowledged is in etcd, whose
// writes are in the kernel's hands.
const stopGrace = 5 * time.Second

// Dir is the cluster's state directory, absolute.
func (c *Cluster) Dir() string { return c.cfg.Dir }

// AdminKubeconfig is the path of the kubeconfig of a member of system:masters.
func (c *Cluster) AdminKubeconfig() string { return filepath.Join(c.cfg.Dir, "kubeconfig") }

// CAFile is the path of the PEM certificate of the authority for the API server and its clients.
func (c *Cluster) CAFile() string { return c.pki.store.CertFile(clusterCA) }

// KubeletCAFile is the path of the PEM certificate of the authority that the API server trusts for the serving certificates of kubelets. The
// controller manager signs with it what is asked of signer kubernetes.io/kubelet-serving, once approved.
func (c *Cluster) KubeletCAFile() string { return c.pki.store.CertFile(kubeletCA) }

// URLs are where the API server answers: first on 127.0.0.1, then on each bind address.
func (c *Cluster) URLs() []string {
	urls := make([]string, len(c.ips))
	for i, ip := range c.ips {
		urls[i] = "https://" + net.JoinHostPort(ip.String(), strconv.Itoa(c.ports.APIServer))
	}
	return urls
}

// Ports are the ports in use.
func (c *Cluster) Ports() Ports { return c.ports }

func newCluster(cfg Config) (*Cluster, error) {
	if cfg.Dir == "" || cfg.BinDir == "" {
		return nil, errors.New("a state directory and the directory of the executables are needed")
	}
	if cfg.ServiceCIDR == "" {
		cfg.ServiceCIDR = "10.96.0.0/16"
	}
	_, services, err := net.ParseCIDR(cfg.ServiceCIDR)
	if err != nil {
		return nil, err
	}
	if services.IP.To4() == nil {
		return nil, fmt.Errorf("service range %s is not IPv4", cfg.ServiceCIDR)
	}
	c := &Cluster{cfg: cfg, serviceIP: services.IP.To4()}
	c.serviceIP[3]++ // the API server takes the first address for itself
	for _, dir := range []*string{&c.cfg.Dir, &c.cfg.BinDir} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return nil, err
		}
	}
	c.ips = uniqueIPs(append([]net.IP{net.IPv4(127, 0, 0, 1)}, cfg.BindAddresses...))
	return c, nil
}

func uniqueIPs(ips []net.IP) []net.IP {
	seen := map[string]bool{}
	var out []net.IP
	for _, ip := range ips {
		if !seen[ip.String()] {
			seen[ip.String()] = true
			out = append(out, ip)
		}
	}
	return out
}

func clusterDir(dir string) string          { return filepath.Join(dir, "cluster") }
func (c *Cluster) path(name string) string  { return filepath.Join(clusterDir(c.cfg.Dir), name) }
func (c *Cluster) loopback(port int) string { return "https://127.0.0.1:" + strconv.Itoa(port) }

// lock keeps others from starting or stopping the same cluster at the same time.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(clusterDir(dir), 0o700); err != nil {
		return nil, err
	}
	f, err := os.Open(clusterDir(dir))
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}
