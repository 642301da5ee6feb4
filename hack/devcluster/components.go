package devcluster

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"

	"kip.elotl.co/hack/proc"
)

// clientQPS lifts the limits that components put on themselves (controller manager 20 requests a second, scheduler 50): a hundred pods made
// at once should wait for the parts under test only.
const (
	clientQPS   = 1000
	clientBurst = 2000
)

func (c *Cluster) spec(name, executable string, files []string, args ...string) proc.Spec {
	return proc.Spec{
		Name: name,
		Dir:  c.cfg.Dir,
		Path: filepath.Join(c.cfg.BinDir, executable),
		Args: slices.Concat(args, c.cfg.ExtraArgs[name]),
		Env:  []string{"PATH=/usr/bin:/bin"},
		// Some of them would notice a new certificate by themselves, others not: all are started anew.
		Files:         files,
		DieWithParent: c.cfg.DieWithParent,
		Grace:         stopGrace,
	}
}

func (c *Cluster) etcdSpec() proc.Spec {
	s := c.pki.store
	client, peer := c.loopback(c.ports.EtcdClient), c.loopback(c.ports.EtcdPeer)
	return c.spec(Etcd, "etcd", append(c.pki.files(etcdServerCert), c.pki.authorities(etcdCA)...),
		"--name=devcluster",
		"--data-dir="+c.path("etcd"),
		"--listen-client-urls="+client,
		"--advertise-client-urls="+client,
		"--listen-peer-urls="+peer,
		"--initial-advertise-peer-urls="+peer,
		"--initial-cluster=devcluster="+peer,
		"--cert-file="+s.CertFile(etcdServerCert),
		"--key-file="+s.KeyFile(etcdServerCert),
		"--client-cert-auth",
		"--trusted-ca-file="+s.CertFile(etcdCA),
		"--peer-cert-file="+s.CertFile(etcdServerCert),
		"--peer-key-file="+s.KeyFile(etcdServerCert),
		"--peer-client-cert-auth",
		"--peer-trusted-ca-file="+s.CertFile(etcdCA),
		// Only a crash of the machine can lose data, and what runs here does not survive one.
		"--unsafe-no-fsync",
		// A full database would stop the cluster; the API server compacts every five minutes, but pages are reused late.
		"--quota-backend-bytes="+strconv.Itoa(8<<30),
		"--log-level=warn",
	)
}

func (c *Cluster) apiServerSpec() proc.Spec {
	s := c.pki.store
	const issuer = "https://kubernetes.default.svc.cluster.local"
	files := slices.Concat(c.pki.files(apiServerCert, kubeletClientCert, frontProxyCert, etcdClientCert),
		c.pki.authorities(clusterCA, kubeletCA, frontProxyCA, etcdCA), []string{s.KeyFile(serviceAccountKey), s.PublicKeyFile(serviceAccountKey)})
	args := []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(c.ports.APIServer),
		"--tls-cert-file=" + s.CertFile(apiServerCert),
		"--tls-private-key-file=" + s.KeyFile(apiServerCert),
		"--client-ca-file=" + s.CertFile(clusterCA),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--profiling=false",

		"--etcd-servers=" + c.loopback(c.ports.EtcdClient),
		"--etcd-cafile=" + s.CertFile(etcdCA),
		"--etcd-certfile=" + s.CertFile(etcdClientCert),
		"--etcd-keyfile=" + s.KeyFile(etcdClientCert),

		"--service-cluster-ip-range=" + c.cfg.ServiceCIDR,
		"--service-account-issuer=" + issuer,
		"--service-account-signing-key-file=" + s.KeyFile(serviceAccountKey),
		"--service-account-key-file=" + s.PublicKeyFile(serviceAccountKey),

		"--kubelet-certificate-authority=" + s.CertFile(kubeletCA),
		"--kubelet-client-certificate=" + s.CertFile(kubeletClientCert),
		"--kubelet-client-key=" + s.KeyFile(kubeletClientCert),
		"--kubelet-preferred-address-types=InternalIP",

		"--proxy-client-cert-file=" + s.CertFile(frontProxyCert),
		"--proxy-client-key-file=" + s.KeyFile(frontProxyCert),
		"--requestheader-client-ca-file=" + s.CertFile(frontProxyCA),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		// Without kube-proxy the address of a Service leads nowhere from here; its endpoints do.
		"--enable-aggregator-routing=true",
	}
	return c.spec(APIServer, "kube-apiserver", files, append(args, c.endpointArgs()...)...)
}

