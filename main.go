// Command kip is the operator: it runs every pod that is bound to one of its
// virtual nodes on a cloud instance of its own.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/controllers/cell"
	"kip.elotl.co/controllers/cellclass"
	"kip.elotl.co/controllers/garbage"
	"kip.elotl.co/controllers/pod"
	"kip.elotl.co/controllers/prices"
	"kip.elotl.co/controllers/standby"
	"kip.elotl.co/internal/agentfiles"
	"kip.elotl.co/internal/castore"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/claim"
	"kip.elotl.co/internal/cloud/aws"
	"kip.elotl.co/internal/delegated"
	"kip.elotl.co/internal/lastlogs"
	"kip.elotl.co/internal/leader"
	"kip.elotl.co/internal/virtualnode"
	"kip.elotl.co/internal/virtualnode/kubeletapi"
)

// version is set by the linker.
var version = "dev"

type options struct {
	namespace     string
	clusterID     string
	nodeAddress   string
	kubeletAddr   string
	kubeletPort   int
	kubeletPorts  int
	signer        string
	logLimits     lastlogs.Limits
	leaderElect   bool
	metricsAddr   string
	healthAddr    string
	awsLimits     string
	garbage       garbageMode
	garbageMinAge ageFlag
	agentDir      string
	agentAddr     string
	agentURL      string
	printVersion  bool
	zap           zap.Options
}

func (o *options) bind(flags *flag.FlagSet) {
	flags.StringVar(&o.namespace, "namespace", "kip-system", "the operator's own namespace, which holds its Secret and its lease")
	flags.StringVar(&o.clusterID, "cluster-id", "", "tags all that is made in the cloud; the UID of namespace kube-system when empty")
	flags.StringVar(&o.nodeAddress, "node-address", os.Getenv("POD_IP"), "the IP address at which the API server reaches this operator; $POD_IP when not given")
	flags.StringVar(&o.kubeletAddr, "kubelet-bind-address", "", "the IP address on which the kubelet API is served, to authorized clients; all when empty")
	flags.IntVar(&o.kubeletPort, "kubelet-port", kubeletapi.FirstPort, "the first port of the kubelet API; each virtual node has one of its own, as it tells")
	flags.IntVar(&o.kubeletPorts, "kubelet-ports", kubeletapi.MaxPorts, "how many ports from --kubelet-port on may be used, and so how many virtual nodes there can be")
	flags.StringVar(&o.signer, "kubelet-serving-signer", certificatesv1.KubeletServingSignerName, "who signs the certificate of the kubelet API: the name of a signer, beta.eks.amazonaws.com/app-serving on EKS; or self-signed, which an API server that checks it refuses")
	o.logLimits = lastlogs.DefaultLimits()
	flags.Var((*bytesFlag)(&o.logLimits.Container), "last-logs-container", "how much of the end of a container's log is kept in memory when its cell ends, as long as its Pod exists, such as 1Mi")
	flags.Var((*bytesFlag)(&o.logLimits.Total), "last-logs-total", "how much of such logs is kept in all, the newest, such as 256Mi; 0 keeps none")
	flags.BoolVar(&o.leaderElect, "leader-elect", true, "let only one replica act")
	flags.StringVar(&o.metricsAddr, "metrics-bind-address", ":8443", "where metrics are served, by HTTPS and to authorized clients; 0 turns them off")
	flags.StringVar(&o.healthAddr, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served")
	flags.StringVar(&o.awsLimits, "aws-limits", "published", "how fast EC2 is asked, as token buckets: published (what EC2 publishes), none, or a list of burst/perSecond for what the account has otherwise, such as RunInstances=50/20,Describe=200/40")
	o.garbage, o.garbageMinAge = garbageDelete, ageFlag(garbage.DefaultMinAge)
	flags.Var(&o.garbage, "garbage", "what becomes of what has this cluster's tags in the cloud and no Cell owns: it is deleted (delete), only told of by events and metrics (report), or not looked for (off)")
	flags.Var(&o.garbageMinAge, "garbage-min-age", "how old that must be before it is deleted, or told of, such as 15m; it is looked for after two thirds of that each time, every 10m at least")
	flags.StringVar(&o.agentDir, "agent-dir", "", "the directory with itzo-<arch> and pause-<arch>, which are served to cells whose class has no itzo.url; none are when empty")
	flags.StringVar(&o.agentAddr, "agent-bind-address", ":8082", "where agents are served, by HTTP")
	flags.StringVar(&o.agentURL, "agent-url", "", "the URL at which cells reach that; http://<node-address>:<port of agent-bind-address> when empty")
	flags.BoolVar(&o.printVersion, "version", false, "print the version and end")
	o.zap.BindFlags(flags)
}

func main() {
	var o options
	o.bind(flag.CommandLine)
	flag.Parse()
	if o.printVersion {
		fmt.Println(version)
		return
	}
	setLoggers(zap.New(zap.UseFlagOptions(&o.zap)))
	if err := run(ctrl.SetupSignalHandler(), o); err != nil {
		ctrl.Log.Error(err, "the operator ends")
		os.Exit(1)
	}
}

// setLoggers lets everything log alike: controller-runtime, and client-go,
// which logs by klog.
func setLoggers(logger logr.Logger) {
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
}

// Leader election, whose library makes events of the core group:
// +kubebuilder:rbac:groups="",namespace=kip-system,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=kip-system,resources=leases,verbs=get;create;update

// What the endpoints of metrics and of the kubelet API ask about their callers:
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

func run(ctx context.Context, o options) error {
	if o.nodeAddress == "" {
		return fmt.Errorf("--node-address is missing: the IP address at which the API server reaches this operator")
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	config.QPS = -1 // the API server's priority and fairness decides
	config.UserAgent = "kip/" + version
	mgr, err := newManager(config, o)
	if err != nil {
		return err
	}
	live, err := client.New(config, client.Options{Scheme: mgr.GetScheme()})
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if err := setup(ctx, mgr, live, o); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

func newManager(config *rest.Config, o options) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering types: %w", err)
		}
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:       {Transform: pod.Slim},
			&corev1.ConfigMap{}: {Namespaces: map[string]cache.Config{o.namespace: {}}},
			&corev1.Secret{}:    {Namespaces: map[string]cache.Config{o.namespace: {}}},
		}},
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              "kip-operator",
		LeaderElectionNamespace:       o.namespace,
		LeaderElectionReleaseOnCancel: true,
		HealthProbeBindAddress:        o.healthAddr,
		Metrics: metricsserver.Options{
			BindAddress: o.metricsAddr, SecureServing: true, FilterProvider: delegated.MetricsFilter,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("adding the health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("adding the readiness check: %w", err)
	}
	return mgr, nil
}

