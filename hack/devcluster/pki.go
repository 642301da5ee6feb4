package devcluster

import (
	"crypto/x509"
	"net"
	"time"

	"kip.elotl.co/hack/devcluster/certs"
)

// Authorities.
const (
	// clusterCA signs the API server's certificate and the clients that authenticate by certificate.
	clusterCA = "ca"
	// kubeletCA signs the serving certificates of kubelets, and nothing else: whom it vouches for is sent Secrets and commands.
	kubeletCA = "kubelet-ca"
	// frontProxyCA signs the API server as client of aggregated API servers, which believe the user names it passes on.
	frontProxyCA = "front-proxy-ca"
	// etcdCA signs etcd and its one client.
	etcdCA = "etcd-ca"
)

// Certificates and keys.
const (
	apiServerCert     = "apiserver"
	localServerCert   = "localserver" // health endpoints of controller manager and scheduler
	kubeletClientCert = "apiserver-kubelet-client"
	frontProxyCert    = "front-proxy-client"
	etcdServerCert    = "etcd-server"
	etcdClientCert    = "apiserver-etcd-client"
	adminCert         = "admin"
	controllerCert    = "controller-manager"
	schedulerCert     = "scheduler"
	serviceAccountKey = "service-account"
)

// kubeletClientUser is who the API server is to a kubelet.
const kubeletClientUser = "kube-apiserver-kubelet-client"

// pki is the cluster's certificates.
type pki struct{ store certs.Store }

// issue makes sure that every certificate exists and lasts.
func (c *Cluster) issue() error {
	c.pki.store = certs.NewStore(c.path("pki"), time.Now())
	server := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	loopback := []net.IP{net.IPv4(127, 0, 0, 1)}
	apiServerNames := []string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}
	leaves := map[string]map[string]certs.Leaf{
		clusterCA: {
			apiServerCert:     {CommonName: "kube-apiserver", DNSNames: apiServerNames, IPs: append([]net.IP{c.serviceIP}, c.ips...), Usages: server},
			localServerCert:   {CommonName: "localhost", DNSNames: []string{"localhost"}, IPs: loopback, Usages: server},
			kubeletClientCert: {CommonName: kubeletClientUser, Usages: client},
			adminCert:         {CommonName: "kubernetes-admin", Groups: []string{"system:masters"}, Usages: client},
			controllerCert:    {CommonName: "system:kube-controller-manager", Usages: client},
			schedulerCert:     {CommonName: "system:kube-scheduler", Usages: client},
		},
		frontProxyCA: {frontProxyCert: {CommonName: "front-proxy-client", Usages: client}},
		etcdCA: {
			// Both usages: etcd's listener calls itself over TLS for its HTTP gateway, and members are each other's clients.
			etcdServerCert: {CommonName: "etcd", DNSNames: []string{"localhost"}, IPs: loopback, Usages: append(server, client...)},
			etcdClientCert: {CommonName: "kube-apiserver-etcd-client", Usages: client},
		},
		kubeletCA: {},
	}
	for caName, signed := range leaves {
		ca, err := c.pki.store.Authority(caName)
		if err != nil {
			return err
		}
		for name, leaf := range signed {
			if err := c.pki.store.Leaf(ca, name, leaf); err != nil {
				return err
			}
		}
	}
	return c.pki.store.SigningKey(serviceAccountKey)
}

// files are the paths of certificates and of their keys.
func (p pki) files(names ...string) []string {
	var paths []string
	for _, name := range names {
		paths = append(paths, p.store.CertFile(name), p.store.KeyFile(name))
	}
	return paths
}

// authorities are the paths of certificates without their keys.
func (p pki) authorities(names ...string) []string {
	var paths []string
	for _, name := range names {
		paths = append(paths, p.store.CertFile(name))
	}
	return paths
}
