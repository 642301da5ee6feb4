package kubeletapi_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/hack/devcluster"
	"kip.elotl.co/hack/devcluster/build"
	"kip.elotl.co/hack/devcluster/certs"
	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
	"kip.elotl.co/internal/lastlogs"
	"kip.elotl.co/internal/virtualnode"
	"kip.elotl.co/internal/virtualnode/kubeletapi"
)

const (
	nodeName  = "kip-test"
	namespace = metav1.NamespaceDefault
	patience  = time.Minute
)

// world is a cluster with a virtual node, a pod on it that a hollow cell runs,
// and the kubelet API between them. The API has the rights of config/rbac and
// no others.
type world struct {
	t       *testing.T
	cluster *devcluster.Cluster
	bin     string
	admin   kubernetes.Interface
	clock   *clocktesting.FakeClock
	kept    *lastlogs.Store
	pods    *pods
	ports   *virtualnode.Ports
	address string // of the kubelet API of the node
	// operator has the operator's rights.
	operator *rest.Config
}

// TestOnCluster asks through a real API server, with a certificate that the
// real controller manager has signed.
func TestOnCluster(t *testing.T) {
	log.SetLogger(logr.Discard())
	w := newWorld(t)
	t.Run("kubectl logs", w.testKubectl)
	t.Run("kubectl logs without rights", w.testForbidden)
	t.Run("kubectl logs that cannot be", w.testRefusals)
	t.Run("asked directly", w.testDirect)
	t.Run("streams", w.testStreams)
	t.Run("another node", w.testAnotherNode)
	t.Run("what is used", w.testStats)
	t.Run("signing request", w.testRequests)
	t.Run("another signer", w.testSigners)
	t.Run("self-signed", w.testSelfSigned)
	t.Run("renewal", w.testRenewal)
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

func newWorld(t *testing.T) *world {
	t.Helper()
	bin := must[string](t)(filepath.Abs("../../../bin"))
	if missing := build.Missing(bin); len(missing) > 0 {
		t.Skipf("bin/ lacks %v: make test-assets", missing)
	}
	dir := t.TempDir()
	t.Cleanup(func() {
		if err := devcluster.Stop(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, bin: bin, clock: clocktesting.NewFakeClock(time.Now()), kept: lastlogs.New(lastlogs.Limits{Container: 1 << 20, Total: 1 << 22}), pods: &pods{agents: map[string]*itzo.Client{}}}
	w.cluster = must[*devcluster.Cluster](t)(devcluster.Start(t.Context(), devcluster.Config{Dir: dir, BinDir: bin, DieWithParent: true}))
	w.admin = clientFor(t, must[*rest.Config](t)(w.cluster.RESTConfig()))
	w.installRights()
	w.serve()
	w.addNode(nodeName, w.address)
	w.pods.client = w.admin
	w.runPod("web", `{"main":[{"forever":true,"log":"one\ntwo\nthree\n"}]}`, mainContainer())
	return w
}

func clientFor(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	return must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(config))
}

// installRights applies what is deployed.
func (w *world) installRights() {
	w.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kip-system"}}
	must[*corev1.Namespace](w.t)(w.admin.CoreV1().Namespaces().Create(w.t.Context(), ns, metav1.CreateOptions{}))
	w.eventually("namespace kube-node-lease", func(ctx context.Context) error {
		_, err := w.admin.CoreV1().Namespaces().Get(ctx, corev1.NamespaceNodeLease, metav1.GetOptions{})
		return err
	})
	if out, err := w.kubectl("apply", "-k", "../../../config/rbac"); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
}

// serve runs the kubelet API as the operator's ServiceAccount.
func (w *world) serve() {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "kubeconfig")
	if err := w.cluster.KubeconfigForServiceAccount(w.t.Context(), "kip-system", "kip", path, time.Hour); err != nil {
		w.t.Fatal(err)
	}
	config := must[*rest.Config](w.t)(clientcmd.BuildConfigFromFlags("", path))
	w.operator = config
	w.address, w.ports = portOf(w.t, nodeName)
	server := must[*kubeletapi.Server](w.t)(kubeletapi.New(kubeletapi.Options{
		Kube: clientFor(w.t, config), NodeClients: virtualnode.NewClients(config), Nodes: oneNode{}, Pods: w.pods, Kept: w.kept,
		Address: netip.MustParseAddr("127.0.0.1"), Ports: w.ports, Clock: w.clock,
	}))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Start(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
}

type oneNode struct{}

func (oneNode) Any(context.Context) (string, error) { return nodeName, nil }

// portOf gives the address of a node's port, and what listens there.
func portOf(t *testing.T, node string) (string, *virtualnode.Ports) {
	t.Helper()
	ports := virtualnode.NewPorts("127.0.0.1", 20000, 10000)
	t.Cleanup(ports.Close)
	return listenFor(t, ports, node), ports
}

func listenFor(t *testing.T, ports *virtualnode.Ports, node string) string {
	t.Helper()
	port := must[int32](t)(ports.Keep(t.Context(), node, 0, nil))
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)).String()
}

