package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/testenv"
)

// scene is what is applied together, and what of pods it shows, in this order.
type scene struct {
	// manifests are YAML documents. Class, registry and a grace period of 1 s are filled in.
	manifests string
	features  []feature
	on        runtimes
}

// runtimes are those of the cells that a scene is played on.
type runtimes int

const (
	onContainerd1 runtimes = iota
	onBoth
	onContainerd2
)

// feature is a row of the table: something that a pod may ask, and what shows that it is given.
type feature struct {
	name  string
	check check
}

// check returns nil once it is so. It may be asked again and again.
type check func(context.Context, *stage) error

// stage is where scenes are played.
type stage struct {
	*testenv.Env
	namespace string
	class     *v1beta1.CellClass
	runtimes  []runtimes
}

// result is a row of the table.
type result struct {
	point, name string
	// after is when it was seen, from the begin of its scene on.
	after time.Duration
	err   error
}

// playLimit is how long a scene may take in all: longer than what changes needs to reach a running pod, and than its pods need to begin while
// those of all other scenes do.
const playLimit = 2 * time.Minute

const (
	// scenesAtOnce bounds the cells that boot and run at one time, lest the API server lacks the processor: the operator ends when it cannot
	// renew its lease.
	scenesAtOnce = 8
	// lookEvery is how often each scene looks at the world.
	lookEvery = 200 * time.Millisecond
)

// What a pod may ask, point by point; scenes are played at once.
func TestPodSupport(t *testing.T) {
	t.Parallel()
	env := environment(t)
	health := serveHealth(t, env)
	pushImages(t, env)
	points := map[string][]scene{
		"lifecycle": lifecycleScenes(), "probes and hooks": probeScenes(health), "volumes": volumeScenes(), "environment": environmentScenes(),
		"security": securityScenes(), "resources": resourceScenes(), "status": statusScenes(), "DNS and hosts": nameScenes(),
		"images": imageScenes(), "Kubernetes' examples": exampleScenes(),
	}
	report(t, play(t, points, stages(t, env)))
}

// stages are of containerd 1.6, and of 2 where that has been built.
func stages(t *testing.T, env *testenv.Env) []*stage {
	t.Helper()
	all := []*stage{newStage(t, env, "support", []runtimes{onContainerd1, onBoth})}
	if _, err := os.Stat(filepath.Join(env.BinDir, "containerd2", "containerd")); err == nil {
		all = append(all, newStage(t, env, "support2", []runtimes{onContainerd2, onBoth}, func(c *v1beta1.CellClass) {
			c.Spec.BootImageSpec.Owners, c.Spec.BootImageSpec.Filters = "amazon", "name=kip-cell-al2023-*"
		}))
	} else {
		t.Log("without containerd 2, make containerd2 builds it")
	}
	return all
}