// setup makes the parts and registers the controllers.
func setup(ctx context.Context, mgr ctrl.Manager, live client.Client, o options) error {
	cluster, err := readIdentity(ctx, live, o)
	if err != nil {
		return err
	}
	events, wall := mgr.GetEventRecorder("kip"), clock.RealClock{}
	authorities, err := openAuthorities(ctx, mgr, castore.Options{Client: live, Events: events, Clock: wall, Namespace: o.namespace})
	if err != nil {
		return err
	}
	cloud, err := newCloud(ctx, o)
	if err != nil {
		return err
	}
	clientset, err := kubernetes.NewForConfig(mgr.GetConfig())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	offers, err := newCatalogue(mgr, cloud)
	if err != nil {
		return err
	}
	if err := errors.Join(collectGarbage(mgr, live, cloud, cluster, o), leader.Mark(mgr, clientset, o.namespace, os.Getenv("POD_NAME"))); err != nil {
		return err
	}
	agent, err := serveAgent(mgr, o)
	if err != nil {
		return err
	}
	agents := cellagent.New(authorities, time.Now)
	nodes, leases := virtualnode.NewClients(mgr.GetConfig()), virtualnode.NewLeases(clientset, wall)
	recorders := virtualnode.NewRecorders(clientset.CoreV1())
	kubelet, err := newKubelet(mgr, cloud.Region(), o, kubeletapi.Options{
		Kube: clientset, NodeClients: nodes, Nodes: leases, Clock: wall,
		Pods: &cellagent.Pods{Client: mgr.GetClient(), Agents: agents},
	})
	if err != nil {
		return err
	}
	return setupAll(mgr,
		cellclass.New(cellclass.Options{
			Client: mgr.GetClient(), Live: live, Cloud: cloud, Catalogue: offers, Events: events, Clock: wall,
			Namespace: o.namespace, ServesAgent: agent.URL != "", Leases: leases, Ports: kubelet.ports, About: kubelet.about, Serving: kubelet.serving, Version: version,
		}),
		cell.New(cell.Options{
			Client: mgr.GetClient(), Cloud: cloud, Catalogue: offers, Authority: authorities, Agents: agents, Events: events, Clock: wall,
			ClusterID: cluster.id, ClusterUID: cluster.uid, Namespace: o.namespace, OwnAgent: agent, Metrics: metrics.Registry,
		}),
		prices.New(prices.Options{
			Client: mgr.GetClient(), Catalogue: offers, Events: events, Clock: wall, Namespace: o.namespace,
		}),
		pod.New(pod.Options{
			Client: mgr.GetClient(), Live: live, Nodes: nodes, Agents: agents, Events: recorders, Clock: wall, Logs: kubelet.logs,
			Version: version, Fits: &claim.Matcher{Objects: mgr.GetClient(), Namespace: o.namespace, Index: offers.IndexFor, Region: offers.Region},
		}),
		standby.New(standby.Options{Client: mgr.GetClient(), Events: events, Clock: wall}),
		kubelet.server,
		authorities,
		recorders,
	)
}

