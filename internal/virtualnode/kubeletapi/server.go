// Package kubeletapi serves for all virtual nodes what the API server asks a
// kubelet for. Everybody who asks is authenticated and authorized as a kubelet
// does it; nothing is answered to anonymous requests.
package kubeletapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/virtualnode"
)

// Where the kubelet API is served unless told otherwise: from the port of
// kubelets on, one for each virtual node.
const (
	FirstPort = 10250
	MaxPorts  = 100
)

// Pods finds pods and the agents that run them.
type Pods interface {
	// Pod gives a pod that is bound to a virtual node of this operator; for any
	// other the error is a NotFound of the API.
	Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error)
	// Agent gives the client of the agent that runs the pod. The error is a
	// NotFound of the API when the pod has no cell: not yet, or not any more.
	Agent(ctx context.Context, pod *corev1.Pod) (*itzo.Client, error)
	// OnNode lists the pods of a virtual node, which nobody may change.
	OnNode(ctx context.Context, node string) ([]*corev1.Pod, error)
}

// Kept are the logs of containers whose cell has ended, as the agent gave them
// with metadata, perhaps without their beginning.
type Kept interface {
	Get(pod types.UID, container string) ([]byte, bool)
	// WhyGone says why they are not kept of a container that ended at a time; zero
	// where that is not known.
	WhyGone(pod types.UID, container string, ended time.Time) string
}

// Nodes are the virtual nodes that the operator keeps.
type Nodes interface {
	// Any waits until there is a node, and gives the name of one.
	Any(ctx context.Context) (string, error)
}

// NodeClients gives clients that act as a node.
type NodeClients interface {
	ForNode(name string) (kubernetes.Interface, error)
}

// Options are what a Server is made of.
type Options struct {
	// Kube is the operator's own identity.
	Kube        kubernetes.Interface
	NodeClients NodeClients
	Nodes       Nodes
	Pods        Pods
	Kept        Kept
	// Address is the nodes' address, which the serving certificate is for.
	Address netip.Addr
	// Ports listen for the nodes.
	Ports *virtualnode.Ports
	Clock clock.Clock
	// Signer is the name of the serving certificate's signer, or SelfSigned;
	// kubernetes.io/kubelet-serving where it is empty.
	Signer string
	// Tell, where there is one, is told how the API is served.
	Tell func(virtualnode.Serving)
}

// Server serves the kubelet API as long as the manager runs it, which is on
// the leader only: the nodes' address is the leader's.
type Server struct {
	options     Options
	gate        *gate
	gatherer    *gatherer
	certificate *servingCertificate
	streams     streamCount
}

// New makes a Server.
func New(options Options) (*Server, error) {
	if !options.Address.IsValid() {
		return nil, errors.New("the kubelet API needs the nodes' address for its certificate")
	}
	gate, err := newGate(options.Kube, options.Clock)
	if err != nil {
		return nil, err
	}
	certificate := &servingCertificate{
		kube: options.Kube, clients: options.NodeClients, nodes: options.Nodes, address: options.Address, clock: options.Clock,
		signer: cmp.Or(options.Signer, certificatesv1.KubeletServingSignerName), tell: options.Tell,
	}
	if certificate.tell == nil {
		certificate.tell = func(virtualnode.Serving) {}
	}
	return &Server{options: options, gate: gate, gatherer: newGatherer(options.Pods, options.Clock), certificate: certificate}, nil
}

// SetupWithManager has the manager run the server.
func (s *Server) SetupWithManager(mgr ctrl.Manager) error { return mgr.Add(s) }

// Times that bound what a client can hold up. Answers may take as long as
// their readers do.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	endTimeout    = 2 * time.Second
)

