package cellclass

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/virtualnode"
)

// leaveAfter is for how long a node is cordoned at least before it goes: the
// scheduler may be binding a pod to it. It is looked at again as often.
const leaveAfter = 10 * time.Second

// letGo cordons the nodes that the class does not need any more, and takes those
// away that have no pods. Nothing is cordoned as long as there are no others.
func (c *Controller) letGo(ctx context.Context, class *v1beta1.CellClass, cells []v1beta1.Cell, unneeded []corev1.Node, others bool) error {
	var held []string
	for i := range unneeded {
		node := &unneeded[i]
		id, _ := virtualnode.IdentityOf(node)
		want, cordoned := c.nodeFor(class, id, cells), node.Spec.Unschedulable
		if others {
			want.Spec.Unschedulable = true
			metav1.SetMetaDataAnnotation(&want.ObjectMeta, v1beta1.AnnotationLeaving, "true")
		}
		if err := c.mend(ctx, node, want); err != nil && !lacksPort(err) {
			return err
		}
		if !others {
			continue
		}
		pods, err := c.podsHolding(ctx, node)
		if err != nil {
			return err
		}
		if cordoned && len(pods) == 0 && c.Clock.Since(c.leaving.since(node.UID, c.Clock.Now())) >= leaveAfter {
			if err := c.removeNode(ctx, node); err != nil {
				return err
			}
			continue
		}
		held = append(held, heldBy(node.Name, pods))
	}
	sayLeaving(class, held)
	return nil
}

func sayLeaving(class *v1beta1.CellClass, held []string) {
	if len(held) == 0 {
		meta.RemoveStatusCondition(&class.Status.Conditions, v1beta1.ConditionNodesLeaving)
		return
	}
	meta.SetStatusCondition(&class.Status.Conditions, metav1.Condition{
		Type: v1beta1.ConditionNodesLeaving, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonPodsBound, ObservedGeneration: class.Generation,
		Message: "cordoned, and gone when without pods: " + strings.Join(held, "; "),
	})
}

func heldBy(node string, pods []string) string {
	if len(pods) == 0 {
		return fmt.Sprintf("node %s, which has none", node)
	}
	return fmt.Sprintf("node %s, which has %d: %s", node, len(pods), handful(pods))
}

// podsHolding are the pods for which a node stays, ended ones too, whose logs
// and status go with their objects. Those of DaemonSets would stay as long as the
// node does.
func (c *Controller) podsHolding(ctx context.Context, node *corev1.Node) ([]string, error) {
	pods := &metav1.PartialObjectMetadataList{}
	pods.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	if err := c.Live.List(ctx, pods, client.MatchingFields{"spec.nodeName": node.Name}); err != nil {
		return nil, fmt.Errorf("listing the pods of node %s: %w", node.Name, err)
	}
	var names []string
	for i := range pods.Items {
		owner := metav1.GetControllerOf(&pods.Items[i])
		if owner == nil || owner.Kind != "DaemonSet" {
			names = append(names, pods.Items[i].Namespace+"/"+pods.Items[i].Name)
		}
	}
	return names, nil
}

// leaving remembers since when nodes have been seen cordoned.
type leaving struct {
	mu    sync.Mutex
	nodes map[types.UID]time.Time
}

func newLeaving() *leaving { return &leaving{nodes: map[types.UID]time.Time{}} }

// since is when the node was first seen; now, if it was not.
func (l *leaving) since(node types.UID, now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if first, ok := l.nodes[node]; ok {
		return first
	}
	l.nodes[node] = now
	return now
}

func (l *leaving) forget(node types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.nodes, node)
}
