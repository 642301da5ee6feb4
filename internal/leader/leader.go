// Package leader marks the operator's replica that leads, so that a rolling
// update ends it last: then leadership, and with it what is being watched
// through the kubelet API, moves once and not twice.
package leader

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// The pod's own annotation:
// +kubebuilder:rbac:groups="",resources=pods,verbs=patch

// retry is how long after a failure the pod is written to again.
const retry = 10 * time.Second

// cost puts the leader's pod behind the others, whose cost is 0.
const cost = "1"

// Marker marks the pod that it runs in when that is elected. It is a Runnable
// of a controller-runtime manager.
type Marker struct {
	Kube kubernetes.Interface
	// Namespace and Pod are the names of the pod that it runs in.
	Namespace, Pod string
	// Elected is closed when this replica leads.
	Elected <-chan struct{}
}

// Mark has the manager run a Marker for the pod that it runs in; without a name
// it runs in none.
func Mark(mgr manager.Manager, kube kubernetes.Interface, namespace, pod string) error {
	if pod == "" {
		return nil
	}
	if err := mgr.Add(&Marker{Kube: kube, Namespace: namespace, Pod: pod, Elected: mgr.Elected()}); err != nil {
		return fmt.Errorf("adding the leader's mark: %w", err)
	}
	return nil
}

// NeedLeaderElection says that every replica runs one.
func (m *Marker) NeedLeaderElection() bool { return false }

// Start clears the mark of a container that ran in the pod before and led, and
// sets it when this one leads. What fails is tried again until ctx ends: a
// leader without it does all that it should.
func (m *Marker) Start(ctx context.Context) error {
	m.keepTrying(ctx, nil)
	select {
	case <-ctx.Done():
	case <-m.Elected:
		set := cost
		m.keepTrying(ctx, &set)
	}
	return nil
}

func (m *Marker) keepTrying(ctx context.Context, value *string) {
	_ = wait.PollUntilContextCancel(ctx, retry, true, func(ctx context.Context) (bool, error) {
		err := m.mark(ctx, value)
		if err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "A rolling update may end this replica before others")
		}
		return err == nil, nil
	})
}

// mark sets the annotation; nil removes it.
func (m *Marker) mark(ctx context.Context, value *string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]*string{corev1.PodDeletionCost: value}}})
	if err != nil {
		return err
	}
	_, err = m.Kube.CoreV1().Pods(m.Namespace).Patch(ctx, m.Pod, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("setting annotation %s of pod %s/%s: %w", corev1.PodDeletionCost, m.Namespace, m.Pod, err)
	}
	return nil
}
