package cellagent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/pki"
)

func newPods(t *testing.T, broken error, objects ...client.Object) *Pods {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1beta1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithIndex(&v1beta1.Cell{}, PodIndex, PodIndexKey)
	if broken != nil {
		builder = builder.WithInterceptorFuncs(interceptor.Funcs{
			Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return broken
			},
		})
	}
	ca, err := pki.NewCA(time.Now(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return &Pods{Client: builder.Build(), Agents: New(ca, time.Now)}
}

func podOn(node string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "uid"}, Spec: corev1.PodSpec{NodeName: node}}
}

func TestPod(t *testing.T) {
	node := func(name, providerID string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{ProviderID: providerID}}
	}
	nodes := []client.Object{node("kip-default", "kip://default"), node("kip-default-a", "kip://default/a"), node("kip-foreign", "aws:///a/i-1"), node("worker-1", "kip://default")}
	for node, want := range map[string]bool{"kip-default": true, "kip-default-a": true, "kip-foreign": false, "kip-gone": false, "worker-1": false, "": false} {
		pod, err := newPods(t, nil, append(nodes, podOn(node))...).Pod(t.Context(), "default", "web")
		if want != (err == nil) || !want && !apierrors.IsNotFound(err) {
			t.Errorf("a pod on node %q: %v, %v", node, pod, err)
		}
	}
	if _, err := newPods(t, nil).Pod(t.Context(), "default", "web"); !apierrors.IsNotFound(err) {
		t.Errorf("no such pod: %v", err)
	}
	broken := errors.New("no cache")
	if _, err := newPods(t, broken).Pod(t.Context(), "default", "web"); !errors.Is(err, broken) || apierrors.IsNotFound(err) {
		t.Errorf("a pod that cannot be read: %v", err)
	}
}

func TestOnNode(t *testing.T) {
	other := podOn("kip-other")
	other.Name = "other"
	pods, err := newPods(t, nil, podOn("kip-default"), other).OnNode(t.Context(), "kip-default")
	if err != nil || len(pods) != 1 || pods[0].Name != "web" {
		t.Errorf("got %v, %v", pods, err)
	}
}

func TestAgent(t *testing.T) {
	pod := podOn("kip-default")
	cell := func(uid, ip string) *v1beta1.Cell {
		c := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.CellNameForPod(pod.UID), UID: "cell-uid"}}
		if uid != "" {
			c.Spec.PodRef = &v1beta1.PodReference{Namespace: pod.Namespace, Name: pod.Name, UID: uid}
		}
		if ip != "" {
			c.Status.IP = ip
			c.Status.Attempts = []v1beta1.LaunchAttempt{{Number: 1, StartTime: metav1.Now()}}
		}
		return c
	}
	notFound := func(err error) bool { return apierrors.IsNotFound(err) }
	tests := []struct {
		name    string
		objects []client.Object
		want    func(error) bool
	}{
		{"no cell", nil, notFound},
		{"a cell of nobody", []client.Object{cell("", "192.0.2.1")}, notFound},
		{"a cell of another pod", []client.Object{cell("other", "192.0.2.1")}, notFound},
		{"not launched", []client.Object{cell("uid", "")}, func(err error) bool {
			return err != nil && !apierrors.IsNotFound(err) && strings.Contains(err.Error(), "has no instance")
		}},
		{"running", []client.Object{cell("uid", "192.0.2.1")}, func(err error) bool { return err == nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			agent, err := newPods(t, nil, tt.objects...).Agent(t.Context(), pod)
			if !tt.want(err) || (agent == nil) != (err != nil) {
				t.Errorf("got %v, %v", agent, err)
			}
		})
	}
}
