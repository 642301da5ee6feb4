package virtualnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
)

// Ports listen for the virtual nodes, for each at a port of its own: the API
// server's node proxy does not say which node its client has asked for, so the
// port is what tells it.
type Ports struct {
	host        string
	first, last int32

	mu     sync.Mutex
	byNode map[string]net.Listener
	// serve is given the listeners there are and those that come; nil before Serve.
	serve func(node string, listener net.Listener)
}

// ErrNoPort is why a node has no port: all that may be used are taken.
var ErrNoPort = errors.New("no port is free")

// NewPorts makes Ports of an IP address, or all where it is empty, that use
// count ports from first on, as far as there are so many.
func NewPorts(host string, first, count int32) *Ports {
	const highest = 1<<16 - 1
	return &Ports{host: host, first: first, last: min(first+count-1, highest), byNode: map[string]net.Listener{}}
}

// Keep listens for the node, and tells at which port: the one it has, else the
// one it has told last, else the first that is free and that no other node has
// told. The error is ErrNoPort when there is none.
func (p *Ports) Keep(ctx context.Context, node string, told int32, others []int32) (int32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if listener := p.byNode[node]; listener != nil {
		return portOf(listener), nil
	}
	tries := []int32{told}
	if told < p.first || told > p.last {
		tries = nil
	}
	for port := p.first; port <= p.last; port++ {
		if port != told && !slices.Contains(others, port) {
			tries = append(tries, port)
		}
	}
	for _, port := range tries {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(p.host, strconv.Itoa(int(port))))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue // by another node, or another program
		}
		if err != nil {
			return 0, fmt.Errorf("listening for node %s: %w", node, err)
		}
		p.byNode[node] = listener
		if p.serve != nil {
			p.serve(node, listener)
		}
		return port, nil
	}
	return 0, fmt.Errorf("%w from %d to %d", ErrNoPort, p.first, p.last)
}

// Drop listens no more for the node. Who serves it learns that by net.ErrClosed.
func (p *Ports) Drop(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if listener := p.byNode[node]; listener != nil {
		listener.Close()
		delete(p.byNode, node)
	}
}

// Serve gives serve the listener of each node there is, and of each that comes.
// Neither may it wait nor call p.
func (p *Ports) Serve(serve func(node string, listener net.Listener)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serve = serve
	for node, listener := range p.byNode {
		serve(node, listener)
	}
}

// Close drops all nodes, and serves none that come.
func (p *Ports) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serve = nil
	for node, listener := range p.byNode {
		listener.Close()
		delete(p.byNode, node)
	}
}

func portOf(listener net.Listener) int32 { return int32(listener.Addr().(*net.TCPAddr).Port) }
