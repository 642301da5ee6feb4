package virtualnode

import (
	"fmt"
	"sync"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Clients gives clients that act as virtual nodes: they impersonate
// system:node:<name>, by user name only, so that the API server's node
// authorizer limits them to what the pods on that node refer to. They share
// the connections of the operator's own client and cache nothing.
type Clients struct {
	config *rest.Config

	mu     sync.Mutex
	byNode map[string]kubernetes.Interface
}

// NewClients makes Clients from the operator's own configuration.
func NewClients(config *rest.Config) *Clients {
	return &Clients{config: config, byNode: map[string]kubernetes.Interface{}}
}

// ForNode gives the client that acts as the node.
func (c *Clients) ForNode(name string) (kubernetes.Interface, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.byNode[name]; known != nil {
		return known, nil
	}
	config := rest.CopyConfig(c.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:node:" + name}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making the client of node %s: %w", name, err)
	}
	c.byNode[name] = client
	return client, nil
}
