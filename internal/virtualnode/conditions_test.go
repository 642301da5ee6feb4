package virtualnode

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMergeConditions(t *testing.T) {
	at := func(minutes int) metav1.Time {
		return metav1.NewTime(time.Unix(0, 0).Add(time.Duration(minutes) * time.Minute))
	}
	ready := func(status corev1.ConditionStatus, reason string, since, heartbeat int) corev1.NodeCondition {
		return corev1.NodeCondition{Type: corev1.NodeReady, Status: status, Reason: reason, LastTransitionTime: at(since), LastHeartbeatTime: at(heartbeat)}
	}
	others := corev1.NodeCondition{Type: "example.com/Checked", Status: corev1.ConditionTrue, LastTransitionTime: at(1)}
	want := []corev1.NodeCondition{ready("True", "OperatorReady", 60, 60)}
	for name, test := range map[string]struct{ is, want []corev1.NodeCondition }{
		"none yet":            {nil, want},
		"as it was":           {[]corev1.NodeCondition{ready("True", "OperatorReady", 5, 58)}, []corev1.NodeCondition{ready("True", "OperatorReady", 5, 58)}},
		"an old heartbeat":    {[]corev1.NodeCondition{ready("True", "OperatorReady", 5, 55)}, []corev1.NodeCondition{ready("True", "OperatorReady", 5, 60)}},
		"another text":        {[]corev1.NodeCondition{ready("True", "Other", 5, 59)}, []corev1.NodeCondition{ready("True", "OperatorReady", 5, 60)}},
		"given up meanwhile":  {[]corev1.NodeCondition{ready("Unknown", "NodeStatusUnknown", 50, 10)}, want},
		"without a time":      {[]corev1.NodeCondition{{Type: corev1.NodeReady, Status: "True"}}, want},
		"others' stay":        {[]corev1.NodeCondition{others, ready("True", "OperatorReady", 5, 59)}, []corev1.NodeCondition{ready("True", "OperatorReady", 5, 59), others}},
		"others' alone is on": {[]corev1.NodeCondition{others}, append(want[:1:1], others)},
	} {
		if diff := cmp.Diff(test.want, MergeConditions(test.is, want)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
