package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/dev"
	"kip.elotl.co/hack/localaws/journal"
	"kip.elotl.co/hack/proc"
	"kip.elotl.co/test/testenv"
)

// batchLimit bounds one batch: a hundred pods took the first Kip less than two minutes.
const batchLimit = 5 * time.Minute

type measurement struct {
	env   *testenv.Env
	audit auditLog
}

// times are when things were seen to happen to a pod.
type times struct{ created, bound, running, gone time.Time }

// start is what counters showed before a batch.
type start struct {
	call  int64
	audit int64
	usage usage
}

// batch makes n pods at once, waits until all run, deletes them, and waits until they, their Cells and their instances are gone.
func (m measurement) batch(ctx context.Context, name string, n int) (figures, error) {
	ctx, cancel := context.WithTimeout(ctx, batchLimit)
	defer cancel()
	before, err := m.start(ctx)
	if err != nil {
		return figures{}, err
	}
	pods, err := m.live(ctx, name, n)
	if err != nil {
		return figures{}, fmt.Errorf("%s: %w", name, err)
	}
	return m.figures(ctx, before, pods)
}

func (m measurement) start(ctx context.Context) (s start, err error) {
	if s.call, err = m.env.LastCall(ctx); err != nil {
		return s, err
	}
	if s.audit, err = m.audit.size(); err != nil {
		return s, err
	}
	s.usage, err = m.operator()
	return s, err
}

func (m measurement) operator() (usage, error) {
	operator, alive, err := proc.Alive(m.env.Dir, dev.Operator)
	if err != nil {
		return usage{}, err
	}
	if !alive {
		return usage{}, errors.New("the operator has ended")
	}
	return usageOf(operator.PID)
}

// live is the life of n pods, by name.
func (m measurement) live(ctx context.Context, name string, n int) (map[string]*times, error) {
	seen := &timeline{pods: map[string]*times{}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := m.watch(ctx, seen); err != nil {
		return nil, err
	}
	if err := m.create(ctx, seen, name, n); err != nil {
		return nil, err
	}
	if err := seen.wait(ctx, "Running", func(t *times) bool { return !t.running.IsZero() }); err != nil {
		return nil, err
	}
	deleted := time.Now()
	if err := m.env.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(metav1.NamespaceDefault)); err != nil {
		return nil, err
	}
	if err := seen.wait(ctx, "gone", func(t *times) bool { return !t.gone.IsZero() }); err != nil {
		return nil, err
	}
	for _, t := range seen.pods {
		// Counted from here on, so that one figure tells of the whole batch.
		t.gone = t.created.Add(t.gone.Sub(deleted))
	}
	return seen.pods, m.waitForNoCells(ctx)
}

// watch follows pods until ctx ends.
func (m measurement) watch(ctx context.Context, seen *timeline) error {
	pods := cache.NewListWatchFromClient(m.env.Kube.CoreV1().RESTClient(), "pods", metav1.NamespaceDefault, fields.Everything())
	note := func(obj any, deleted bool) {
		if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = last.Obj
		}
		if pod, ok := obj.(*corev1.Pod); ok {
			seen.note(time.Now(), pod, deleted)
		}
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{ListerWatcher: pods, ObjectType: &corev1.Pod{}, Handler: cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { note(obj, false) },
		UpdateFunc: func(_, obj any) { note(obj, false) },
		DeleteFunc: func(obj any) { note(obj, true) },
	}})
	go informer.Run(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return fmt.Errorf("watching pods: %w", context.Cause(ctx))
	}
	return nil
}

func (m measurement) create(ctx context.Context, seen *timeline, name string, n int) error {
	const atOnce = 20
	creating, ctx := errgroup.WithContext(ctx)
	creating.SetLimit(atOnce)
	for i := range n {
		pod := benchPod(fmt.Sprintf("%s-%d", name, i))
		seen.created(pod.Name)
		creating.Go(func() error { return m.env.Create(ctx, pod) })
	}
	return creating.Wait()
}

func benchPod(name string) *corev1.Pod {
	runtimeClass, grace := v1beta1.NodeName(dev.ClassName), int64(1)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name},
		Spec: corev1.PodSpec{
			RuntimeClassName: &runtimeClass, TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{Name: "main", Image: "busybox"}},
		},
	}
}

func (m measurement) waitForNoCells(ctx context.Context) error {
	return testenv.Poll(ctx, func(ctx context.Context) error {
		var cells v1beta1.CellList
		if err := m.env.List(ctx, &cells); err != nil {
			return err
		}
		if len(cells.Items) > 0 {
			return fmt.Errorf("%d Cells are left", len(cells.Items))
		}
		return nil
	})
}

// timeline notes when pods were seen in each state.
type timeline struct {
	mu   sync.Mutex
	pods map[string]*times
}

func (l *timeline) created(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pods[name] = &times{created: time.Now()}
}

func (l *timeline) note(now time.Time, pod *corev1.Pod, deleted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.pods[pod.Name]
	if !ok {
		return
	}
	first := func(when *time.Time, happened bool) {
		if happened && when.IsZero() {
			*when = now
		}
	}
	first(&t.bound, pod.Spec.NodeName != "")
	first(&t.running, pod.Status.Phase == corev1.PodRunning)
	first(&t.gone, deleted)
}

// wait returns when all pods are there.
func (l *timeline) wait(ctx context.Context, what string, there func(*times) bool) error {
	return testenv.Poll(ctx, func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		count := 0
		for _, t := range l.pods {
			if there(t) {
				count++
			}
		}
		if count < len(l.pods) {
			return fmt.Errorf("%d of %d pods are %s", count, len(l.pods), what)
		}
		return nil
	})
}

// figures sums up a batch that is over.
func (m measurement) figures(ctx context.Context, before start, pods map[string]*times) (figures, error) {
	calls, err := m.env.Calls(ctx, before.call, "")
	if err != nil {
		return figures{}, err
	}
	writes, err := m.audit.writes(before.audit)
	if err != nil {
		return figures{}, err
	}
	used, err := m.operator()
	if err != nil {
		return figures{}, err
	}
	return sumUp(pods, launches(calls), calls, writes, before.usage, used), nil
}

// launches are when instances were launched, in the order of the calls.
func launches(calls []journal.Entry) []time.Time {
	var out []time.Time
	for _, call := range calls {
		for range call.Created {
			out = append(out, call.Time)
		}
	}
	return out
}
