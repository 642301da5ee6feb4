package garbage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/boot/boottest"
	"kip.elotl.co/hack/localaws/world"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/launchmark"
	"kip.elotl.co/test/fixture"
)

var apiServer fixture.APIServer

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

// The emulated cloud's.
const (
	subnetA = "subnet-0000000c0ffee0010"
	group   = "sg-0000000c0ffee0021"
	image   = "ami-0c0ffee0000000002"
	table   = "rtb-0000000c0ffee0030"
)

// clusterLabel is on the Cells of a cluster: each bench has one API server for
// all of its clusters.
const clusterLabel = "test.kip.elotl.co/cluster"

// bench is a cloud account.
type bench struct {
	*testing.T
	client.Client
	cloud *fixture.Cloud
	clock *fixture.Clock
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, Client: apiServer.Client(t), clock: &fixture.Clock{}}
	b.cloud = fixture.NewCloud(t, func(c *world.Config) { c.Backend = &boottest.Backend{} })
	return b
}

// cluster is one of those that use the account, with its collector.
type cluster struct {
	*bench
	name      string
	tags      map[string]string
	collector *Collector
	events    *recorder
	registry  *prometheus.Registry
	err       error // of reading the Cells
}

// cluster makes one whose things have the tags of its ID, and more.
func (b *bench) cluster(id string, edit ...func(*Options)) *cluster {
	b.Helper()
	c := &cluster{bench: b, name: fmt.Sprintf("%s-%d", id, time.Now().UnixNano()), events: &recorder{}, registry: prometheus.NewRegistry()}
	options := Options{
		Live: ownCells{b.Client, c}, Cloud: b.cloud, Events: c.events, Clock: b.clock, Log: testr.New(b.T), Metrics: c.registry,
		Tags: map[string]string{v1beta1.TagCluster: id}, Namespace: metav1.NamespaceDefault, MinAge: DefaultMinAge,
	}
	for _, e := range edit {
		e(&options)
	}
	c.tags = options.Tags
	var err error
	if c.collector, err = New(options); err != nil {
		b.Fatal(err)
	}
	return c
}

// ownCells shows a cluster its own Cells alone.
type ownCells struct {
	client.Reader
	cluster *cluster
}

func (o ownCells) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if o.cluster.err != nil {
		return o.cluster.err
	}
	return o.Reader.List(ctx, list, append(options, client.MatchingLabels{clusterLabel: o.cluster.name})...)
}

// cell makes a Cell with a status.
func (c *cluster) cell(name string, status v1beta1.CellStatus) *v1beta1.Cell {
	c.Helper()
	cell := &v1beta1.Cell{
		ObjectMeta: metav1.ObjectMeta{GenerateName: name + "-", Labels: map[string]string{clusterLabel: c.name}},
		Spec:       v1beta1.CellSpec{CellClassName: "none"},
	}
	if err := c.Create(c.Context(), cell); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { _ = c.Delete(context.Background(), cell) })
	c.setStatus(cell, status)
	return cell
}

func (c *cluster) setStatus(cell *v1beta1.Cell, status v1beta1.CellStatus) {
	c.Helper()
	cell.Status = status
	if err := c.Status().Update(c.Context(), cell); err != nil {
		c.Fatal(err)
	}
}

// bystander is a Cell without an instance: with it the list of Cells is to be
// believed.
func (c *cluster) bystander() { c.cell("bystander", v1beta1.CellStatus{}) }

// launch launches an instance as the Cells' controller does.
func (c *cluster) launch(cell types.UID, attempt int32) cloud.Instance {
	c.Helper()
	instance, err := c.cloud.Launch(c.Context(), cloud.LaunchRequest{
		ClientToken: launchmark.Token(cell, attempt), InstanceType: "t3.nano", ImageID: image, SubnetID: subnetA,
		SecurityGroups: []string{group}, Tags: c.tagsOf(cell, attempt),
	})
	if err != nil {
		c.Fatal(err)
	}
	return instance
}

func (c *cluster) tagsOf(cell types.UID, attempt int32) map[string]string {
	tags := map[string]string{
		v1beta1.TagCell: string(cell), v1beta1.TagClass: "none",
		launchmark.TagAttempt: strconv.Itoa(int(attempt)), launchmark.TagStarted: strconv.FormatInt(time.Now().Unix(), 10),
	}
	maps.Copy(tags, c.tags)
	return tags
}

