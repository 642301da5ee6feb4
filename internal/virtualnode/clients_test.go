package virtualnode

import (
	"slices"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func whoAmI(t *testing.T, c kubernetes.Interface) authenticationv1.UserInfo {
	t.Helper()
	review, err := c.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.UserInfo
}

// TestActsAsTheNode asks the API server who it takes the client for.
func TestActsAsTheNode(t *testing.T) {
	config := apiServer.Config(t)
	clients := NewClients(config)
	for _, node := range []string{"kip-a", "kip-b"} {
		c, err := clients.ForNode(node)
		if err != nil {
			t.Fatal(err)
		}
		user := whoAmI(t, c)
		if user.Username != "system:node:"+node || slices.Contains(user.Groups, "system:masters") {
			t.Errorf("it is %s in %q", user.Username, user.Groups)
		}
	}
	if config.Impersonate.UserName != "" {
		t.Errorf("the operator's own configuration impersonates %s", config.Impersonate.UserName)
	}
}

func TestOneClientPerNode(t *testing.T) {
	clients := NewClients(&rest.Config{Host: "https://127.0.0.1:1"})
	got := make([]kubernetes.Interface, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			c, err := clients.ForNode("kip-a")
			if err != nil {
				t.Error(err)
			}
			got[i] = c
		})
	}
	wg.Wait()
	for _, c := range got {
		if c != got[0] {
			t.Error("the node has several clients")
		}
	}
	if other, err := clients.ForNode("kip-b"); err != nil || other == got[0] {
		t.Errorf("another node has the same client; error %v", err)
	}
}

func TestUnusableConfiguration(t *testing.T) {
	if _, err := NewClients(&rest.Config{Host: "https://%"}).ForNode("kip-a"); err == nil {
		t.Error("no error")
	}
}
