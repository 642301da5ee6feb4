package hollow

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/internal/itzo"
)

// authority signs certificates for one test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	a.cert, a.key = a.issue(template, nil)
	return a
}

func (a *authority) issue(template *x509.Certificate, parent *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer, by := key, template
	if parent != nil {
		signer, by = parent.key, parent.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) leaf(name string, usage x509.ExtKeyUsage) (certPEM, keyPEM []byte) {
	a.t.Helper()
	cert, key := a.issue(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, a)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

// userData is cloud-config that writes what the agent of a cell serves with.
func (a *authority) userData(name string) []byte {
	cert, key := a.leaf(name, x509.ExtKeyUsageServerAuth)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	var b bytes.Buffer
	b.WriteString("#cloud-config\nwrite_files:\n")
	for file, content := range map[string][]byte{"ca.crt": ca, "server.crt": cert, "server.key": key} {
		indented := strings.ReplaceAll(strings.TrimSuffix(string(content), "\n"), "\n", "\n    ")
		fmt.Fprintf(&b, "- path: /tmp/itzo/%s\n  permissions: \"0400\"\n  content: |\n    %s\n", file, indented)
	}
	return b.Bytes()
}

func (a *authority) client(t *testing.T, address netip.Addr, name string) *itzo.Client {
	t.Helper()
	pair, err := tls.X509KeyPair(a.leaf("operator", x509.ExtKeyUsageClientAuth))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	c, err := itzo.NewClient(itzo.Config{Address: netip.AddrPortFrom(address, Port).String(), ServerName: name, RootCAs: roots, Certificate: pair})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// spec is an instance with addresses that no other test of this machine uses.
func spec(last byte, userData []byte) boot.Spec {
	const firstByte, bytes = 240, 15
	second, third := byte(firstByte+os.Getpid()%bytes), byte(os.Getpid()/bytes)
	return boot.Spec{
		InstanceID: fmt.Sprintf("i-%d", last), InstanceType: "t3.nano", VCPUs: 2, MemoryMiB: 512, UserData: userData,
		PrivateIPs: []netip.Addr{netip.AddrFrom4([4]byte{127, second, third, last}), netip.AddrFrom4([4]byte{127, second, third, last + 1})},
	}
}

func start(t *testing.T, b *Backend, s boot.Spec) boot.Machine {
	t.Helper()
	m, err := b.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

func eventually(t *testing.T, ok func() bool, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("never came: " + what)
		}
	}
}

func TestRunsAPodAsScripted(t *testing.T) {
	a := newAuthority(t)
	s := spec(4, a.userData("cell-a"))
	start(t, New(Config{}), s)
	c := a.client(t, s.PrivateIPs[0], "cell-a")
	info, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.MemoryBytes != 512<<20 || info.CPUs != 2 || !info.Has(itzo.FeaturePod) {
		t.Errorf("info %+v", info)
	}
	params := scriptedPod(s, `{"main":[{"runSeconds":0.01,"exitCode":3}]}`)
	if err := update(t, c, params); err != nil {
		t.Fatal(err)
	}
	var last itzo.StatusReply
	eventually(t, func() bool {
		if last, err = c.WaitStatus(t.Context(), last.Epoch, last.Revision, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		return last.Status.Phase == corev1.PodFailed
	}, "the pod's failure")
	if got := last.Status.ContainerStatuses[0].State.Terminated; got == nil || got.ExitCode != 3 {
		t.Errorf("status %+v", last.Status.ContainerStatuses)
	}
	if last.Status.PodIP != s.PrivateIPs[1].String() || last.Status.HostIP != s.PrivateIPs[0].String() {
		t.Errorf("pod IP %s, host IP %s", last.Status.PodIP, last.Status.HostIP)
	}
}

// scriptedPod is a pod of one container, main, for the instance.
func scriptedPod(s boot.Spec, script string) *itzo.PodParameters {
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "job", UID: "11111111-2222-3333-4444-555555555555",
			Annotations: map[string]string{fake.ScriptAnnotation: script},
		},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "main", Image: "busybox"}},
		},
	}
	return &itzo.PodParameters{PodName: itzo.FormatPodName("default", "job"), PodIP: s.PrivateIPs[1].String(), Pod: pod}
}

// update sends the pod as soon as the agent takes one: it is not ready before it has asked its runtime.
func update(t *testing.T, c *itzo.Client, params *itzo.PodParameters) (err error) {
	t.Helper()
	eventually(t, func() bool {
		err = c.UpdatePod(t.Context(), params)
		return err == nil || !itzo.IsNotReady(err)
	}, "an agent that is ready")
	return err
}

