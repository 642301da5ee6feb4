package leader

import (
	"context"
	"fmt"
	"maps"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"kip.elotl.co/test/fixture"
)

var apiServer fixture.APIServer

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

// TestMarks: a pod that led in its last life is not the leader's until it is elected again.
func TestMarks(t *testing.T) {
	kube, err := kubernetes.NewForConfig(apiServer.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "kip-0", Namespace: "default", Annotations: map[string]string{corev1.PodDeletionCost: "1", "other": "stays"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "kip", Image: "kip"}}},
	}
	if _, err := kube.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	elected, ended := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- (&Marker{Kube: kube, Namespace: "default", Pod: "kip-0", Elected: elected}).Start(ctx)
	}()
	annotated := func(want map[string]string) func(context.Context) error {
		return func(ctx context.Context) error {
			got, err := kube.CoreV1().Pods("default").Get(ctx, "kip-0", metav1.GetOptions{})
			if err == nil && !maps.Equal(got.Annotations, want) {
				err = fmt.Errorf("annotations are %v, want %v", got.Annotations, want)
			}
			return err
		}
	}
	fixture.Eventually(t, "the old mark goes", annotated(map[string]string{"other": "stays"}))
	close(elected)
	fixture.Eventually(t, "the leader is marked", annotated(map[string]string{corev1.PodDeletionCost: "1", "other": "stays"}))
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
