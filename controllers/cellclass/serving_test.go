package cellclass

import (
	"context"
	"errors"
	"fmt"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/virtualnode"
	"kip.elotl.co/test/fixture"
)

// TestKubeletServing: every class says how the kubelet API of its nodes is
// served, as soon as that is otherwise, and an event does.
func TestKubeletServing(t *testing.T) {
	b := newBench(t)
	state := virtualnode.NewServingState()
	b.wrap = func(o *Options) { o.Serving = state }
	b.start()
	class := b.class()
	b.ready(class)
	for _, test := range []struct {
		is   virtualnode.Serving
		want metav1.ConditionStatus
	}{
		{virtualnode.Serving{Reason: v1beta1.ReasonNotSigned, Message: "CertificateSigningRequest x was denied"}, metav1.ConditionFalse},
		{virtualnode.Serving{Reason: v1beta1.ReasonSigned, Message: "by s"}, metav1.ConditionTrue},
		{virtualnode.Serving{Reason: v1beta1.ReasonSelfSigned, Message: "by itself"}, metav1.ConditionTrue},
	} {
		state.Set(test.is)
		fixture.WaitFor(b, b, class, "the class says "+test.is.Reason, func(is *v1beta1.CellClass) error {
			condition := meta.FindStatusCondition(is.Status.Conditions, v1beta1.ConditionKubeletServing)
			if condition == nil || condition.Status != test.want || condition.Reason != test.is.Reason || condition.Message != test.is.Message {
				return fmt.Errorf("condition %+v", condition)
			}
			return nil
		})
	}
	fixture.Eventually(t, "a Warning names the request", func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := b.List(ctx, &events); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Regarding.UID == class.UID && e.Reason == v1beta1.ReasonNotSigned && e.Type == "Warning" && e.Note == "CertificateSigningRequest x was denied" {
				return nil
			}
		}
		return errors.New("none does")
	})
}
