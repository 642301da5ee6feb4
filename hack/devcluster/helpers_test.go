package devcluster

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kip.elotl.co/hack/devcluster/build"
	"kip.elotl.co/hack/proc"
)

const namespace = metav1.NamespaceDefault

// executables returns bin/, or skips the test.
func executables(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "bin")
	if missing := build.Missing(dir); len(missing) > 0 {
		t.Skipf("bin/ lacks %v: go run ./hack/devcluster/cmd/devcluster build", missing)
	}
	return dir
}

// startCluster starts a cluster that ends with the test, also when the test is killed.
func startCluster(t *testing.T, cfg Config) *Cluster {
	t.Helper()
	cfg.BinDir = executables(t)
	cfg.DieWithParent = true
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	t.Cleanup(func() {
		if err := Stop(context.Background(), cfg.Dir); err != nil {
			t.Error(err)
		}
	})
	c, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func clientFor(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	return must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(config))
}

func admin(t *testing.T, c *Cluster) kubernetes.Interface {
	t.Helper()
	return clientFor(t, must[*rest.Config](t)(c.RESTConfig()))
}

// eventually waits until cond returns nil.
func eventually(t *testing.T, what string, cond func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := cond(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within the deadline: %s: %v", what, err)
		case <-tick.C:
		}
	}
}

// pids returns the processes that run, by name.
func pids(t *testing.T, dir string) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, name := range must[[]string](t)(proc.Names(dir)) {
		p, alive, err := proc.Alive(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		if alive {
			out[name] = p.PID
		}
	}
	return out
}

func exists(pid int) bool { return syscall.Kill(pid, 0) == nil }

// addNode registers a node that is ready, as a kubelet at address:port would.
func addNode(t *testing.T, client kubernetes.Interface, name, address string, port int32) {
	t.Helper()
	resources := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("10"),
	}
	// The status comes with the creation, as an update would race with the controllers that look at a new node.
	must[*corev1.Node](t)(client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"test/node": name}},
		Status: corev1.NodeStatus{
			Conditions:      []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}},
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: port}},
			Capacity:        resources,
			Allocatable:     resources,
		},
	}, metav1.CreateOptions{}))
}

// pod is one that goes to the node, by scheduler or, when bound, at once.
func pod(name, node string, bound bool) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{"test/node": node},
			Containers:   []corev1.Container{{Name: "main", Image: "busybox"}},
		},
	}
	if bound {
		p.Spec.NodeName = node
	}
	return p
}

// allow gives the ServiceAccount default/name, which it creates, these rights.
func allow(t *testing.T, client kubernetes.Interface, name string, rules []rbacv1.PolicyRule) {
	t.Helper()
	ctx := t.Context()
	meta := metav1.ObjectMeta{Name: name}
	must[*corev1.ServiceAccount](t)(client.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}))
	must[*rbacv1.ClusterRole](t)(client.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{}))
	must[*rbacv1.ClusterRoleBinding](t)(client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
	}, metav1.CreateOptions{}))
}
