package cellagent

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/virtualnode"
)

// Pods finds the pods of virtual nodes, and from a pod its agent.
type Pods struct {
	// Client reads from the cache.
	Client client.Reader
	Agents *Agents
}

// Pod gives a pod that is bound to a virtual node; for any other, and for one
// that does not exist, the error is a NotFound.
func (p *Pods) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	if err := p.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, pod); err != nil {
		return nil, fmt.Errorf("reading pod: %w", err)
	}
	notOurs := apierrors.NewNotFound(corev1.Resource("pods"), name)
	if !strings.HasPrefix(pod.Spec.NodeName, v1beta1.NodeName("")) {
		return nil, notOurs
	}
	node := &corev1.Node{}
	if err := p.Client.Get(ctx, client.ObjectKey{Name: pod.Spec.NodeName}, node); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading the pod's node: %w", err)
	}
	if _, ours := virtualnode.IdentityOf(node); !ours {
		return nil, notOurs
	}
	return pod, nil
}

// OnNode lists the pods that are bound to a virtual node. They are the cache's
// own: nobody may change them.
func (p *Pods) OnNode(ctx context.Context, node string) ([]*corev1.Pod, error) {
	var list corev1.PodList
	if err := p.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	var pods []*corev1.Pod
	for i := range list.Items {
		if list.Items[i].Spec.NodeName == node {
			pods = append(pods, &list.Items[i])
		}
	}
	return pods, nil
}

// Agent gives the client of the agent that runs the pod; when the pod has no
// Cell the error is a NotFound.
func (p *Pods) Agent(ctx context.Context, pod *corev1.Pod) (*itzo.Client, error) {
	cells, err := CellsOf(ctx, p.Client, pod)
	if err != nil {
		return nil, err
	}
	cell, _ := CellOf(cells, pod)
	if cell == nil {
		return nil, apierrors.NewNotFound(v1beta1.GroupVersion.WithResource("cells").GroupResource(), v1beta1.CellNameForPod(pod.UID))
	}
	return p.Agents.ForCell(cell)
}
