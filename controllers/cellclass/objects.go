package cellclass

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/virtualnode"
)

// keepObjects makes the class's node and RuntimeClass agree with it. The error
// is a *finding where one of them is somebody else's.
func (c *Controller) keepObjects(ctx context.Context, class *v1beta1.CellClass) error {
	if err := c.keepNode(ctx, class); err != nil {
		return err
	}
	return c.keepRuntimeClass(ctx, class)
}

// nameTaken says on the class that its node or RuntimeClass is somebody else's.
// The class is looked up anew once it is not.
func (c *Controller) nameTaken(class *v1beta1.CellClass, taken *finding) {
	c.resolved.forget(class.UID)
	meta.SetStatusCondition(&class.Status.Conditions, metav1.Condition{
		Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: taken.reason,
		Message: taken.message, ObservedGeneration: class.Generation,
	})
}

// keepNode makes the class's node, and mends it when it differs.
func (c *Controller) keepNode(ctx context.Context, class *v1beta1.CellClass) error {
	want := virtualnode.Node(class, c.Kubelet, c.Version, metav1.NewTime(c.Clock.Now()))
	node := &corev1.Node{}
	err := c.Client.Get(ctx, client.ObjectKeyFromObject(want), node)
	if apierrors.IsNotFound(err) {
		node = want
		if err := c.Client.Create(ctx, node); err != nil {
			return fmt.Errorf("creating node %s: %w", want.Name, err)
		}
		c.Leases.Keep(node.Name, node.UID)
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading node %s: %w", want.Name, err)
	}
	if !ownsNode(class, node) {
		c.Leases.Drop(node.Name)
		return found(v1beta1.ReasonNodeNameTaken, "node %s exists and is not this class's: its spec.providerID is %q, not %q; delete it, or give the class another name",
			node.Name, node.Spec.ProviderID, want.Spec.ProviderID)
	}
	c.Leases.Keep(node.Name, node.UID)
	if err := c.mendNode(ctx, node, want); err != nil {
		return err
	}
	return c.mendNodeStatus(ctx, node, want)
}

// ownsNode and ownsRuntimeClass go by fields that nobody can change, unlike labels.
func ownsNode(class *v1beta1.CellClass, node *corev1.Node) bool {
	return node.Spec.ProviderID == virtualnode.ProviderID(class)
}

func ownsRuntimeClass(r *nodev1.RuntimeClass) bool { return r.Handler == v1beta1.Provider }

