package cellclass

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/virtualnode"
)

// keepNode makes the class's node, and mends it when it differs.
func (c *Controller) keepNode(ctx context.Context, class *v1beta1.CellClass, cells []v1beta1.Cell) error {
	id, about := virtualnode.Identity{Class: class.Name}, c.About
	about.Runtime = commonRuntime(cells)
	want := virtualnode.Node(class, id, about, metav1.NewTime(c.Clock.Now()))
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
	if is, ours := virtualnode.IdentityOf(node); !ours || is != id {
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

// commonRuntime is the container runtime that all cells have whose agents have
// told theirs; empty where they differ.
func commonRuntime(cells []v1beta1.Cell) string {
	common := ""
	for i := range cells {
		agent := cells[i].Status.Agent
		switch {
		case agent == nil || agent.Runtime == "":
		case common == "":
			common = agent.Runtime
		case common != agent.Runtime:
			return ""
		}
	}
	return common
}

func (c *Controller) mendNode(ctx context.Context, node, want *corev1.Node) error {
	before := node.DeepCopy()
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	for key, value := range want.Labels {
		node.Labels[key] = value
	}
	for _, key := range virtualnode.LabelsToRemove(node.Labels, want.Labels) {
		delete(node.Labels, key)
	}
	// Who cordons a node of a class that stays has a reason.
	node.Spec.Unschedulable = node.Spec.Unschedulable || want.Spec.Unschedulable
	for _, taint := range want.Spec.Taints {
		node.Spec.Taints = withTaint(node.Spec.Taints, taint)
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

// withTaint puts a taint in the place of one with another value, and else
// behind the others.
func withTaint(taints []corev1.Taint, want corev1.Taint) []corev1.Taint {
	i := slices.IndexFunc(taints, func(is corev1.Taint) bool { return is.MatchTaint(&want) })
	switch {
	case i < 0:
		return append(taints, want)
	case taints[i].Value != want.Value:
		taints = slices.Clone(taints)
		taints[i] = want
	}
	return taints
}

// mendNodeStatus writes the status where it differs, and in time for its
// conditions' heartbeat. After an outage of the operator the cluster has set the
// conditions to Unknown.
func (c *Controller) mendNodeStatus(ctx context.Context, node, want *corev1.Node) error {
	before := node.DeepCopy()
	is, status := &node.Status, &want.Status
	info := status.NodeInfo
	if info.ContainerRuntimeVersion == virtualnode.UnknownRuntime && is.NodeInfo.ContainerRuntimeVersion != "" {
		// What the last cells had: the next will have it too, or tell otherwise.
		info.ContainerRuntimeVersion = is.NodeInfo.ContainerRuntimeVersion
	}
	is.Capacity, is.Allocatable = status.Capacity, status.Allocatable
	is.Conditions = virtualnode.MergeConditions(is.Conditions, status.Conditions)
	is.Addresses, is.DaemonEndpoints, is.NodeInfo = status.Addresses, status.DaemonEndpoints, info
	if equality.Semantic.DeepEqual(&before.Status, is) {
		return nil
	}
	// Conditions too are patched as a whole.
	if err := c.Client.Status().Patch(ctx, node, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing the status of node %s: %w", node.Name, err)
	}
	return nil
}
