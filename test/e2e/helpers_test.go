package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/testenv"
)

const (
	// soon is more than enough for a pod to get a cell and to run, on a machine that is busy.
	soon = 90 * time.Second
	// told is how fast bad input is complained about.
	told = 10 * time.Second
)

// namespace is one of the test's own; it is gone, with all in it, when the test ends.
func namespace(t *testing.T, env *testenv.Env) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	create(t, env, ns)
	account := &corev1.ServiceAccount{}
	testenv.Eventually(t, soon, "the namespace's ServiceAccount", func(ctx context.Context) error {
		return env.Get(ctx, client.ObjectKey{Namespace: ns.Name, Name: "default"}, account)
	})
	return ns.Name
}

// create makes an object that is deleted, and waited for to be gone, when the test ends.
func create(t *testing.T, env *testenv.Env, obj client.Object) {
	t.Helper()
	if err := env.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := remove(context.Background(), env, obj); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
}

func remove(ctx context.Context, env *testenv.Env, obj client.Object) error {
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	if err := client.IgnoreNotFound(env.Delete(ctx, obj, client.PropagationPolicy(metav1.DeletePropagationForeground))); err != nil {
		return err
	}
	return testenv.Poll(ctx, func(ctx context.Context) error { return gone(ctx, env, obj) })
}

// gone returns nil when the object is not there any more.
func gone(ctx context.Context, env *testenv.Env, obj client.Object) error {
	err := env.Get(ctx, client.ObjectKeyFromObject(obj), obj)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%T %s is still there", obj, obj.GetName())
}

// newClass is a class that works, with changes. It is not applied yet.
func newClass(t *testing.T, env *testenv.Env, name string, changes ...func(*v1beta1.CellClass)) *v1beta1.CellClass {
	t.Helper()
	data, err := env.CellClassYAML(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	class := &v1beta1.CellClass{}
	if err := yaml.UnmarshalStrict(data, class); err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		change(class)
	}
	return class
}

// readyClass applies a class and waits until pods can use it.
func readyClass(t *testing.T, env *testenv.Env, name string) *v1beta1.CellClass {
	t.Helper()
	class := newClass(t, env, name)
	create(t, env, class)
	waitForNode(t, env, class)
	waitForRuntimeClass(t, env, class)
	return class
}

// waitForRuntimeClass waits until the API server takes pods of the class: it refuses those whose RuntimeClass it does not know.
func waitForRuntimeClass(t *testing.T, env *testenv.Env, class *v1beta1.CellClass) {
	t.Helper()
	testenv.Eventually(t, soon, "RuntimeClass of class "+class.Name, func(ctx context.Context) error {
		return env.Get(ctx, client.ObjectKey{Name: v1beta1.NodeName(class.Name)}, &nodev1.RuntimeClass{})
	})
}

func waitForNode(t *testing.T, env *testenv.Env, class *v1beta1.CellClass) {
	t.Helper()
	testenv.Eventually(t, soon, "node of class "+class.Name, func(ctx context.Context) error {
		var node corev1.Node
		if err := env.Get(ctx, client.ObjectKey{Name: v1beta1.NodeName(class.Name)}, &node); err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return errors.New("the node is not Ready")
	})
}

// newPod runs a shell script in busybox on a cell of the class.
func newPod(env *testenv.Env, namespace, name string, class *v1beta1.CellClass, script string, changes ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: podSpec(env, class, script)}
	for _, change := range changes {
		change(pod)
	}
	return pod
}

func podSpec(env *testenv.Env, class *v1beta1.CellClass, script string) corev1.PodSpec {
	return corev1.PodSpec{
		RuntimeClassName: aws.String(v1beta1.NodeName(class.Name)),
		RestartPolicy:    corev1.RestartPolicyAlways,
		Containers: []corev1.Container{{
			Name: "main", Image: env.Endpoints.Registry + "/busybox:latest", Command: []string{"sh", "-c", script},
		}},
		TerminationGracePeriodSeconds: aws.Int64(1),
	}
}