func (c *Controller) mendNode(ctx context.Context, node, want *corev1.Node) error {
	before := node.DeepCopy()
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	for key, value := range want.Labels {
		node.Labels[key] = value
	}
	if node.Annotations == nil {
		node.Annotations = map[string]string{}
	}
	maps.Copy(node.Annotations, want.Annotations)
	for _, key := range virtualnode.LabelsToRemove(node.Labels, want.Labels) {
		delete(node.Labels, key)
	}
	// Who cordons a node of a class that stays has a reason.
	node.Spec.Unschedulable = node.Spec.Unschedulable || want.Spec.Unschedulable
	tainted := false
	for _, taint := range node.Spec.Taints {
		tainted = tainted || taint.MatchTaint(&want.Spec.Taints[0])
	}
	if !tainted {
		node.Spec.Taints = append(node.Spec.Taints, want.Spec.Taints...)
	}
	if equality.Semantic.DeepEqual(before, node) {
		return nil
	}
	// A list is patched as a whole; a taint that came meanwhile must not go with it.
	if err := c.Client.Patch(ctx, node, client.StrategicMergeFrom(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("mending node %s: %w", node.Name, err)
	}
	return nil
}

// mendNodeStatus writes the status where it differs in more than its times:
// after an outage of the operator the cluster has set the conditions to Unknown.
func (c *Controller) mendNodeStatus(ctx context.Context, node, want *corev1.Node) error {
	status := want.Status.DeepCopy()
	for i := range status.Conditions {
		for _, is := range node.Status.Conditions {
			if is.Type == status.Conditions[i].Type && is.Status == status.Conditions[i].Status {
				status.Conditions[i] = is
			}
		}
	}
	if sameNodeStatus(&node.Status, status) {
		return nil
	}
	before := node.DeepCopy()
	node.Status.Capacity, node.Status.Allocatable = status.Capacity, status.Allocatable
	node.Status.Conditions, node.Status.Addresses = status.Conditions, status.Addresses
	node.Status.DaemonEndpoints, node.Status.NodeInfo = status.DaemonEndpoints, status.NodeInfo
	if err := c.Client.Status().Patch(ctx, node, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("writing the status of node %s: %w", node.Name, err)
	}
	return nil
}

func sameNodeStatus(is, want *corev1.NodeStatus) bool {
	return equality.Semantic.DeepEqual(is.Capacity, want.Capacity) &&
		equality.Semantic.DeepEqual(is.Allocatable, want.Allocatable) &&
		equality.Semantic.DeepEqual(is.Conditions, want.Conditions) &&
		equality.Semantic.DeepEqual(is.Addresses, want.Addresses) &&
		is.DaemonEndpoints == want.DaemonEndpoints && is.NodeInfo == want.NodeInfo
}

// keepRuntimeClass makes the class's RuntimeClass. Its handler cannot be
// changed, the rest is mended.
func (c *Controller) keepRuntimeClass(ctx context.Context, class *v1beta1.CellClass) error {
	want := virtualnode.RuntimeClass(class)
	is := &nodev1.RuntimeClass{}
	err := c.Client.Get(ctx, client.ObjectKeyFromObject(want), is)
	if apierrors.IsNotFound(err) {
		return wrap(c.Client.Create(ctx, want), "creating RuntimeClass "+want.Name)
	}
	if err != nil {
		return fmt.Errorf("reading RuntimeClass %s: %w", want.Name, err)
	}
	if !ownsRuntimeClass(is) {
		return found(v1beta1.ReasonNodeNameTaken, "RuntimeClass %s exists and is not this class's: its handler is %q, not %q; delete it, or give the class another name",
			is.Name, is.Handler, want.Handler)
	}
	if equality.Semantic.DeepEqual(is.Scheduling, want.Scheduling) && is.Labels[v1beta1.LabelCellClass] == class.Name {
		return nil
	}
	is.Scheduling = want.Scheduling
	if is.Labels == nil {
		is.Labels = map[string]string{}
	}
	is.Labels[v1beta1.LabelCellClass] = class.Name
	return wrap(c.Client.Update(ctx, is), "mending RuntimeClass "+want.Name)
}

// removeObjects takes away what stands for the class in the cluster.
func (c *Controller) removeObjects(ctx context.Context, class *v1beta1.CellClass) error {
	key := client.ObjectKey{Name: v1beta1.NodeName(class.Name)}
	node, runtimeClass := &corev1.Node{}, &nodev1.RuntimeClass{}
	if err := client.IgnoreNotFound(c.Client.Get(ctx, key, node)); err != nil {
		return fmt.Errorf("reading node %s: %w", key.Name, err)
	}
	if ownsNode(class, node) {
		if err := client.IgnoreNotFound(c.Client.Delete(ctx, node)); err != nil {
			return fmt.Errorf("deleting node %s: %w", key.Name, err)
		}
	}
	if err := client.IgnoreNotFound(c.Client.Get(ctx, key, runtimeClass)); err != nil {
		return fmt.Errorf("reading RuntimeClass %s: %w", key.Name, err)
	}
	if !ownsRuntimeClass(runtimeClass) {
		return nil
	}
	return wrap(client.IgnoreNotFound(c.Client.Delete(ctx, runtimeClass)), "deleting RuntimeClass "+key.Name)
}

func wrap(err error, doing string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
