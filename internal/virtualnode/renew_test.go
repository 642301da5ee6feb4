package virtualnode

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/test/fixture"
)

var apiServer fixture.APIServer

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

// keeper is a running Leases whose clock stands still until it is put forward.
type keeper struct {
	*Leases
	t     *testing.T
	clock *clocktesting.FakeClock
	api   client.Client
}

func newKeeper(t *testing.T) *keeper {
	t.Helper()
	clientset, err := kubernetes.NewForConfig(apiServer.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	clock := clocktesting.NewFakeClock(time.Now().Truncate(time.Microsecond))
	k := &keeper{t: t, clock: clock, Leases: NewLeases(clientset, clock), api: apiServer.Client(t)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return k
}

func (k *keeper) node(name string) *corev1.Node {
	k.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := k.api.Create(k.t.Context(), node); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		_ = k.api.Delete(context.Background(), node)
		_ = k.api.Delete(context.Background(), lease(name))
	})
	return node
}

func lease(node string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: node}}
}

// renewed waits until the node's lease was renewed at the clock's time.
func (k *keeper) renewed(node *corev1.Node) *coordinationv1.Lease {
	k.t.Helper()
	now := k.clock.Now()
	return fixture.WaitFor(k.t, k.api, lease(node.Name), "the lease is renewed", func(is *coordinationv1.Lease) error {
		if is.Spec.RenewTime == nil || !is.Spec.RenewTime.Equal(&metav1.MicroTime{Time: now}) {
			return fmt.Errorf("renewed at %v, now is %v", is.Spec.RenewTime, now)
		}
		return nil
	})
}

func TestLeaseIsMadeAndRenewed(t *testing.T) {
	k := newKeeper(t)
	node := k.node("kip-renewed")
	k.Keep(node.Name, node.UID)
	is := k.renewed(node)
	if *is.Spec.HolderIdentity != node.Name || *is.Spec.LeaseDurationSeconds != 40 {
		t.Errorf("spec %+v", is.Spec)
	}
	if owners := is.OwnerReferences; len(owners) != 1 || owners[0].Kind != "Node" || owners[0].UID != node.UID {
		t.Errorf("owners %+v", owners)
	}
	for range 3 {
		k.clock.Step(renewEvery)
		k.renewed(node)
	}
}

// TestLeaseOfAnotherHolder is taken over, and one that was deleted comes back.
func TestLeaseOfAnotherHolder(t *testing.T) {
	k := newKeeper(t)
	node := k.node("kip-taken-over")
	foreign := lease(node.Name)
	other := "other"
	foreign.Spec.HolderIdentity = &other
	if err := k.api.Create(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	k.Keep(node.Name, node.UID)
	if is := k.renewed(node); *is.Spec.HolderIdentity != node.Name || len(is.OwnerReferences) != 1 {
		t.Errorf("holder %s, owners %+v", *is.Spec.HolderIdentity, is.OwnerReferences)
	}
	if err := k.api.Delete(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	k.clock.Step(renewEvery)
	k.renewed(node)
}

// TestNodeOfTheSameName: the lease becomes that of the new node.
func TestNodeOfTheSameName(t *testing.T) {
	k := newKeeper(t)
	node := k.node("kip-again")
	k.Keep(node.Name, node.UID)
	k.renewed(node)
	k.Keep(node.Name, "new")
	fixture.WaitFor(t, k.api, lease(node.Name), "the lease has a new owner", func(is *coordinationv1.Lease) error {
		if len(is.OwnerReferences) != 1 || is.OwnerReferences[0].UID != "new" {
			return fmt.Errorf("owners %+v", is.OwnerReferences)
		}
		return nil
	})
}

// TestDroppedNode: its lease runs out, those of others do not.
func TestDroppedNode(t *testing.T) {
	k := newKeeper(t)
	dropped, kept := k.node("kip-dropped"), k.node("kip-kept")
	k.Keep(dropped.Name, dropped.UID)
	k.Keep(kept.Name, kept.UID)
	k.renewed(dropped)
	k.renewed(kept)
	k.Drop(dropped.Name)
	// One renewal may be under way: it is over when the next round is.
	k.clock.Step(renewEvery)
	k.renewed(kept)
	before, err := fixture.Get(t.Context(), k.api, lease(dropped.Name))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		k.clock.Step(renewEvery)
		k.renewed(kept)
	}
	after, err := fixture.Get(t.Context(), k.api, lease(dropped.Name))
	if err != nil {
		t.Fatal(err)
	}
	if after.ResourceVersion != before.ResourceVersion {
		t.Errorf("it was renewed at %v", after.Spec.RenewTime)
	}
}
