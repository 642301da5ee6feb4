package cellclass

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/virtualnode"
)

// takeOverRetry is when a node is tried again that could not be written to.
const takeOverRetry = time.Second

// takeOver has the nodes say at once that this operator leads: kubectl logs and
// exec go to the address that they tell. The rest of a node, and those that are
// missing, is the reconciler's, which may have to wait for its turn.
func (c *Controller) takeOver(ctx context.Context) error {
	// It gives up only when the context ends.
	_ = wait.PollUntilContextCancel(ctx, takeOverRetry, true, func(ctx context.Context) (bool, error) {
		err := c.takeNodes(ctx)
		if err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "not all nodes tell this operator's address yet")
		}
		return err == nil, nil
	})
	return nil
}

func (c *Controller) takeNodes(ctx context.Context) error {
	var classes v1beta1.CellClassList
	if err := c.Client.List(ctx, &classes); err != nil {
		return fmt.Errorf("listing CellClasses: %w", err)
	}
	var errs []error
	for i := range classes.Items {
		nodes, err := c.nodesOf(ctx, &classes.Items[i])
		errs = append(errs, err)
		for j := range nodes {
			c.Leases.Keep(nodes[j].Name, nodes[j].UID)
			errs = append(errs, c.takeNode(ctx, &nodes[j]))
		}
	}
	return errors.Join(errs...)
}

func (c *Controller) takeNode(ctx context.Context, node *corev1.Node) error {
	at, err := c.endpoint(ctx, node.Name)
	if lacksPort(err) {
		return nil // the class says so
	}
	if err != nil {
		return err
	}
	before := node.DeepCopy()
	at.Set(node)
	if equality.Semantic.DeepEqual(before.Status, node.Status) {
		return nil
	}
	err = c.Client.Status().Patch(ctx, node, client.MergeFrom(before))
	if apierrors.IsNotFound(err) {
		c.drop(node.Name)
		return nil
	}
	return wrap(err, "writing the addresses of node "+node.Name)
}

// endpoint is where the node's kubelet API is served: at the port that the node
// has told, where that can be, so that it is the same under all leaders. The
// error is a *finding where no port is left.
func (c *Controller) endpoint(ctx context.Context, name string) (virtualnode.Endpoint, error) {
	var all corev1.NodeList
	if err := c.Client.List(ctx, &all); err != nil {
		return virtualnode.Endpoint{}, fmt.Errorf("listing nodes: %w", err)
	}
	var told int32
	var others []int32
	for i := range all.Items {
		port := all.Items[i].Status.DaemonEndpoints.KubeletEndpoint.Port
		if _, ours := virtualnode.IdentityOf(&all.Items[i]); !ours {
			continue
		}
		if all.Items[i].Name == name {
			told = port
		} else {
			others = append(others, port)
		}
	}
	port, err := c.Ports.Keep(ctx, name, told, others)
	if errors.Is(err, virtualnode.ErrNoPort) {
		err = found(v1beta1.ReasonNoKubeletPort, "node %s can have no port for its kubelet API: %v; give the operator more by --kubelet-ports", name, err)
	}
	return virtualnode.Endpoint{Address: c.About.Kubelet.Address, Port: port}, err
}

// nodesOf are the nodes that stand for the class, as the cache has them.
func (c *Controller) nodesOf(ctx context.Context, class *v1beta1.CellClass) ([]corev1.Node, error) {
	var all corev1.NodeList
	if err := c.Client.List(ctx, &all); err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	var nodes []corev1.Node
	for i := range all.Items {
		if id, ours := virtualnode.IdentityOf(&all.Items[i]); ours && id.Class == class.Name {
			nodes = append(nodes, all.Items[i])
		}
	}
	return nodes, nil
}