// openAuthorities loads the cells' certificate authorities; the operator is
// not ready while their Secret is lost.
func openAuthorities(ctx context.Context, mgr ctrl.Manager, options castore.Options) (*castore.Keeper, error) {
	keeper, err := castore.Open(ctx, options)
	if err != nil {
		return nil, err
	}
	if err := mgr.AddReadyzCheck("certificate-authority", keeper.Check); err != nil {
		return nil, fmt.Errorf("adding the readiness check: %w", err)
	}
	return keeper, nil
}

// serveAgent serves the agent of this release to cells, where there is one to
// serve.
func serveAgent(mgr ctrl.Manager, o options) (cell.AgentSource, error) {
	if o.agentDir == "" {
		return cell.AgentSource{}, nil
	}
	files, err := agentfiles.Open(o.agentDir, version)
	if err != nil {
		return cell.AgentSource{}, fmt.Errorf("--agent-dir: %w", err)
	}
	_, port, err := net.SplitHostPort(o.agentAddr)
	if err != nil {
		return cell.AgentSource{}, fmt.Errorf("--agent-bind-address: %w", err)
	}
	if err := mgr.Add(&agentfiles.Server{Files: files, Listen: o.agentAddr}); err != nil {
		return cell.AgentSource{}, fmt.Errorf("adding the server of agents: %w", err)
	}
	url := cmp.Or(strings.TrimSuffix(o.agentURL, "/"), "http://"+net.JoinHostPort(o.nodeAddress, port))
	return cell.AgentSource{URL: url, Version: version, SHA256: files.SHA256()}, nil
}

// newCatalogue makes the catalogue, which the manager keeps up to date.
func newCatalogue(mgr ctrl.Manager, cloud *aws.Client) (*catalogue.Catalogue, error) {
	offers, err := catalogue.New(catalogue.Options{
		Source: cloud, Region: cloud.Region(), Clock: clock.RealClock{}, Log: mgr.GetLogger().WithName("catalogue"),
	})
	if err != nil {
		return nil, err
	}
	if err := mgr.Add(offers); err != nil {
		return nil, fmt.Errorf("adding the catalogue: %w", err)
	}
	return offers, nil
}

func setupAll(mgr ctrl.Manager, controllers ...interface{ SetupWithManager(ctrl.Manager) error }) error {
	for _, c := range controllers {
		if err := c.SetupWithManager(mgr); err != nil {
			return fmt.Errorf("setting up %T: %w", c, err)
		}
	}
	return nil
}

func newCloud(ctx context.Context, o options) (*aws.Client, error) {
	limits, err := aws.ParseLimits(o.awsLimits)
	if err != nil {
		return nil, fmt.Errorf("--aws-limits=%s: %w", o.awsLimits, err)
	}
	return aws.New(ctx, aws.Options{Version: version, Limits: limits})
}
