package virtualnode

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// The lease says that a node is alive; the cluster gives a node up that has
// not renewed for its --node-monitor-grace-period. The figures are the kubelet's.
const (
	leaseSeconds = 40
	renewEvery   = 10 * time.Second
	// renewAtOnce is how many are renewed at a time.
	renewAtOnce = 16
)

// Leases renews the leases of the virtual nodes, in a goroutine of its own, so
// that no slow reconcile lets a node look dead.
type Leases struct {
	client kubernetes.Interface
	clock  clock.WithTicker
	wake   chan struct{}

	mu    sync.Mutex
	nodes map[string]types.UID
	// more is closed when a node has come.
	more chan struct{}
}

// Delete is not used: the API server asks for it of whoever sets owners, where
// its admission plugin OwnerReferencesPermissionEnforcement is on.
//
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=kube-node-lease,resources=leases,verbs=get;create;update;delete

// NewLeases makes Leases; the manager runs them on the leader.
func NewLeases(client kubernetes.Interface, c clock.WithTicker) *Leases {
	return &Leases{client: client, clock: c, wake: make(chan struct{}, 1), nodes: map[string]types.UID{}, more: make(chan struct{})}
}

// Keep renews the lease of a node from now on.
func (l *Leases) Keep(node string, uid types.UID) {
	l.mu.Lock()
	changed := l.nodes[node] != uid
	l.nodes[node] = uid
	if changed {
		close(l.more)
		l.more = make(chan struct{})
	}
	l.mu.Unlock()
	if !changed {
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Drop stops renewing; the lease goes with its node.
func (l *Leases) Drop(node string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.nodes, node)
}

// Any waits until there is a node whose lease is kept, and gives the name of
// one, the same as long as it is kept and no other comes.
func (l *Leases) Any(ctx context.Context) (string, error) {
	for {
		l.mu.Lock()
		names, more := slices.Sorted(maps.Keys(l.nodes)), l.more
		l.mu.Unlock()
		if len(names) > 0 {
			return names[0], nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-more:
		}
	}
}

// Start renews until the context ends.
func (l *Leases) Start(ctx context.Context) error {
	ticker := l.clock.NewTicker(renewEvery)
	defer ticker.Stop()
	for {
		l.renewAll(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		case <-l.wake:
		}
	}
}

func (l *Leases) keeps(node string, uid types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nodes[node] == uid
}

// renewAll renews several at a time, so that a slow API server does not let the
// last of many run out.
func (l *Leases) renewAll(ctx context.Context) {
	l.mu.Lock()
	nodes := maps.Clone(l.nodes)
	l.mu.Unlock()
	var all sync.WaitGroup
	places := make(chan struct{}, renewAtOnce)
	for name, uid := range nodes {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if !l.keeps(name, uid) {
				return
			}
			if err := l.renew(ctx, name, uid); err != nil && ctx.Err() == nil {
				log.FromContext(ctx).Error(err, "the node's lease was not renewed", "node", name)
			}
		})
	}
	all.Wait()
}

func (l *Leases) renew(ctx context.Context, name string, uid types.UID) error {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	leases := l.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	holder, seconds, now := name, int32(leaseSeconds), metav1.NewMicroTime(l.clock.Now())
	spec := coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now}
	owner := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: name, UID: uid}}
	lease, err := leases.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owner}, Spec: spec,
		}, metav1.CreateOptions{})
		return wrap(err, "creating lease")
	}
	if err != nil {
		return fmt.Errorf("reading lease: %w", err)
	}
	lease.Spec, lease.OwnerReferences = spec, owner
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return wrap(err, "updating lease")
}

func wrap(err error, doing string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
