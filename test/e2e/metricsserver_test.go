package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"kip.elotl.co/hack/devcluster/certs"
	"kip.elotl.co/hack/proc"
	"kip.elotl.co/test/testenv"
)

// metricsServer is the process's name.
const metricsServer = "metrics-server"

// metricsServerObjects are those of its release, but that it runs beside the API server.
const metricsServerObjects = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: metrics-server, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "system:metrics-server"}
rules:
  - {apiGroups: [""], resources: [nodes/metrics], verbs: [get]}
  - {apiGroups: [""], resources: [pods, nodes], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "system:metrics-server"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:metrics-server"}
subjects: [{kind: ServiceAccount, name: metrics-server, namespace: kube-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "metrics-server:system:auth-delegator"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:auth-delegator"}
subjects: [{kind: ServiceAccount, name: metrics-server, namespace: kube-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: metrics-server-auth-reader, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
subjects: [{kind: ServiceAccount, name: metrics-server, namespace: kube-system}]
---
apiVersion: v1
kind: Service
metadata: {name: metrics-server, namespace: kube-system}
spec:
  ports: [{name: https, port: 443}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: metrics-server, namespace: kube-system, labels: {kubernetes.io/service-name: metrics-server}}
addressType: IPv4
ports: [{name: https, port: %[2]d, protocol: TCP}]
endpoints: [{addresses: ["%[1]s"], conditions: {ready: true}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  service: {name: metrics-server, namespace: kube-system}
  group: metrics.k8s.io
  version: v1beta1
  insecureSkipTLSVerify: true
  groupPriorityMinimum: 100
  versionPriority: 100
`

// startMetricsServer runs metrics-server with the rights of its release, and has the API server ask it.
func startMetricsServer(t *testing.T, env *testenv.Env) {
	t.Helper()
	program := buildMetricsServer(t, env)
	address, _, err := net.SplitHostPort(env.Endpoints.Operators[0].Kubelet)
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t, address)
	objects := []byte(fmt.Sprintf(metricsServerObjects, address, port))
	if _, err := env.Kubectl(t.Context(), objects, "apply", "--server-side", "--filename=-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := env.Kubectl(context.Background(), objects, "delete", "--ignore-not-found", "--filename=-"); err != nil {
			t.Error(err)
		}
	})
	kubeconfig := metricsServerKubeconfig(t, env)
	_, err = proc.Start(t.Context(), proc.Spec{
		Name: metricsServer, Dir: env.Dir, Path: program, DieWithParent: true, Env: []string{"PATH=/usr/bin:/bin"},
		Args: []string{
			"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
			"--bind-address=" + address, "--secure-port=" + strconv.Itoa(port), "--cert-dir=" + t.TempDir(),
			"--kubelet-certificate-authority=" + kubeletCA(env), "--kubelet-preferred-address-types=InternalIP",
			"--kubelet-use-node-status-port", "--metric-resolution=10s", "--kubelet-request-timeout=9s",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			tail, _ := proc.LogTail(env.Dir, metricsServer, 30)
			t.Logf("metrics-server: %s", tail)
		}
		if err := proc.Stop(context.Background(), env.Dir, metricsServer, 0); err != nil {
			t.Error(err)
		}
	})
}

// buildMetricsServer makes the version that its module pins, where that has not been done.
func buildMetricsServer(t *testing.T, env *testenv.Env) string {
	t.Helper()
	program := filepath.Join(env.BinDir, metricsServer)
	build := exec.CommandContext(t.Context(), "go", "build", "-C", filepath.Join(env.Root, "hack", "metricsserver"),
		"-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program, "sigs.k8s.io/metrics-server/cmd/metrics-server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building metrics-server: %v: %s", err, out)
	}
	return program
}

func freePort(t *testing.T, address string) int {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// kubeletCA is the file with the authority that has signed the kubelet API's certificate.
func kubeletCA(env *testenv.Env) string {
	return certs.NewStore(filepath.Join(env.Dir, "cluster", "pki"), time.Now()).CertFile("kubelet-ca")
}

// metricsServerKubeconfig is a file with which metrics-server is its ServiceAccount.
func metricsServerKubeconfig(t *testing.T, env *testenv.Env) string {
	t.Helper()
	var token *authenticationv1.TokenRequest
	testenv.Eventually(t, soon, "a token of metrics-server", func(ctx context.Context) (err error) {
		token, err = env.Kube.CoreV1().ServiceAccounts(metav1.NamespaceSystem).CreateToken(ctx, metricsServer, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err == nil && token.Status.Token == "" {
			err = errors.New("it is empty")
		}
		return err
	})
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: env.Config.Host, CertificateAuthority: env.Config.CAFile, CertificateAuthorityData: env.Config.CAData}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}