// foreign launches an instance that Kip does not know of, and tags it.
func (c *cluster) foreign(tags map[string]string) cloud.Instance {
	c.Helper()
	instance, err := c.cloud.Launch(c.Context(), cloud.LaunchRequest{
		ClientToken: fmt.Sprint("somebody's-", time.Now().UnixNano()), InstanceType: "t3.nano", ImageID: image, SubnetID: subnetA,
	})
	if err != nil {
		c.Fatal(err)
	}
	if err := c.cloud.Tag(c.Context(), instance.ID, tags); err != nil {
		c.Fatal(err)
	}
	return instance
}

func (c *cluster) put(name string) {
	c.Helper()
	if err := c.cloud.PutSecret(c.Context(), cloud.Secret{Name: name, Value: "x", Tags: c.tags}); err != nil {
		c.Fatal(err)
	}
}

// look has the collector look, without an error.
func (c *cluster) look() {
	c.Helper()
	if err := c.collector.look(c.Context()); err != nil {
		c.Fatal(err)
	}
}

// collect lets so much time go by, and the collector look so often, that all
// goes that is to.
func (c *cluster) collect() {
	c.Helper()
	c.look()
	c.clock.Advance(DefaultMinAge + time.Minute)
	c.look()
	c.look()
}

// wantLive says which instances have not begun to end.
func (b *bench) wantLive(want ...cloud.Instance) {
	b.Helper()
	var live, ids []string
	for _, i := range b.cloud.World.All() {
		if i.State.Live() {
			live = append(live, i.ID)
		}
	}
	for _, i := range want {
		ids = append(ids, i.ID)
	}
	slices.Sort(live)
	slices.Sort(ids)
	if !slices.Equal(live, ids) {
		b.Errorf("live instances %v, want %v", live, ids)
	}
}

func (b *bench) wantParameters(names ...string) {
	b.Helper()
	var left []string
	for _, p := range b.cloud.Account.Parameters.List() {
		left = append(left, p.Name)
	}
	if !slices.Equal(left, names) {
		b.Errorf("parameters %v, want %v", left, names)
	}
}

// wantFigure says what a metric is for a kind.
func (c *cluster) wantFigure(metric, kind string, want float64) {
	c.Helper()
	families, err := c.registry.Gather()
	if err != nil {
		c.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != metric || m.GetLabel()[0].GetValue() != kind {
				continue
			}
			if got := m.GetGauge().GetValue() + m.GetCounter().GetValue(); got != want {
				c.Errorf("%s of %s is %v, want %v", metric, kind, got, want)
			}
			return
		}
	}
	c.Errorf("there is no %s of %s", metric, kind)
}

// recorder keeps events as "Kind/name Reason note", as an API server would:
// those that differ in their notes alone become one series, and the first note
// stays.
type recorder struct {
	events []string
	series map[string]bool
}

// Eventf implements events.EventRecorder.
func (r *recorder) Eventf(about, related runtime.Object, kindOf, reason, action, note string, args ...any) {
	object, ok := about.(client.Object)
	if !ok {
		panic(errors.New("an event about no object"))
	}
	kind := fmt.Sprintf("%T", about)
	series := fmt.Sprint(kind, object.GetName(), related, kindOf, reason, action)
	if r.series[series] {
		return
	}
	if r.series == nil {
		r.series = map[string]bool{}
	}
	r.series[series] = true
	r.events = append(r.events, fmt.Sprintf("%s/%s %s %s", kind[strings.LastIndex(kind, ".")+1:], object.GetName(), reason, fmt.Sprintf(note, args...)))
}

// wantEvents says that there are just these, by parts of their texts.
func (c *cluster) wantEvents(want ...[]string) {
	c.Helper()
	ok := len(c.events.events) == len(want)
	for i := range min(len(want), len(c.events.events)) {
		for _, part := range want[i] {
			ok = ok && strings.Contains(c.events.events[i], part)
		}
	}
	if !ok {
		c.Errorf("events %q, want %q", c.events.events, want)
	}
}