// pods are those of the cluster; some have a cell.
type pods struct {
	client kubernetes.Interface
	agents map[string]*itzo.Client
}

func (p *pods) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	return p.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (p *pods) Agent(_ context.Context, pod *corev1.Pod) (*itzo.Client, error) {
	if agent := p.agents[pod.Name]; agent != nil {
		return agent, nil
	}
	return nil, apierrors.NewNotFound(corev1.Resource("cells"), pod.Name)
}

func (p *pods) OnNode(ctx context.Context, node string) ([]*corev1.Pod, error) {
	list, err := p.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil {
		return nil, err
	}
	var found []*corev1.Pod
	for i := range list.Items {
		found = append(found, &list.Items[i])
	}
	return found, nil
}

func (w *world) addNode(name, at string) {
	w.t.Helper()
	address := netip.MustParseAddrPort(at)
	must[*corev1.Node](w.t)(w.admin.CoreV1().Nodes().Create(w.t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status: corev1.NodeStatus{
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address.Addr().String()}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(address.Port())}},
		},
	}, metav1.CreateOptions{}))
}

func mainContainer() corev1.Container {
	return corev1.Container{Name: "main", Image: "busybox", ImagePullPolicy: corev1.PullIfNotPresent}
}

// addPod makes a pod on the node with a status.
func (w *world) addPod(name, script string, uid types.UID, status corev1.PodStatus, containers ...corev1.Container) *corev1.Pod {
	w.t.Helper()
	if len(containers) == 0 {
		containers = []corev1.Container{mainContainer()}
	}
	pod := must[*corev1.Pod](w.t)(w.admin.CoreV1().Pods(namespace).Create(w.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: uid, Annotations: map[string]string{fake.ScriptAnnotation: script}},
		Spec:       corev1.PodSpec{NodeName: nodeName, Containers: containers},
	}, metav1.CreateOptions{}))
	if status.Phase == "" {
		return pod
	}
	pod.Status = status
	return must[*corev1.Pod](w.t)(w.admin.CoreV1().Pods(namespace).UpdateStatus(w.t.Context(), pod, metav1.UpdateOptions{}))
}

// runPod makes a pod that a hollow cell runs, as its status says.
func (w *world) runPod(name, script string, containers ...corev1.Container) {
	w.t.Helper()
	pod := w.addPod(name, script, "", corev1.PodStatus{}, containers...)
	cell := w.startAgent()
	w.pods.agents[name] = cell
	run := &corev1.Pod{ObjectMeta: *pod.ObjectMeta.DeepCopy(), Spec: corev1.PodSpec{Containers: containers}}
	w.eventually("the agent takes the pod", func(ctx context.Context) error {
		return cell.UpdatePod(ctx, &itzo.PodParameters{PodName: itzo.FormatPodName(namespace, name), PodIP: "10.0.0.2", Pod: run})
	})
	var reply itzo.StatusReply
	w.eventually("the pod runs", func(ctx context.Context) (err error) {
		reply, err = cell.WaitStatus(ctx, reply.Epoch, reply.Revision, time.Second)
		if err == nil && reply.Status.Phase != corev1.PodRunning {
			err = fmt.Errorf("it is %s", reply.Status.Phase)
		}
		return err
	})
	pod.Status = reply.Status
	must[*corev1.Pod](w.t)(w.admin.CoreV1().Pods(namespace).UpdateStatus(w.t.Context(), pod, metav1.UpdateOptions{}))
}