// endpointArgs say what the Service default/kubernetes leads to. A loopback address cannot be an endpoint, so without another there is none.
func (c *Cluster) endpointArgs() []string {
	for _, ip := range c.ips {
		if !ip.IsLoopback() {
			return []string{"--advertise-address=" + ip.String()}
		}
	}
	return []string{"--endpoint-reconciler-type=none"}
}

// forwarderSpec gives the API server its other addresses. ok is false when there are none.
func (c *Cluster) forwarderSpec() (spec proc.Spec, ok bool) {
	port := strconv.Itoa(c.ports.APIServer)
	args := []string{"-to", net.JoinHostPort("127.0.0.1", port)}
	for _, ip := range c.ips[1:] {
		args = append(args, "-listen", net.JoinHostPort(ip.String(), port))
	}
	return c.spec(Forwarder, "forward", nil, args...), len(c.ips) > 1
}

func (c *Cluster) controllerManagerSpec() proc.Spec {
	s := c.pki.store
	kubeconfig := c.path("controller-manager.kubeconfig")
	files := slices.Concat(c.pki.files(localServerCert, clusterCA, kubeletCA), []string{kubeconfig, s.KeyFile(serviceAccountKey)})
	args := []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--kube-api-qps=" + strconv.Itoa(clientQPS),
		"--kube-api-burst=" + strconv.Itoa(clientBurst),
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(c.ports.ControllerManager),
		"--tls-cert-file=" + s.CertFile(localServerCert),
		"--tls-private-key-file=" + s.KeyFile(localServerCert),
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--root-ca-file=" + s.CertFile(clusterCA),
		"--service-account-private-key-file=" + s.KeyFile(serviceAccountKey),
		"--cluster-signing-kube-apiserver-client-cert-file=" + s.CertFile(clusterCA),
		"--cluster-signing-kube-apiserver-client-key-file=" + s.KeyFile(clusterCA),
		"--cluster-signing-kubelet-client-cert-file=" + s.CertFile(clusterCA),
		"--cluster-signing-kubelet-client-key-file=" + s.KeyFile(clusterCA),
		"--cluster-signing-kubelet-serving-cert-file=" + s.CertFile(kubeletCA),
		"--cluster-signing-kubelet-serving-key-file=" + s.KeyFile(kubeletCA),
		// Created when missing; the default is in /usr.
		"--flex-volume-plugin-dir=" + c.path("flexvolume"),
		"--profiling=false",
	}
	if grace := c.cfg.NodeMonitorGrace; grace > 0 {
		args = append(args, "--node-monitor-grace-period="+grace.String())
	}
	return c.spec(ControllerManager, "kube-controller-manager", files, args...)
}

func (c *Cluster) schedulerSpec() proc.Spec {
	s := c.pki.store
	kubeconfig, config := c.path("scheduler.kubeconfig"), c.path("scheduler.yaml")
	return c.spec(Scheduler, "kube-scheduler", append(c.pki.files(localServerCert), kubeconfig, config),
		"--config="+config,
		"--authentication-kubeconfig="+kubeconfig,
		"--authorization-kubeconfig="+kubeconfig,
		"--bind-address=127.0.0.1",
		"--secure-port="+strconv.Itoa(c.ports.Scheduler),
		"--tls-cert-file="+s.CertFile(localServerCert),
		"--tls-private-key-file="+s.KeyFile(localServerCert),
	)
}

// schedulerConfig is the scheduler's configuration; its flags for the client's limits are deprecated.
func (c *Cluster) schedulerConfig() []byte {
	return fmt.Appendf(nil, `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: %q
  qps: %d
  burst: %d
leaderElection:
  leaderElect: false
enableProfiling: false
`, c.path("scheduler.kubeconfig"), clientQPS, clientBurst)
}
