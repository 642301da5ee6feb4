package virtualnode

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestIdentity: nodes of the same name are told apart by their provider ID.
func TestIdentity(t *testing.T) {
	for _, test := range []struct {
		name, providerID string
		want             Identity
		ours             bool
	}{
		{"kip-a-b", "kip://a-b", Identity{Class: "a-b"}, true},
		{"kip-a-b", "kip://a/b", Identity{Class: "a", Zone: "b"}, true},
		{"kip-a-us-east-1a", "kip://a/us-east-1a", Identity{Class: "a", Zone: "us-east-1a"}, true},
		{"kip-a-b", "kip://a", Identity{}, false},
		{"worker", "kip://a", Identity{}, false},
		{"kip-a", "", Identity{}, false},
		{"kip-a", "aws:///us-east-1a/i-1", Identity{}, false},
		{"kip-a", "kip://a/", Identity{}, false},
		{"kip-", "kip://", Identity{}, false},
	} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: test.name}, Spec: corev1.NodeSpec{ProviderID: test.providerID}}
		id, ours := IdentityOf(node)
		if id != test.want || ours != test.ours {
			t.Errorf("node %s with %q: %+v, %v", test.name, test.providerID, id, ours)
		}
		if ours && (id.Name() != test.name || id.ProviderID() != test.providerID) {
			t.Errorf("%+v is node %s with %q", id, id.Name(), id.ProviderID())
		}
	}
}
