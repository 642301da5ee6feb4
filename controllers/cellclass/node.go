package cellclass

import (
	"context"
	"errors"
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

// keepNodes makes the nodes that the class is to have, and lets those go that it
// does not need any more, once the others are there. The error is a *finding
// where one cannot be.
func (c *Controller) keepNodes(ctx context.Context, class *v1beta1.CellClass, cells []v1beta1.Cell) error {
	known, err := c.nodesOf(ctx, class)
	if err != nil {
		return err
	}
	wanted := virtualnode.Identities(class)
	var names []string
	var errs []error
	for _, id := range wanted {
		names = append(names, id.Name())
		errs = append(errs, c.keepNode(ctx, id, c.nodeFor(class, id, cells)))
	}
	unneeded := slices.DeleteFunc(known, func(node corev1.Node) bool {
		id, _ := virtualnode.IdentityOf(&node)
		return slices.Contains(wanted, id)
	})
	for i := range unneeded {
		names = append(names, unneeded[i].Name)
	}
	slices.Sort(names)
	class.Status.Nodes = names
	err = firstFinding(errs)
	if err != nil && !lacksPort(err) {
		return err
	}
	// Those that go leave their ports to others.
	return firstFinding([]error{err, c.letGo(ctx, class, cells, unneeded, len(wanted) > 0)})
}

func lacksPort(err error) bool {
	f := (*finding)(nil)
	return errors.As(err, &f) && f.reason == v1beta1.ReasonNoKubeletPort
}

// firstFinding is the first *finding among errors, else all of them.
func firstFinding(errs []error) error {
	for _, err := range errs {
		if f := (*finding)(nil); errors.As(err, &f) {
			return err
		}
	}
	return errors.Join(errs...)
}

// nodeFor is the node of the class as it should be, but for its endpoint.
func (c *Controller) nodeFor(class *v1beta1.CellClass, id virtualnode.Identity, cells []v1beta1.Cell) *corev1.Node {
	about := c.About
	about.Runtime = commonRuntime(cells, id.Zone)
	return virtualnode.Node(class, id, about, metav1.NewTime(c.Clock.Now()))
}

// keepNode makes a node, and mends it when it differs.
func (c *Controller) keepNode(ctx context.Context, id virtualnode.Identity, want *corev1.Node) error {
	node := &corev1.Node{}
	err := c.Client.Get(ctx, client.ObjectKeyFromObject(want), node)
	if apierrors.IsNotFound(err) {
		return c.makeNode(ctx, want)
	}
	if err != nil {
		return fmt.Errorf("reading node %s: %w", want.Name, err)
	}
	is, ours := virtualnode.IdentityOf(node)
	switch {
	case !ours:
		c.drop(node.Name)
		fallthrough
	case is != id:
		return found(v1beta1.ReasonNodeNameTaken, "node %s exists and is not this class's: its spec.providerID is %q, not %q; delete it, or give the class another name",
			node.Name, node.Spec.ProviderID, want.Spec.ProviderID)
	}
	c.leaving.forget(node.UID)
	return c.mend(ctx, node, want)
}

func (c *Controller) makeNode(ctx context.Context, node *corev1.Node) error {
	at, err := c.endpoint(ctx, node.Name)
	if err != nil {
		return err
	}
	at.Set(node)
	if err := c.Client.Create(ctx, node); err != nil {
		return fmt.Errorf("creating node %s: %w", node.Name, err)
	}
	c.Leases.Keep(node.Name, node.UID)
	return nil
}

// mend keeps a node's lease, and makes it agree with how it should be. The error
// is a *finding where it can have no port; the rest is mended then.
func (c *Controller) mend(ctx context.Context, node, want *corev1.Node) error {
	c.Leases.Keep(node.Name, node.UID)
	at, noPort := c.endpoint(ctx, node.Name)
	if noPort == nil {
		at.Set(want)
	} else {
		want.Status.Addresses, want.Status.DaemonEndpoints = node.Status.Addresses, node.Status.DaemonEndpoints
	}
	err := c.mendNode(ctx, node, want)
	if err == nil {
		err = c.mendNodeStatus(ctx, node, want)
	}
	if apierrors.IsNotFound(err) {
		c.drop(node.Name)
	}
	return firstFinding([]error{err, noPort})
}

// removeNodes takes all nodes of the class away.
func (c *Controller) removeNodes(ctx context.Context, class *v1beta1.CellClass) error {
	names := slices.Clone(class.Status.Nodes)
	for _, id := range append(virtualnode.Identities(class), virtualnode.Identity{Class: class.Name}) {
		names = append(names, id.Name())
	}
	known, err := c.nodesOf(ctx, class)
	if err != nil {
		return err
	}
	for i := range known {
		names = append(names, known[i].Name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		node := &corev1.Node{}
		if err := client.IgnoreNotFound(c.Live.Get(ctx, client.ObjectKey{Name: name}, node)); err != nil {
			return fmt.Errorf("reading node %s: %w", name, err)
		}
		if node.UID == "" {
			c.drop(name) // somebody else has deleted it
		}
		if id, ours := virtualnode.IdentityOf(node); !ours || id.Class != class.Name {
			continue
		}
		if err := c.removeNode(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

func (c *Controller) removeNode(ctx context.Context, node *corev1.Node) error {
	c.drop(node.Name)
	c.leaving.forget(node.UID)
	err := c.Client.Delete(ctx, node, client.Preconditions{UID: &node.UID})
	return wrap(client.IgnoreNotFound(err), "deleting node "+node.Name)
}

// drop stops being the kubelet of a node.
func (c *Controller) drop(node string) {
	c.Leases.Drop(node)
	c.Ports.Drop(node)
}

// commonRuntime is the container runtime that all cells of a zone, or all where
// it is empty, have whose agents have told theirs; empty where they differ.
func commonRuntime(cells []v1beta1.Cell, zone string) string {
	common := ""
	for i := range cells {
		agent := cells[i].Status.Agent
		switch {
		case zone != "" && cells[i].Spec.Zone != zone:
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
	if key, value := virtualnode.FormerAnnotation(node.Name); node.Annotations[key] == value {
		delete(node.Annotations, key)
	}
	for _, key := range virtualnode.LabelsToRemove(node.Labels, want.Labels) {
		delete(node.Labels, key)
	}
	cordon(node, want)
	for _, taint := range want.Spec.Taints {
		node.Spec.Taints = withTaint(node.Spec.Taints, taint)
	}
	if equality.Semantic.DeepEqual(before, node) {
		return nil
	}
	// A list is patched as a whole; a taint that came meanwhile must not go with it.
	err := c.Client.Patch(ctx, node, client.StrategicMergeFrom(before, client.MergeFromWithOptimisticLock{}))
	return wrap(unlessChanged(err), "mending node "+node.Name)
}

// cordon cordons a node that is to take no more pods, and lets one take pods
// again that Kip itself has cordoned: who else cordons a node has a reason.
func cordon(node, want *corev1.Node) {
	_, leaves := want.Annotations[v1beta1.AnnotationLeaving]
	_, left := node.Annotations[v1beta1.AnnotationLeaving]
	switch {
	case leaves && !node.Spec.Unschedulable:
		metav1.SetMetaDataAnnotation(&node.ObjectMeta, v1beta1.AnnotationLeaving, "true")
	case left && !leaves:
		delete(node.Annotations, v1beta1.AnnotationLeaving)
		node.Spec.Unschedulable = false
	}
	node.Spec.Unschedulable = node.Spec.Unschedulable || want.Spec.Unschedulable
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
	err := c.Client.Status().Patch(ctx, node, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	return wrap(unlessChanged(err), "writing the status of node "+node.Name)
}

// unlessChanged is no error where the object was changed meanwhile: that change
// brings it here again.
func unlessChanged(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return err
}
