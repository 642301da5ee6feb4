package devcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kip.elotl.co/hack/proc"
)

func (c *Cluster) prepare(ctx context.Context) error {
	if err := c.choosePorts(ctx); err != nil {
		return fmt.Errorf("choosing ports: %w", err)
	}
	if err := c.issue(); err != nil {
		return err
	}
	if err := c.writeConfigs(); err != nil {
		return fmt.Errorf("writing configuration: %w", err)
	}
	return nil
}

// startAPI starts etcd and, at the same time, the API server, which waits for it.
func (c *Cluster) startAPI(ctx context.Context) error {
	specs := []proc.Spec{c.etcdSpec(), c.apiServerSpec()}
	if forwarder, ok := c.forwarderSpec(); ok {
		specs = append(specs, forwarder)
	} else if err := proc.Stop(ctx, c.cfg.Dir, Forwarder, stopGrace); err != nil {
		return err
	}
	if err := startAll(ctx, specs); err != nil {
		return err
	}
	// When etcd has ended the API server only waits for it: its log would not tell.
	if err := proc.WaitReady(ctx, c.cfg.Dir, Etcd, listening(c.ports.EtcdClient)); err != nil {
		return err
	}
	ready, err := c.healthCheck(c.ports.APIServer, "/readyz")
	if err != nil {
		return err
	}
	return proc.WaitReady(ctx, c.cfg.Dir, APIServer, ready)
}

// startControllers waits for controller manager and scheduler, and for the ServiceAccount without which no pod can be created.
func (c *Cluster) startControllers(ctx context.Context) error {
	if err := startAll(ctx, []proc.Spec{c.controllerManagerSpec(), c.schedulerSpec()}); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	defaultAccount := func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	}
	controllers, err := c.healthCheck(c.ports.ControllerManager, "/healthz")
	if err != nil {
		return err
	}
	scheduler, err := c.healthCheck(c.ports.Scheduler, "/readyz")
	if err != nil {
		return err
	}
	return inParallel(
		func() error { return proc.WaitReady(ctx, c.cfg.Dir, ControllerManager, defaultAccount) },
		func() error { return proc.WaitReady(ctx, c.cfg.Dir, ControllerManager, controllers) },
		func() error { return proc.WaitReady(ctx, c.cfg.Dir, Scheduler, scheduler) },
	)
}

func startAll(ctx context.Context, specs []proc.Spec) error {
	for _, spec := range specs {
		if _, err := proc.Start(ctx, spec); err != nil {
			return err
		}
	}
	return nil
}

func inParallel(steps ...func() error) error {
	errs := make([]error, len(steps))
	var running sync.WaitGroup
	for i, step := range steps {
		running.Go(func() { errs[i] = step() })
	}
	running.Wait()
	return errors.Join(errs...)
}

// grantKubeletAccess lets the API server's client certificate do with kubelets what an API server does, for kubelets that ask whether it may.
func (c *Cluster) grantKubeletAccess(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "devcluster:" + kubeletClientUser},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:kubelet-api-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: kubeletClientUser}},
	}
	_, err = client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("granting %s access to kubelets: %w", kubeletClientUser, err)
	}
	return nil
}

// requestTimeout bounds one look at a component.
const requestTimeout = 5 * time.Second

// healthCheck asks a component at 127.0.0.1 whether it is well; a refusal tells which of its checks fail.
func (c *Cluster) healthCheck(port int, path string) (func(context.Context) error, error) {
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	config.Timeout = requestTimeout
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	url := c.loopback(port) + path
	return func(ctx context.Context) error { return askHealth(ctx, client, url) }, nil
}

func askHealth(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	const most = 8 << 10
	body, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, response.Status, body)
	}
	return nil
}

// listening checks that somebody listens on a port of 127.0.0.1. That is enough for etcd, which serves clients only once it can.
func listening(port int) func(context.Context) error {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	dialer := net.Dialer{Timeout: requestTimeout}
	return func(ctx context.Context) error {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}
