package kubeletapi_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// testAnotherNode: at a node's port its pods are found and no others, by who may
// use that node.
func (w *world) testAnotherNode(t *testing.T) {
	const other, logs = "kip-other", "/containerLogs/default/web/main"
	own, others := w.address, listenFor(t, w.ports, other)
	othersToken := w.nodeToken(t, other)
	apiServer := w.client(w.certificate("apiserver-kubelet-client"))
	tests := []struct {
		name, at, token string
		client          *http.Client
		want            int
		text            string
	}{
		{"the API server at the pod's node", own, "", apiServer, http.StatusOK, "three"},
		{"the API server at another", others, "", apiServer, http.StatusNotFound, `pod "web" does not exist on node "kip-other"`},
		{"who may use the other node at the pod's", own, othersToken, w.client(), http.StatusForbidden, "Forbidden"},
		{"who may use the other node there", others, othersToken, w.client(), http.StatusNotFound, "does not exist"},
		{"who may use the pod's node", own, w.nodeToken(t, nodeName), w.client(), http.StatusOK, "three"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.address = tt.at
			defer func() { w.address = own }()
			if code, body := w.get(t, tt.client, logs, tt.token); code != tt.want || !strings.Contains(body, tt.text) {
				t.Errorf("got %d %q, want %d %q", code, body, tt.want, tt.text)
			}
		})
	}
	w.ports.Drop(other)
	if conn, err := net.Dial("tcp", others); err == nil {
		conn.Close()
		t.Error("a node that has gone is served")
	}
}

// nodeToken is a token of who may use one node's kubelet API.
func (w *world) nodeToken(t *testing.T, node string) string {
	t.Helper()
	name := "only-" + node
	token := w.token(name, "nodes/status")
	role := must[*rbacv1.ClusterRole](t)(w.admin.RbacV1().ClusterRoles().Get(t.Context(), name, metav1.GetOptions{}))
	role.Rules = []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes/proxy"}, ResourceNames: []string{node}, Verbs: []string{"get"}}}
	must[*rbacv1.ClusterRole](t)(w.admin.RbacV1().ClusterRoles().Update(t.Context(), role, metav1.UpdateOptions{}))
	return token
}
