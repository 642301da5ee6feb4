package kubeletapi

import (
	"context"
	"fmt"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// podList answers /pods: the pods of the node as the API server has them.
func (s *nodeServer) podList(w http.ResponseWriter, r *http.Request) error {
	if err := s.authorize(r); err != nil {
		return err
	}
	list, err := s.podsOf(r.Context(), s.node)
	if err != nil {
		return err
	}
	return writeJSON(w, list)
}

// runningPods answers /runningpods/: of the pods that run what a kubelet finds in
// its runtime.
func (s *nodeServer) runningPods(w http.ResponseWriter, r *http.Request) error {
	if err := s.authorize(r); err != nil {
		return err
	}
	all, err := s.podsOf(r.Context(), s.node)
	if err != nil {
		return err
	}
	running := &corev1.PodList{TypeMeta: all.TypeMeta, Items: []corev1.Pod{}}
	for i := range all.Items {
		if pod := asRunning(&all.Items[i]); len(pod.Spec.Containers) > 0 {
			running.Items = append(running.Items, pod)
		}
	}
	return writeJSON(w, running)
}

// podsOf asks the API server, whose own cache answers.
func (s *Server) podsOf(ctx context.Context, node string) (*corev1.PodList, error) {
	list, err := s.options.Kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String(), ResourceVersion: "0",
	})
	if err != nil {
		return nil, fmt.Errorf("listing the pods of node %s: %w", node, err)
	}
	list.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}
	if list.Items == nil {
		list.Items = []corev1.Pod{}
	}
	return list, nil
}

func asRunning(pod *corev1.Pod) corev1.Pod {
	shown := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses} {
		for i := range statuses {
			if statuses[i].State.Running != nil {
				shown.Spec.Containers = append(shown.Spec.Containers, corev1.Container{Name: statuses[i].Name, Image: statuses[i].ImageID})
			}
		}
	}
	return shown
}

// healthz answers whether the operator leads, which it does as long as it
// answers: all that a kubelet has checks for comes to this.
func (s *nodeServer) healthz(w http.ResponseWriter, r *http.Request) error {
	if err := s.authorize(r); err != nil {
		return err
	}
	// Who asked has gone when this fails.
	_, _ = io.WriteString(w, "ok")
	return nil
}