// forever runs until it is told to end.
const forever = "trap 'exit 0' TERM; sleep 1000000 & wait"

// serving answers on port 8080 with the name of the host.
const serving = "trap 'exit 0' TERM; mkdir /www && hostname >/www/index.html && httpd -p 8080 -h /www; sleep 1000000 & wait"

func waitForPhase(t *testing.T, env *testenv.Env, pod *corev1.Pod, want corev1.PodPhase) {
	t.Helper()
	testenv.Eventually(t, soon, fmt.Sprintf("pod %s %s", pod.Name, want), func(ctx context.Context) error {
		if err := env.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		if pod.Status.Phase != want {
			return fmt.Errorf("pod is %s: %s %s; %s", pod.Status.Phase, pod.Status.Reason, pod.Status.Message, describe(ctx, env, pod))
		}
		return nil
	})
}

// cellOf is the Cell that runs the pod; the error tells when there is none or more than one.
func cellOf(ctx context.Context, env *testenv.Env, pod *corev1.Pod) (*v1beta1.Cell, error) {
	cells, err := cellsWhere(ctx, env, func(c *v1beta1.Cell) bool { return c.Spec.PodRef != nil && c.Spec.PodRef.UID == string(pod.UID) })
	if err != nil {
		return nil, err
	}
	if len(cells) != 1 {
		return nil, fmt.Errorf("pod %s has %d Cells", pod.Name, len(cells))
	}
	return &cells[0], nil
}

func cellsOf(ctx context.Context, env *testenv.Env, class *v1beta1.CellClass) ([]v1beta1.Cell, error) {
	return cellsWhere(ctx, env, func(c *v1beta1.Cell) bool { return c.Spec.CellClassName == class.Name })
}

func cellsWhere(ctx context.Context, env *testenv.Env, want func(*v1beta1.Cell) bool) ([]v1beta1.Cell, error) {
	var list v1beta1.CellList
	if err := env.List(ctx, &list); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(c v1beta1.Cell) bool { return !want(&c) }), nil
}

// nothingLeft returns nil when there is no Cell of the class, no live instance, and none of the sandboxes is left.
func nothingLeft(ctx context.Context, env *testenv.Env, class *v1beta1.CellClass, sandboxes []string) error {
	cells, err := cellsOf(ctx, env, class)
	if err != nil {
		return err
	}
	live, err := env.LiveInstances(ctx, class.Name)
	if err != nil {
		return err
	}
	all, err := env.Sandboxes()
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(all, func(id string) bool { return !slices.Contains(sandboxes, id) })
	if len(cells)+len(live)+len(left) > 0 {
		return fmt.Errorf("%d Cells, %d live instances and sandboxes %v are left", len(cells), len(live), left)
	}
	return nil
}

// events are the reasons and notes of the events about an object, oldest first.
func events(ctx context.Context, env *testenv.Env, obj client.Object) ([]string, error) {
	namespace := obj.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	list, err := env.Kube.EventsV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range list.Items {
		if e.Regarding.UID == obj.GetUID() || (e.Regarding.UID == "" && e.Regarding.Name == obj.GetName()) {
			out = append(out, e.Reason+": "+e.Note)
		}
	}
	return out, nil
}

// describe sums up what is known of a pod, for failures.
func describe(ctx context.Context, env *testenv.Env, pod *corev1.Pod) string {
	said, err := events(ctx, env, pod)
	if err != nil {
		return err.Error()
	}
	cells, err := cellsWhere(ctx, env, func(c *v1beta1.Cell) bool { return c.Spec.PodRef != nil && c.Spec.PodRef.UID == string(pod.UID) })
	if err != nil {
		return err.Error()
	}
	var status []string
	for _, c := range cells {
		data, err := json.Marshal(c.Status)
		if err != nil {
			return err.Error()
		}
		status = append(status, string(data))
	}
	return fmt.Sprintf("events: %s; cells: %s", strings.Join(said, " | "), strings.Join(status, " | "))
}
