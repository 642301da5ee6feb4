package kubeletapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/internal/itzo"
)

const (
	// gatherTimeout is how long the cells of a node have to tell what they use, all
	// together. Those who scrape wait for 10 s.
	gatherTimeout = 5 * time.Second
	// gatherFresh is how long what they told is good for whoever asks next.
	gatherFresh  = 3 * time.Second
	gatherAtOnce = 256
)

// told is what the cells of a node have told.
type told struct {
	at    time.Time
	cells []cellStats
	// silent counts the cells that did not answer, or nothing that can be used;
	// mute those whose agent cannot tell.
	silent, mute int
	// work is what the node's processors have done, in nanoseconds: it does not
	// become less when a cell ends.
	work uint64
}

// cellStats is what a pod's cell has told.
type cellStats struct {
	pod   *corev1.Pod
	reply *itzo.StatsReply
}

// gatherer asks the cells of nodes what they use: each once for all who ask at
// the same time or soon after.
type gatherer struct {
	pods    Pods
	clock   clock.PassiveClock
	timeout time.Duration
	// atOnce is how many cells are asked at once.
	atOnce int

	mu    sync.Mutex
	nodes map[string]*gathering
}

// gathering is the last one of a node, or the one under way.
type gathering struct {
	done  chan struct{} // closed at the end
	told  *told
	err   error
	work  workCounter
	quiet map[types.UID]bool // did not answer
}

func newGatherer(pods Pods, wall clock.PassiveClock) *gatherer {
	return &gatherer{pods: pods, clock: wall, timeout: gatherTimeout, atOnce: gatherAtOnce, nodes: map[string]*gathering{}}
}

// ask gives what the cells of a node use.
func (g *gatherer) ask(ctx context.Context, node string) (*told, error) {
	one := g.join(ctx, node)
	select {
	case <-one.done:
		return one.told, one.err
	case <-ctx.Done():
		return nil, fmt.Errorf("asking the cells of node %s: %w", node, ctx.Err())
	}
}

// join takes part in a gathering that is under way or fresh, or begins one. It
// does not end with the request that began it: others wait for it too.
func (g *gatherer) join(ctx context.Context, node string) *gathering {
	g.mu.Lock()
	defer g.mu.Unlock()
	last := g.nodes[node]
	if last != nil && !last.over() {
		return last
	}
	if last != nil && last.err == nil && g.clock.Since(last.told.at) < gatherFresh {
		return last
	}
	next := &gathering{done: make(chan struct{}), work: workCounter{cells: map[types.UID]uint64{}}}
	if last != nil {
		next.work, next.quiet = last.work, last.quiet
	}
	g.nodes[node] = next
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.timeout)
	go func() {
		defer cancel()
		defer close(next.done)
		next.told, next.err = g.gather(ctx, node, next)
	}()
	return next
}

// forget lets what was told of a node go.
func (g *gatherer) forget(node string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.nodes, node)
}

func (o *gathering) over() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

func (g *gatherer) gather(ctx context.Context, node string, one *gathering) (*told, error) {
	pods, err := g.pods.OnNode(ctx, node)
	if err != nil {
		return nil, fmt.Errorf("finding the pods of node %s: %w", node, err)
	}
	asked := slices.DeleteFunc(slices.Clone(pods), func(pod *corev1.Pod) bool { return !hasRun(pod) })
	// Cells that do not answer shall not keep others from being asked in time.
	slices.SortStableFunc(asked, func(a, b *corev1.Pod) int { return rank(one.quiet[a.UID]) - rank(one.quiet[b.UID]) })
	replies, errs := make([]itzo.StatsReply, len(asked)), make([]error, len(asked))
	var group errgroup.Group
	group.SetLimit(g.atOnce)
	for i, pod := range asked {
		group.Go(func() error {
			replies[i], errs[i] = g.one(ctx, pod)
			return nil
		})
	}
	_ = group.Wait() // none fails: errors are the cells' own
	result := &told{}
	one.quiet = map[types.UID]bool{}
	for i, pod := range asked {
		result.add(ctx, pod, &replies[i], errs[i], one.quiet)
	}
	one.work.count(pods, result.cells)
	result.at, result.work = g.clock.Now(), one.work.total
	return result, nil
}

func rank(last bool) int {
	if last {
		return 1
	}
	return 0
}

// hasRun says whether the agent has taken the pod, as far as its status tells;
// a pod that has ended uses nothing any more.
func hasRun(pod *corev1.Pod) bool {
	return pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed &&
		len(pod.Status.InitContainerStatuses)+len(pod.Status.ContainerStatuses) > 0
}

// errGone is that a pod has no cell, or that its cell has another pod.
var errGone = errors.New("the pod has no cell")

func (g *gatherer) one(ctx context.Context, pod *corev1.Pod) (itzo.StatsReply, error) {
	agent, err := g.pods.Agent(ctx, pod)
	if apierrors.IsNotFound(err) {
		return itzo.StatsReply{}, errGone
	}
	if err != nil {
		return itzo.StatsReply{}, fmt.Errorf("finding the cell: %w", err)
	}
	reply, err := agent.Stats(ctx)
	switch {
	case err != nil:
		return itzo.StatsReply{}, err
	case reply.PodUID == "" && reply.Node != nil:
		return itzo.StatsReply{}, errGone
	}
	return reply, check(pod, &reply)
}

// check refuses an answer that is not one about the pod.
func check(pod *corev1.Pod, reply *itzo.StatsReply) error {
	switch {
	case reply.Node == nil || reply.Pod == nil:
		return errors.New("the agent's answer lacks the cell or the pod")
	case reply.PodUID != pod.UID:
		return fmt.Errorf("the agent's answer is about another pod than %s", pod.UID)
	}
	return nil
}

func (t *told) add(ctx context.Context, pod *corev1.Pod, reply *itzo.StatsReply, err error, quiet map[types.UID]bool) {
	switch {
	case err == nil:
		t.cells = append(t.cells, cellStats{pod: pod, reply: reply})
	case errors.Is(err, errGone):
	case itzo.IsCode(err, http.StatusNotFound):
		t.mute++
	default:
		t.silent++
		quiet[pod.UID] = true
		log.FromContext(ctx).V(1).Info("A cell does not tell what it uses", "namespace", pod.Namespace, "pod", pod.Name, "cause", err.Error())
	}
}

// workCounter adds up what cells' processors have done, those of cells included
// that have ended. It begins with what the cells have done since their boot.
type workCounter struct {
	total uint64
	cells map[types.UID]uint64
}

// count adds what the cells have done since they last told. A cell whose count
// has become less was rebooted.
func (c *workCounter) count(pods []*corev1.Pod, cells []cellStats) {
	there := make(map[types.UID]bool, len(pods))
	for _, pod := range pods {
		there[pod.UID] = true
	}
	for uid := range c.cells {
		if !there[uid] {
			delete(c.cells, uid)
		}
	}
	for _, cell := range cells {
		cpu := cell.reply.Node.CPU
		if cpu == nil || cpu.UsageCoreNanoSeconds == nil {
			continue
		}
		now, before := *cpu.UsageCoreNanoSeconds, c.cells[cell.pod.UID]
		if now < before {
			before = 0
		}
		c.total = add(c.total, now-before)
		c.cells[cell.pod.UID] = now
	}
}
