package podspec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
)

func TestParameters(t *testing.T) {
	created := metav1.Unix(1_000_000, 0)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-0", UID: "uid-1", ResourceVersion: "7", Generation: 2, CreationTimestamp: created,
			DeletionGracePeriodSeconds: ptr(int64(5)),
			Labels:                     map[string]string{"app": "web"},
			Annotations:                map[string]string{"note": "x"},
			ManagedFields:              []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
			OwnerReferences:            []metav1.OwnerReference{{Name: "web"}},
			Finalizers:                 []string{"example.com/hold"},
		},
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox", Args: []string{"a"}}}},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	got := podspec.Parameters(pod, "10.0.0.2")
	want := &itzo.PodParameters{
		Annotations: map[string]string{"note": "x"},
		PodName:     "shop_web-0",
		PodIP:       "10.0.0.2",
		PodHostname: "web-0",
		Pod: &corev1.Pod{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: "web-0", UID: "uid-1", Generation: 2, CreationTimestamp: created, DeletionGracePeriodSeconds: ptr(int64(5)),
				Labels:      map[string]string{"app": "web"},
				Annotations: map[string]string{"note": "x"},
			},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox", Args: []string{"a"}}}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got.Pod.Spec.Containers[0].Args[0] = "changed"
	if pod.Spec.Containers[0].Args[0] != "a" {
		t.Error("what is sent shares memory with the pod")
	}
}
