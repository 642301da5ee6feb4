package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/dev"
	"kip.elotl.co/internal/castore"
	"kip.elotl.co/internal/pki"
	"kip.elotl.co/test/testenv"
)

// The operator's ServiceAccount reads no Secrets but those of pods on its nodes, and is nobody but its nodes.
func TestRightsOfTheOperator(t *testing.T) {
	t.Parallel()
	env := environment(t)
	cfg, err := clientcmd.BuildConfigFromFlags("", env.OperatorKubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	operator, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := operator.CoreV1().Secrets(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing all Secrets: %v, want Forbidden", err)
	}
	for _, attributes := range []authorizationv1.ResourceAttributes{
		{Verb: "get", Resource: "secrets", Namespace: "kube-system"},
		{Verb: "impersonate", Resource: "users", Name: "system:kube-controller-manager"},
		{Verb: "impersonate", Resource: "users", Name: "system:node:" + v1beta1.NodeName(dev.ClassName)},
		{Verb: "impersonate", Resource: "groups", Name: "system:masters"},
		{Verb: "impersonate:user-info", Group: "authentication.k8s.io", Resource: "users", Name: "system:kube-controller-manager"},
	} {
		review, err := operator.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if review.Status.Allowed {
			t.Errorf("allowed to %s %s %s", attributes.Verb, attributes.Resource, attributes.Name)
		}
	}
}

// The agent's port opens to the operator only.
func TestAgentRefusesStrangers(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := readyClass(t, env, "strangers")
	cell := readyCell(t, env, class, "cell")
	ca := authority(t, env)
	operator, err := ca.ClientCertificate(time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, other := cellCertificate(t, ca, "another-cell")
	for name, test := range map[string]struct {
		certificates []tls.Certificate
		accepted     bool
	}{
		"operator":                {[]tls.Certificate{operator}, true},
		"no certificate":          {nil, false},
		"another cell's":          {[]tls.Certificate{other}, false},
		"of a stranger authority": {[]tls.Certificate{strangerCertificate(t)}, false},
	} {
		err := ping(t.Context(), cell, ca, test.certificates)
		if (err == nil) != test.accepted {
			t.Errorf("%s: %v, want accepted: %t", name, err, test.accepted)
		}
	}
}

// authority is the cells', as the cluster keeps it.
func authority(t *testing.T, env *testenv.Env) *pki.CA {
	t.Helper()
	var secret corev1.Secret
	if err := env.Get(t.Context(), client.ObjectKey{Namespace: dev.Namespace, Name: castore.SecretName}, &secret); err != nil {
		t.Fatal(err)
	}
	ca, err := pki.ParseCA(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func cellCertificate(t *testing.T, ca *pki.CA, uid string) (id pki.CellID, certificate tls.Certificate) {
	t.Helper()
	id = pki.CellID{UID: uid, Attempt: 1, Start: time.Now()}
	certPEM, keyPEM, err := ca.CellCertificate(id)
	if err != nil {
		t.Fatal(err)
	}
	if certificate, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return id, certificate
}

func strangerCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	ca, err := pki.NewCA(time.Now(), "stranger")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ca.ClientCertificate(time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// ping asks the cell's agent whether it is there.
func ping(ctx context.Context, cell *v1beta1.Cell, ca *pki.CA, certificates []tls.Certificate) error {
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: ca.Pool(), ServerName: pki.LegacyName, Certificates: certificates}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(cell.Status.IP, "6421"))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(soon)); err != nil {
		return err
	}
	// With TLS 1.3 a refused client learns it when it reads.
	if _, err := fmt.Fprintf(conn, "GET /rest/v1/ping HTTP/1.1\r\nHost: cell\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	answer := make([]byte, len("HTTP/1.1 200"))
	if _, err := conn.Read(answer); err != nil {
		return err
	}
	if string(answer) != "HTTP/1.1 200" {
		return fmt.Errorf("answered %q", answer)
	}
	return nil
}

// An agent that shows another cell's certificate is not taken for the Cell's. The thief's cell waits, before its agent starts, until it has
// what it stole.
func TestImpostor(t *testing.T) {
	t.Parallel()
	env := environment(t)
	victim := readyCell(t, env, readyClass(t, env, "victim"), "cell")
	class := newClass(t, env, "thief", func(c *v1beta1.CellClass) {
		c.Spec.CloudInit = "#cloud-config\nruncmd:\n- touch /run/waiting\n- until [ -e /run/stolen ]; do sleep 0.1; done\n"
	})
	create(t, env, class)
	thief := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: "thief"}, Spec: v1beta1.CellSpec{CellClassName: class.Name}}
	create(t, env, thief)
	testenv.Eventually(t, soon, "thief has booted", func(ctx context.Context) error {
		if err := env.Get(ctx, client.ObjectKeyFromObject(thief), thief); err != nil {
			return err
		}
		_, err := inCell(ctx, env, thief, "", "test -e /run/waiting")
		return err
	})
	for _, file := range []string{"server.crt", "server.key"} {
		stolen, err := inCell(t.Context(), env, victim, "", "cat /tmp/itzo/"+file)
		if err == nil {
			_, err = inCell(t.Context(), env, thief, stolen, "cat >/tmp/itzo/"+file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := inCell(t.Context(), env, thief, "", "touch /run/stolen"); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, soon, "thief found out", func(ctx context.Context) error {
		if err := env.Get(ctx, client.ObjectKeyFromObject(thief), thief); err != nil {
			return err
		}
		for _, c := range thief.Status.Conditions {
			if c.Type == v1beta1.ConditionReady && c.Status != metav1.ConditionTrue && c.Reason == v1beta1.ReasonWrongIdentity {
				return nil
			}
		}
		return fmt.Errorf("conditions %+v", thief.Status.Conditions)
	})
	if err := ready(t.Context(), env, victim); err != nil {
		t.Errorf("the victim: %v", err)
	}
}

// A pod in the cell's namespaces is at the cell's own address, sees the agent, sets what is its own, and reaches no metadata.
func TestCellsNamespaces(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := newClass(t, env, "host", func(c *v1beta1.CellClass) { c.Spec.DefaultIAMPermissions = "" })
	create(t, env, class)
	waitForNode(t, env, class)
	waitForRuntimeClass(t, env, class)
	ns := namespace(t, env)
	pod := newPod(env, ns, "host", class, `printf 'GET / HTTP/1.0\r\n\r\n' | busybox nc -w 20 169.254.169.254 80 2>&1; pidof itzo >/dev/null && echo agent; `+
		`cat /proc/sys/kernel/msgmax; `+serving, func(p *corev1.Pod) {
		p.Spec.HostNetwork, p.Spec.HostPID = true, true
		p.Spec.DNSPolicy = corev1.DNSClusterFirst
		p.Spec.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "kernel.msgmax", Value: "65536"}}}
	})
	create(t, env, pod)
	waitForPhase(t, env, pod, corev1.PodRunning)
	cell, err := cellOf(t.Context(), env, pod)
	if err != nil {
		t.Fatal(err)
	}
	if pod.Status.PodIP != cell.Status.IP || pod.Status.HostIP != cell.Status.IP {
		t.Errorf("podIP %s, hostIP %s, want the cell's %s", pod.Status.PodIP, pod.Status.HostIP, cell.Status.IP)
	}
	asking := newPod(env, ns, "asking", class, "wget -q -O - http://"+pod.Status.PodIP+":8080/", neverRestart)
	create(t, env, asking)
	waitForPhase(t, env, asking, corev1.PodSucceeded)
	testenv.Eventually(t, soon, "what the pod saw", func(ctx context.Context) error {
		logs, err := env.Kube.CoreV1().Pods(ns).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(ctx)
		if err == nil && (!strings.Contains(string(logs), "can't connect") || !strings.HasSuffix(string(logs), "agent\n65536\n")) {
			err = fmt.Errorf("it wrote %q", logs)
		}
		return err
	})
}

