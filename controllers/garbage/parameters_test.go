package garbage

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/test/fixture"
)

var apiServer fixture.APIServer

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

type bench struct {
	*testing.T
	client.Client
	cloud     *fixture.Cloud
	clock     *fixture.Clock
	collector *Collector
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, Client: apiServer.Client(t), cloud: fixture.NewCloud(t), clock: &fixture.Clock{}}
	b.collector = New(Options{Live: b.Client, Cloud: b.cloud, Clock: b.clock, Log: testr.New(t), ClusterID: "ours"})
	return b
}

func (b *bench) put(name, cluster string) {
	b.Helper()
	secret := cloud.Secret{Name: name, Value: "x", Tags: map[string]string{v1beta1.TagCluster: cluster}}
	if err := b.cloud.PutSecret(b.Context(), secret); err != nil {
		b.Fatal(err)
	}
}

// cell makes a Cell that has an instance.
func (b *bench) cell(name, instance string) {
	b.Helper()
	cell := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.CellSpec{CellClassName: "none"}}
	if err := b.Create(b.Context(), cell); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = b.Delete(context.Background(), cell) })
	cell.Status.InstanceID = instance
	if err := b.Status().Update(b.Context(), cell); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) look() {
	b.Helper()
	if err := b.collector.look(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) want(names ...string) {
	b.Helper()
	var left []string
	for _, p := range b.cloud.Account.Parameters.List() {
		left = append(left, p.Name)
	}
	if !slices.Equal(left, names) {
		b.Errorf("parameters %v, want %v", left, names)
	}
}

const (
	orphan0 = "/kip/cells/i-orphan/config-0"
	orphan1 = "/kip/cells/i-orphan/config-1"
	another = "/kip/cells/i-another/config"
	owned   = "/kip/cells/i-owned/config"
)

// TestOrphansGo when they are old enough and were seen twice; what another
// cluster or a Cell has stays.
func TestOrphansGo(t *testing.T) {
	b := newBench(t)
	b.put(orphan0, "ours")
	b.put(orphan1, "ours")
	b.put(another, "theirs")
	b.put(owned, "ours")
	b.clock.Advance(minAge + time.Minute)
	b.cell("garbage-owner", "i-owned")
	b.look()
	b.want(another, orphan0, orphan1, owned)
	b.look()
	b.want(another, owned)
}

func TestYoungOrphansStay(t *testing.T) {
	b := newBench(t)
	b.cell("garbage-young", "i-owned")
	b.put(orphan0, "ours")
	b.look()
	b.look()
	b.want(orphan0)
}

// TestCollectorRuns on its own.
func TestCollectorRuns(t *testing.T) {
	b := newBench(t)
	b.put(orphan0, "ours") // and there is no Cell at all
	turned := clocktesting.NewFakeClock(time.Now().Add(minAge + time.Minute))
	b.collector.Clock = turned
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.collector.Start(ctx) }()
	fixture.Eventually(t, "the orphan is gone", func(context.Context) error {
		turned.Step(every)
		if n := len(b.cloud.Account.Parameters.List()); n > 0 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