func newStage(t *testing.T, env *testenv.Env, name string, on []runtimes, changes ...func(*v1beta1.CellClass)) *stage {
	t.Helper()
	class := newClass(t, env, name, changes...)
	create(t, env, class)
	waitForNode(t, env, class)
	waitForRuntimeClass(t, env, class)
	stage := &stage{Env: env, class: class, namespace: namespace(t, env), runtimes: on}
	t.Cleanup(func() {
		if err := stage.release(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	return stage
}

// release lets all pods go that a test's finalizer holds.
func (s *stage) release(ctx context.Context) error {
	var pods corev1.PodList
	if err := s.List(ctx, &pods, client.InNamespace(s.namespace)); err != nil {
		return err
	}
	for i := range pods.Items {
		if pod := &pods.Items[i]; len(pod.Finalizers) > 0 && strings.HasPrefix(pod.Finalizers[0], "kip.test/") {
			if err := s.Patch(ctx, pod, client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"finalizers": null}}`))); err != nil {
				return err
			}
		}
	}
	return nil
}

// play plays every scene on the stages that it is for, all at once.
func play(t *testing.T, points map[string][]scene, stages []*stage) []result {
	t.Helper()
	var (
		results []result
		mu      sync.Mutex
		playing sync.WaitGroup
		places  = make(chan struct{}, scenesAtOnce)
	)
	for point, scenes := range points {
		for _, scene := range scenes {
			for _, stage := range stages {
				if !slices.Contains(stage.runtimes, scene.on) {
					continue
				}
				playing.Go(func() {
					places <- struct{}{}
					defer func() { <-places }()
					got := scene.play(t.Context(), point, stage)
					mu.Lock()
					defer mu.Unlock()
					results = append(results, got...)
				})
			}
		}
	}
	playing.Wait()
	return results
}

func (s *scene) play(ctx context.Context, point string, stage *stage) []result {
	end := time.Now().Add(playLimit)
	err := stage.apply(ctx, s.manifests)
	defer stage.clear(ctx, s.manifests)
	begin := time.Now()
	var results []result
	for _, feature := range s.features {
		row := result{point: point, name: feature.name, err: err}
		if slices.Contains(stage.runtimes, onContainerd2) {
			row.name += " (containerd 2)"
		}
		if err == nil {
			// What comes after something that did not come has some time, too.
			row.err = within(ctx, max(time.Until(end), told), stage, feature.check)
		}
		row.after = time.Since(begin)
		results = append(results, row)
	}
	return results
}

func within(ctx context.Context, limit time.Duration, stage *stage, check check) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return polled(ctx, stage, check)
}

// polled looks until a check returns nil; when ctx ends first it returns what it said last.
func polled(ctx context.Context, stage *stage, check check) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var seen error
	for {
		err := check(ctx, stage)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || seen == nil {
			seen = err // not that it was cut short
		}
		select {
		case <-ctx.Done():
			return seen
		case <-tick.C:
		}
	}
}

// report logs the table and fails the test for each row that did not pass.
func report(t *testing.T, results []result) {
	t.Helper()
	slices.SortFunc(results, func(a, b result) int { return strings.Compare(a.point+"\x00"+a.name, b.point+"\x00"+b.name) })
	var out strings.Builder
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, row := range results {
		outcome := "pass"
		if row.err != nil {
			outcome = "FAIL"
			t.Errorf("%s: %s: %v", row.point, row.name, row.err)
		}
		fmt.Fprintf(table, "%s\t%s\t→ %s\t%.1f s\n", row.point, row.name, outcome, row.after.Seconds())
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d features of pods on cells:\n%s", len(results), out.String())
}

// apply makes what the manifests say.
func (s *stage) apply(ctx context.Context, manifests string) error {
	for _, document := range strings.Split(manifests, "\n---\n") {
		obj, err := s.object([]byte(document))
		if err != nil {
			return fmt.Errorf("%w in\n%s", err, document)
		}
		obj.SetNamespace(s.namespace)
		if err := s.Create(ctx, obj); err != nil {
			return err
		}
	}
	return nil
}

// clear begins to remove what the manifests say, so that its cells make room; the namespace's end waits for it.
func (s *stage) clear(ctx context.Context, manifests string) {
	for _, document := range strings.Split(manifests, "\n---\n") {
		if obj, err := s.object([]byte(document)); err == nil {
			obj.SetNamespace(s.namespace)
			_ = s.Delete(ctx, obj, client.PropagationPolicy(metav1.DeletePropagationBackground))
		}
	}
}

// object reads a document, strictly.
func (s *stage) object(document []byte) (client.Object, error) {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return nil, err
	}
	switch kind.Kind {
	case "Pod":
		pod := &corev1.Pod{}
		err := yaml.UnmarshalStrict(document, pod)
		s.complete(&pod.Spec)
		return pod, err
	case "Job":
		job := &batchv1.Job{}
		err := yaml.UnmarshalStrict(document, job)
		s.complete(&job.Spec.Template.Spec)
		return job, err
	case "ConfigMap":
		configMap := &corev1.ConfigMap{}
		return configMap, yaml.UnmarshalStrict(document, configMap)
	case "Secret":
		secret := &corev1.Secret{}
		return secret, yaml.UnmarshalStrict(document, secret)
	case "Service":
		service := &corev1.Service{}
		return service, yaml.UnmarshalStrict(document, service)
	}
	return nil, errors.New("no kind that this test knows")
}

// complete fills in what all manifests would repeat.
func (s *stage) complete(pod *corev1.PodSpec) {
	pod.RuntimeClassName = aws.String(v1beta1.NodeName(s.class.Name))
	if pod.TerminationGracePeriodSeconds == nil {
		pod.TerminationGracePeriodSeconds = aws.Int64(1)
	}
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			if image := containers[i].Image; strings.HasPrefix(image, "busybox") {
				containers[i].Image = s.Endpoints.Registry + "/" + image
			}
		}
	}
}