// startAgent runs a hollow cell's agent and gives a client of it.
func (w *world) startAgent() *itzo.Client {
	w.t.Helper()
	authority := itzotest.NewAuthority(w.t)
	server := authority.Server("cell")
	a := must[*agent.Agent](w.t)(agent.New(agent.Config{Runtime: fake.NewRuntime(), Host: fake.NewHost(agent.Resources{})}))
	listener := must[net.Listener](w.t)(net.Listen("tcp", "127.0.0.1:0"))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- a.Serve(ctx, listener, agent.PEM{CA: authority.PEM(), Certificate: server.Certificate, Key: server.Key})
	}()
	client := must[*itzo.Client](w.t)(itzo.NewClient(itzo.Config{
		Address: listener.Addr().String(), ServerName: "cell", RootCAs: authority.Pool(), Certificate: authority.Client().TLS(w.t),
	}))
	w.t.Cleanup(func() {
		client.Close()
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	return client
}

// kubectl runs as administrator and gives all that it prints.
func (w *world) kubectl(args ...string) (string, error) {
	cmd := exec.CommandContext(w.t.Context(), filepath.Join(w.bin, "kubectl"), args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "KUBECONFIG=" + w.cluster.AdminKubeconfig(), "HOME=" + w.cluster.Dir()}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (w *world) eventually(what string, check func(context.Context) error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

func (w *world) testKubectl(t *testing.T) {
	w.eventually("the certificate", func(context.Context) error {
		out, err := w.kubectl("logs", "web")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	future, past := time.Now().Add(time.Hour).Format(time.RFC3339), time.Now().Add(-time.Hour).Format(time.RFC3339)
	tests := map[string]string{
		"logs web":                          "one\ntwo\nthree\n",
		"logs web -c main --tail=2":         "two\nthree\n",
		"logs web --tail=0":                 "",
		"logs web --limit-bytes=5":          "one\nt",
		"logs web --tail=2 --limit-bytes=4": "two\n",
		"logs web --since=1h":               "one\ntwo\nthree\n",
		"logs web --since-time=" + past:     "one\ntwo\nthree\n",
		"logs web --since-time=" + future:   "",
	}
	for args, want := range tests {
		if got, err := w.kubectl(strings.Fields(args)...); err != nil || got != want {
			t.Errorf("kubectl %s: %q, %v; want %q", args, got, err, want)
		}
	}
	got, err := w.kubectl("logs", "web", "--timestamps", "--tail=1")
	at, text, _ := strings.Cut(got, " ")
	if _, parseErr := time.Parse(time.RFC3339Nano, at); err != nil || parseErr != nil || text != "three\n" {
		t.Errorf("with timestamps: %q, %v, %v", got, err, parseErr)
	}
}

func (w *world) testForbidden(t *testing.T) {
	got, err := w.kubectl("logs", "web", "--as=mallory")
	if err == nil || !strings.Contains(got, `User "mallory" cannot get resource "pods"`) {
		t.Errorf("got %q, %v", got, err)
	}
}

func (w *world) testRefusals(t *testing.T) {
	w.addPod("waits", "", "", corev1.PodStatus{Phase: corev1.PodPending, Message: "no capacity"})
	over := corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{
		{Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}},
	}}
	w.addPod("gone", "", "", over)
	kept := w.addPod("kept", "", "", over)
	w.kept.Keep(kept.UID, "main", []byte("2026-01-01T00:00:00Z stdout F last words\n"))
	if got, err := w.kubectl("logs", "kept", "--follow"); err != nil || got != "last words\n" {
		t.Errorf("kept logs: %q, %v", got, err)
	}
	for args, want := range map[string]string{
		"logs waits":        `Error from server (BadRequest): container "main" in pod "waits" is waiting to start: no capacity`,
		"logs gone":         `Error from server (BadRequest): the logs of container "main" in pod "gone" are gone with its cell: the cell ended without giving them to the operator`,
		"logs web -p":       `Error from server (BadRequest): previous terminated container "main" in pod "web" not found`,
		"logs web -c other": `container other is not valid for pod web`,
	} {
		if got, err := w.kubectl(strings.Fields(args)...); err == nil || !strings.Contains(got, want) {
			t.Errorf("kubectl %s: %q, %v; want %q", args, got, err, want)
		}
	}
}

// client asks the kubelet API itself, which shows a certificate that the API
// server's authority for kubelets has signed.
func (w *world) client(certificates ...tls.Certificate) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must[[]byte](w.t)(os.ReadFile(w.cluster.KubeletCAFile())))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certificates}, ForceAttemptHTTP2: true}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// certificate is one that the cluster's own authority has signed.
func (w *world) certificate(name string) tls.Certificate {
	store := certs.NewStore(filepath.Join(w.cluster.Dir(), "cluster", "pki"), time.Now())
	return must[tls.Certificate](w.t)(tls.LoadX509KeyPair(store.CertFile(name), store.KeyFile(name)))
}

// token is one of a ServiceAccount that may do this with nodes.
func (w *world) token(name string, resources ...string) string {
	w.t.Helper()
	ctx, meta := w.t.Context(), metav1.ObjectMeta{Name: name}
	must[*corev1.ServiceAccount](w.t)(w.admin.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}))
	if len(resources) > 0 {
		rules := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: resources, Verbs: []string{"get"}}}
		must[*rbacv1.ClusterRole](w.t)(w.admin.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{}))
		must[*rbacv1.ClusterRoleBinding](w.t)(w.admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: meta,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
		}, metav1.CreateOptions{}))
	}
	out, err := w.kubectl("create", "token", name)
	if err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(out)
}