// Where cells have an instance profile, as they do here, their network is for namespaces that may have one.
func TestCellsCredentials(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := readyClass(t, env, "credentials")
	pod := newPod(env, namespace(t, env), "host", class, forever, func(p *corev1.Pod) { p.Spec.HostNetwork = true })
	create(t, env, pod)
	testenv.Eventually(t, soon, "event of the pod", func(ctx context.Context) error {
		return hasEvent(ctx, env, pod, []string{v1beta1.ReasonNotPrivileged, "spec.hostNetwork", "spec.podPrivileges.instanceProfiles"})
	})
	if cells, err := cellsOf(t.Context(), env, class); err != nil || len(cells) > 0 {
		t.Errorf("it has %d Cells, %v", len(cells), err)
	}
}

// inCell runs a shell script inside the sandbox of a Cell's instance and returns its output.
func inCell(ctx context.Context, env *testenv.Env, cell *v1beta1.Cell, input, script string) (string, error) {
	data, err := os.ReadFile(filepath.Join(env.Dir, "localaws", "sandbox", "cells", cell.Status.InstanceID, "cell.json"))
	if err != nil {
		return "", err
	}
	var record struct {
		Process struct {
			PID int `json:"pid"`
		} `json:"process"`
	}
	if err := json.Unmarshal(data, &record); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(record.Process.PID), "--all", "sh", "-c", script)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("in cell %s: %s: %w", cell.Name, script, err)
	}
	return string(out), nil
}