func TestRefusesWhatIsNoScript(t *testing.T) {
	a := newAuthority(t)
	s := spec(34, a.userData("cell-a"))
	start(t, New(Config{}), s)
	c := a.client(t, s.PrivateIPs[0], "cell-a")
	for script, want := range map[string]string{
		"":                                "must be a JSON object",
		"main: forever":                   `such as {"main": [{"runSeconds": 1.5, "exitCode": 3, "log": "text\n"}]}`,
		`{"main":[{"runSecond":1}]}`:      `unknown field "runSecond"`,
		`{"main":{"runSeconds":1}}`:       "cannot unmarshal object",
		`{"main":[]} and more`:            "more after the object",
		`{"other":[{}]}`:                  "no container of that name",
		`{"main":[{},{"runSeconds":-1}]}`: "runSeconds of main's run 1 must be from 0",
		`{"main":[{"runSeconds":1e300}]}`: "runSeconds of main's run 0 must be from 0",
	} {
		err := update(t, c, scriptedPod(s, script))
		var status *itzo.StatusError
		if !errors.As(err, &status) || status.Code != http.StatusBadRequest {
			t.Errorf("%q: %v, want 400", script, err)
			continue
		}
		if path := "metadata.annotations[" + fake.ScriptAnnotation + "]"; !strings.Contains(status.Message, path) || !strings.Contains(status.Message, want) {
			t.Errorf("%q: %s; want %s and %q", script, status.Message, path, want)
		}
	}
}

func TestEachCellIsItself(t *testing.T) {
	a := newAuthority(t)
	one, two := spec(8, a.userData("cell-1")), spec(10, gzipped(t, a.userData("cell-2")))
	b := New(Config{})
	start(t, b, one)
	start(t, b, two)
	if err := a.client(t, two.PrivateIPs[0], "cell-2").Ping(t.Context()); err != nil {
		t.Errorf("the cell with compressed user data: %v", err)
	}
	if err := a.client(t, one.PrivateIPs[0], "cell-2").Ping(t.Context()); !itzo.IsWrongIdentity(err) {
		t.Errorf("cell-1 asked as cell-2: %v", err)
	}
	if err := newAuthority(t).client(t, one.PrivateIPs[0], "cell-1").Ping(t.Context()); err == nil {
		t.Error("a client of another authority was let in")
	}
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestStopFreesTheAddress(t *testing.T) {
	a := newAuthority(t)
	s := spec(14, a.userData("cell"))
	b := New(Config{})
	m := start(t, b, s)
	if _, err := b.Start(t.Context(), s); err == nil {
		t.Error("two machines have one address")
	}
	for range 2 {
		if err := m.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-m.Done():
	default:
		t.Error("stopped, but not done")
	}
	start(t, b, s)
}

// A cell whose user data has no certificates is a machine without an agent.
func TestWithoutCertificates(t *testing.T) {
	for name, data := range map[string][]byte{"none": nil, "not YAML": []byte("#cloud-config\n{"), "no files": []byte("#cloud-config\nruncmd: []\n")} {
		t.Run(name, func(t *testing.T) {
			s := spec(20, data)
			m := start(t, New(Config{}), s)
			eventually(t, func() bool { return strings.Contains(string(m.Console()), "does not write all of") }, "the console's complaint")
			eventually(t, func() bool { return !answers(s) }, "a refused connection")
			select {
			case <-m.Done():
				t.Error("the machine ended")
			default:
			}
		})
	}
}

func TestBootTime(t *testing.T) {
	a := newAuthority(t)
	s := spec(24, a.userData("cell"))
	m := start(t, New(Config{BootTime: time.Hour}), s)
	eventually(t, func() bool { return !answers(s) }, "a refused connection")
	if err := m.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	start(t, New(Config{BootTime: time.Millisecond}), s)
	eventually(t, func() bool { return a.client(t, s.PrivateIPs[0], "cell").Ping(t.Context()) == nil }, "the agent")
}

func answers(s boot.Spec) bool {
	c, err := net.DialTimeout("tcp", netip.AddrPortFrom(s.PrivateIPs[0], Port).String(), time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func TestNothingIsRecovered(t *testing.T) {
	if _, err := New(Config{}).Recover(t.Context(), spec(30, nil)); !errors.Is(err, boot.ErrGone) {
		t.Errorf("got %v", err)
	}
	if _, err := New(Config{}).Start(t.Context(), boot.Spec{InstanceID: "i-1"}); err == nil {
		t.Error("started without an address")
	}
}

func TestConsoleKeepsTheEnd(t *testing.T) {
	c := &console{}
	log := c.logger(0)
	for i := range 3000 {
		log.Info("line of some length to fill the console with", "n", i)
	}
	if got := c.bytes(); len(got) != consoleSize || !strings.Contains(string(got), `"n"=2999`) {
		t.Errorf("%d bytes, ends in %q", len(got), got[len(got)-40:])
	}
}