func (w *world) testDirect(t *testing.T) {
	stranger := itzotest.NewAuthority(t).Client().TLS(t)
	const logs = "/containerLogs/default/web/main"
	tests := []struct {
		name, path, token string
		certificates      []tls.Certificate
		want              int
	}{
		{"nobody", logs, "", nil, http.StatusUnauthorized},
		{"nobody, healthz", "/healthz", "", nil, http.StatusUnauthorized},
		{"a token of nobody", logs, "abc", nil, http.StatusUnauthorized},
		{"a certificate of another authority", logs, "", []tls.Certificate{stranger}, http.StatusUnauthorized},
		{"a certificate for the API server's front", logs, "", []tls.Certificate{w.certificate("front-proxy-client")}, http.StatusUnauthorized},
		{"a certificate without rights", logs, "", []tls.Certificate{w.certificate("scheduler")}, http.StatusForbidden},
		{"the API server's certificate", logs, "", []tls.Certificate{w.certificate("apiserver-kubelet-client")}, http.StatusOK},
		{"the API server's certificate, healthz", "/healthz", "", []tls.Certificate{w.certificate("apiserver-kubelet-client")}, http.StatusOK},
		{"a token without rights", logs, w.token("nothing"), nil, http.StatusForbidden},
		{"a token for pods' logs", logs, w.token("pods", "pods/log", "nodes"), nil, http.StatusForbidden},
		{"a token for nodes", logs, w.token("nodes", "nodes/proxy"), nil, http.StatusOK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, body := w.get(t, w.client(tt.certificates...), tt.path, tt.token)
			if code != tt.want || (code == http.StatusOK) != (body == "ok" || strings.Contains(body, "three")) {
				t.Errorf("got %d %q, want %d", code, body, tt.want)
			}
		})
	}
	t.Run("a token for healthz", func(t *testing.T) {
		token := w.token("health", "nodes/healthz")
		if code, body := w.get(t, w.client(), "/healthz", token); code != http.StatusOK {
			t.Errorf("healthz: got %d %q", code, body)
		}
		if code, body := w.get(t, w.client(), logs, token); code != http.StatusForbidden {
			t.Errorf("logs: got %d %q", code, body)
		}
	})
}

func (w *world) get(t *testing.T, client *http.Client, path, token string) (code int, body string) {
	t.Helper()
	r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+w.address+path, http.NoBody))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer := must[*http.Response](t)(client.Do(r))
	defer answer.Body.Close()
	return answer.StatusCode, string(must[[]byte](t)(io.ReadAll(answer.Body)))
}

// One request was enough for all that; it names the node and its address.
func (w *world) testRequests(t *testing.T) {
	list := must[*certificatesv1.CertificateSigningRequestList](t)(w.admin.CertificatesV1().CertificateSigningRequests().List(t.Context(), metav1.ListOptions{}))
	if len(list.Items) != 1 {
		t.Fatalf("there are %d signing requests", len(list.Items))
	}
	spec, leaf := list.Items[0].Spec, w.served(t)
	if spec.Username != "system:node:"+nodeName || spec.SignerName != certificatesv1.KubeletServingSignerName {
		t.Errorf("%s asked %s", spec.Username, spec.SignerName)
	}
	if leaf.Subject.String() != "CN=system:node:"+nodeName+",O=system:nodes" || len(leaf.DNSNames) != 0 ||
		len(leaf.IPAddresses) != 1 || leaf.IPAddresses[0].String() != "127.0.0.1" {
		t.Errorf("served is %s for %v %v", leaf.Subject, leaf.DNSNames, leaf.IPAddresses)
	}
}

// served is the certificate that a new connection sees.
func (w *world) served(t *testing.T) *x509.Certificate {
	t.Helper()
	conn := must[*tls.Conn](t)(tls.Dial("tcp", w.address, w.client().Transport.(*http.Transport).TLSClientConfig))
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// Long before the certificate ends there is another.
func (w *world) testRenewal(t *testing.T) {
	old := w.served(t)
	w.eventually("somebody waits for the time to renew", func(context.Context) error {
		if !w.clock.HasWaiters() {
			return errors.New("nobody does")
		}
		return nil
	})
	w.clock.SetTime(old.NotBefore.Add(old.NotAfter.Sub(old.NotBefore) * 7 / 10))
	if again := w.served(t); !bytes.Equal(old.Raw, again.Raw) {
		t.Error("renewed too early")
	}
	w.clock.SetTime(old.NotBefore.Add(old.NotAfter.Sub(old.NotBefore) * 9 / 10))
	w.eventually("another certificate", func(context.Context) error {
		if bytes.Equal(old.Raw, w.served(t).Raw) {
			return errors.New("it is the old one")
		}
		return nil
	})
}
