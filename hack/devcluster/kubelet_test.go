package devcluster

import (
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
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// testKubeletServing plays two kubelets: one with a certificate signed on request, one with a certificate from nobody. The API server fetches
// logs from the first only, and shows its own certificate there.
func testKubeletServing(t *testing.T, c *Cluster) {
	client := admin(t, c)
	tests := []struct {
		node string
		cert tls.Certificate
		want string // empty: refused
	}{
		{"n-signed", signedCertificate(t, c, "n-signed"), "log asked for by " + kubeletClientUser},
		{"n-unsigned", httptestCertificate(), ""},
	}
	for _, tt := range tests {
		t.Run(tt.node, func(t *testing.T) {
			addNode(t, client, tt.node, "127.0.0.1", fakeKubelet(t, c, tt.cert))
			p := must[*corev1.Pod](t)(client.CoreV1().Pods(namespace).Create(t.Context(), pod("on-"+tt.node, tt.node, true), metav1.CreateOptions{}))
			got, err := client.CoreV1().Pods(namespace).GetLogs(p.Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
			if tt.want == "" {
				if err == nil {
					t.Errorf("log %q fetched from an unknown server", got)
				}
				return
			}
			if err != nil || string(got) != tt.want {
				t.Errorf("log = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// fakeKubelet serves with cert, demands a client certificate of the cluster's authority, and answers with the client's name.
func fakeKubelet(t *testing.T, c *Cluster, cert tls.Certificate) (port int32) {
	t.Helper()
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(must[[]byte](t)(os.ReadFile(c.CAFile())))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "log asked for by %s", r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	server.StartTLS()
	t.Cleanup(server.Close)
	return int32(server.Listener.Addr().(*net.TCPAddr).Port)
}

// httptestCertificate is the one that httptest signs itself.
func httptestCertificate() tls.Certificate {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	return server.TLS.Certificates[0]
}

// signedCertificate asks as the node for a serving certificate, approves that as administrator, and waits for the controller manager.
func signedCertificate(t *testing.T, c *Cluster, node string) tls.Certificate {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	request := must[[]byte](t)(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, key))
	config := must[*rest.Config](t)(c.RESTConfig())
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:node:" + node, Groups: []string{"system:nodes", "system:authenticated"}}
	csr := must[*certificatesv1.CertificateSigningRequest](t)(clientFor(t, config).CertificatesV1().CertificateSigningRequests().Create(t.Context(),
		&certificatesv1.CertificateSigningRequest{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "serving-"},
			Spec: certificatesv1.CertificateSigningRequestSpec{
				Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}),
				SignerName: certificatesv1.KubeletServingSignerName,
				Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
			},
		}, metav1.CreateOptions{}))
	requests := admin(t, c).CertificatesV1().CertificateSigningRequests()
	csr.Status.Conditions = append(csr.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test",
	})
	must[*certificatesv1.CertificateSigningRequest](t)(requests.UpdateApproval(t.Context(), csr.Name, csr, metav1.UpdateOptions{}))
	eventually(t, "the certificate is signed", func(ctx context.Context) (err error) {
		if csr, err = requests.Get(ctx, csr.Name, metav1.GetOptions{}); err == nil && len(csr.Status.Certificate) == 0 {
			err = errors.New("not yet")
		}
		return err
	})
	block, _ := pem.Decode(csr.Status.Certificate)
	leaf := must[*x509.Certificate](t)(x509.ParseCertificate(block.Bytes))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must[[]byte](t)(os.ReadFile(c.KubeletCAFile())))
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "127.0.0.1"}); err != nil {
		t.Error(err)
	}
	return tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}
}
