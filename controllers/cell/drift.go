package cell

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellspec"
	"kip.elotl.co/internal/cloudinit"
)

// drift says on a Cell in what its class has changed since it was launched. What
// cannot be told for now is left as it was.
func (c *Controller) drift(_ context.Context, s *scope) (outcome, error) {
	attempt := openAttempt(s.cell)
	if attempt == nil {
		meta.RemoveStatusCondition(&s.cell.Status.Conditions, v1beta1.ConditionDrifted)
		return proceed(), nil
	}
	if known := classProblem(s) == nil && s.documentErr == nil; !known {
		return proceed(), nil
	}
	changed := cellspec.Drift(&s.cell.Spec, attempt, s.class, s.document)
	if len(changed) == 0 {
		meta.RemoveStatusCondition(&s.cell.Status.Conditions, v1beta1.ConditionDrifted)
		return proceed(), nil
	}
	setCondition(s.cell, v1beta1.ConditionDrifted, metav1.ConditionTrue, v1beta1.ReasonClassChanged,
		fmt.Sprintf("CellClass %q would make this cell otherwise now: %s", s.class.Name, strings.Join(changed, ", ")))
	return proceed(), nil
}

// cellsOfSource are the Cells of the classes that read their cloud-init document
// from the object.
func (c *Controller) cellsOfSource(ctx context.Context, o client.Object) []reconcile.Request {
	var classes v1beta1.CellClassList
	if err := c.Client.List(ctx, &classes); err != nil {
		log.FromContext(ctx).Error(err, "listing the classes that read a cloud-init document", "object", client.ObjectKeyFromObject(o))
		return nil
	}
	var requests []reconcile.Request
	for i := range classes.Items {
		if cloudinit.Uses(&classes.Items[i], o) {
			requests = append(requests, c.cellsOfClass(ctx, &classes.Items[i])...)
		}
	}
	return requests
}
