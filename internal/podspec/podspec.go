// Package podspec turns a pod, and what it refers to, into what a cell's agent
// is given. It is pure: the caller reads the objects.
package podspec

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/itzo"
)

// Parameters is the body of updatepod for an agent that takes whole pods. The
// pod goes as it is, less what only the API server needs.
func Parameters(pod *corev1.Pod, podIP string) *itzo.PodParameters {
	sent := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name:                       pod.Name,
			Namespace:                  pod.Namespace,
			UID:                        pod.UID,
			Generation:                 pod.Generation,
			CreationTimestamp:          pod.CreationTimestamp,
			DeletionGracePeriodSeconds: pod.DeletionGracePeriodSeconds,
			Labels:                     pod.Labels,
			Annotations:                pod.Annotations,
		},
		Spec: *pod.Spec.DeepCopy(),
	}
	return &itzo.PodParameters{
		Annotations: pod.Annotations,
		PodName:     itzo.FormatPodName(pod.Namespace, pod.Name),
		PodIP:       podIP,
		PodHostname: pod.Name,
		Pod:         sent,
	}
}