// Start serves until the context ends: each node at its port.
func (s *Server) Start(ctx context.Context) error {
	parent := ctx
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	defer context.AfterFunc(parent, func() { cancel(errEnding) })()
	defer cancel(errEnding)
	go s.gate.run(ctx)
	go s.certificate.run(ctx)
	var nodes sync.WaitGroup
	s.options.Ports.Serve(func(node string, listener net.Listener) {
		nodes.Go(func() {
			if err := s.serveNode(ctx, node, listener); err != nil {
				cancel(err)
			}
		})
	})
	<-ctx.Done()
	s.options.Ports.Close()
	nodes.Wait()
	// Those are told whose streams end with the server.
	late, cancelTelling := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancelTelling()
	s.streams.wait(late)
	if cause := context.Cause(ctx); !errors.Is(cause, errEnding) {
		return cause
	}
	return nil
}

// serveNode serves a node until its listener is closed.
func (s *Server) serveNode(ctx context.Context, node string, listener net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errNodeGone)
	server := &http.Server{
		Handler:           s.handler(node),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          quiet(ctx),
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: s.certificate.get,
			// Checked by the gate, so that those who show a token need none.
			ClientAuth: tls.RequestClientCert,
		},
	}
	err := server.ServeTLS(listener, "", "")
	// No connection is kept for who comes to have the port next.
	cancel(errNodeGone)
	s.gatherer.forget(node)
	late, cancelShutdown := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancelShutdown()
	if server.Shutdown(late) != nil {
		server.Close()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serving the kubelet API of node %s: %w", node, err)
}

// nodeServer serves one node.
type nodeServer struct {
	*Server
	node string
}

func (s *Server) handler(name string) http.Handler {
	mux, node := http.NewServeMux(), &nodeServer{Server: s, node: name}
	for path, answer := range map[string]handler{
		"/healthz": node.healthz, "/healthz/ping": node.healthz, "/healthz/log": node.healthz, "/healthz/syncloop": node.healthz,
		"/stats/summary": node.statsSummary, "/metrics/resource": node.resourceMetrics, "/pods": node.podList, "/runningpods/{$}": node.runningPods,
		"/containerLogs/{namespace}/{pod}/{container}": node.containerLogs,
	} {
		mux.Handle("GET "+path, answer)
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		mux.Handle(method+" /exec/{namespace}/{pod}/{container}", handler(node.exec))
		mux.Handle(method+" /exec/{namespace}/{pod}/{uid}/{container}", handler(node.exec))
		mux.Handle(method+" /attach/{namespace}/{pod}/{container}", handler(node.attach))
		mux.Handle(method+" /attach/{namespace}/{pod}/{uid}/{container}", handler(node.attach))
		mux.Handle(method+" /portForward/{namespace}/{pod}", handler(node.portForward))
		mux.Handle(method+" /portForward/{namespace}/{pod}/{uid}", handler(node.portForward))
	}
	mux.Handle("/", handler(node.unknown))
	return s.gate.Authenticated(mux)
}

// authorize refuses who may not do this with the node.
func (s *nodeServer) authorize(r *http.Request) error { return s.gate.authorize(r, s.node) }

func (s *nodeServer) unknown(_ http.ResponseWriter, r *http.Request) error {
	if err := s.authorize(r); err != nil {
		return err
	}
	return refuse(http.StatusNotFound, "the virtual node does not serve %s", r.URL.Path)
}

// requestError is an answer other than 200. The API server shows the user the
// texts of 400 and 500, those of most other codes not.
type requestError struct {
	code    int
	message string
}

func (e *requestError) Error() string { return e.message }

func refuse(code int, format string, args ...any) error {
	return &requestError{code: code, message: fmt.Sprintf(format, args...)}
}

// handler writes errors as plain text, as a kubelet does; those that say
// nothing else are our own fault.
type handler func(http.ResponseWriter, *http.Request) error

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := h(w, r)
	if err == nil {
		return
	}
	code := http.StatusInternalServerError
	if request := (*requestError)(nil); errors.As(err, &request) {
		code = request.code
	} else if r.Context().Err() == nil {
		log.FromContext(r.Context()).Error(err, "the kubelet API could not answer", "path", r.URL.Path)
	}
	http.Error(w, err.Error(), code)
}
