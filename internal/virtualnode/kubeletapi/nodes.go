package kubeletapi

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// All virtual nodes have one address and one port. Which of them a request is
// about that names no pod is told by the path (/nodes/<node>/metrics/resource),
// or by the API server's node proxy, which says where the client asked. Who asks
// is authorized for that node, so that nobody gains by naming another.

// forwardedURI is the header in which the API server's proxy tells the path that
// its client has asked for. What a client itself sends there is replaced.
const forwardedURI = "X-Forwarded-Uri"

// proxyPrefix begins the paths of the API server's node proxy.
const proxyPrefix = "/api/v1/nodes/"

// askedOf is the node that may be asked by whoever sent the request; the error
// is one to answer with.
func (s *Server) askedOf(r *http.Request) (string, error) {
	ours, inPath, proxied := s.options.Nodes.Names(), r.PathValue("node"), proxiedNode(r.Header)
	node := cmp.Or(proxied, inPath)
	if node == "" && len(ours) == 1 {
		node = ours[0]
	}
	if err := s.gate.authorize(r, node); err != nil {
		return "", err
	}
	switch {
	case node == "":
		return "", refuse(http.StatusBadRequest, "%d virtual nodes are served here, say which: /nodes/<node>%s", len(ours), r.URL.Path)
	case inPath != "" && inPath != node:
		return "", refuse(http.StatusNotFound, "node %q was asked for by the proxy of node %q", inPath, node)
	case !slices.Contains(ours, node):
		return "", refuse(http.StatusNotFound, "no virtual node %q is served here", node)
	}
	return node, nil
}

// proxiedNode is the node whose proxy in the API server passed a request on;
// empty where it came another way.
func proxiedNode(header http.Header) string {
	rest, ok := strings.CutPrefix(header.Get(forwardedURI), proxyPrefix)
	if !ok {
		return ""
	}
	id, path, _ := strings.Cut(rest, "/")
	if path != "proxy" && !strings.HasPrefix(path, "proxy/") {
		return ""
	}
	// As the API server reads it: scheme:name:port, name:port or name.
	_, name, _, valid := utilnet.SplitSchemeNamePort(id)
	if !valid {
		return ""
	}
	return name
}

// withoutNode is a path without /nodes/<node> at its beginning.
func withoutNode(path string) string {
	rest, ok := strings.CutPrefix(path, "/nodes/")
	if !ok {
		return path
	}
	_, rest, _ = strings.Cut(rest, "/")
	return "/" + rest
}
