package e2e

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/dev"
	"kip.elotl.co/hack/proc"
	"kip.elotl.co/test/testenv"
)

// The tests here stop the operator. They are not parallel, so none of the others, which are, runs at that time.

// An operator killed between launch and agent is followed by one that goes on with the same instance, although the class has changed and
// would now make other user data.
func TestOperatorKilledDuringLaunch(t *testing.T) {
	env := environment(t)
	class := readyClass(t, env, "killed")
	ns := namespace(t, env)
	pods := []*corev1.Pod{newPod(env, ns, "one", class, forever), newPod(env, ns, "two", class, forever)}
	for _, pod := range pods {
		create(t, env, pod)
	}
	testenv.Eventually(t, soon, "both launched", func(ctx context.Context) error {
		launches, err := env.Launches(ctx, class.Name)
		if err == nil && len(launches) < len(pods) {
			err = fmt.Errorf("%d launches", len(launches))
		}
		return err
	})
	killOperator(t, env)
	before := map[string]string{}
	for _, pod := range pods {
		cell, err := cellOf(t.Context(), env, pod)
		if err != nil {
			t.Fatal(err)
		}
		if cell.Status.Phase == v1beta1.CellReady {
			t.Fatalf("cell %s was Ready before the operator was killed: the test came too late", cell.Name)
		}
		before[pod.Name] = launchedBy(t, env, cell)
	}
	changed := class.DeepCopy()
	changed.Spec.CloudInit = "#cloud-config\nruncmd: [echo changed]\n"
	if err := env.Patch(t.Context(), changed, client.MergeFrom(class)); err != nil {
		t.Fatal(err)
	}
	startOperator(t, env)
	for _, pod := range pods {
		waitForPhase(t, env, pod, corev1.PodRunning)
		cell, err := cellOf(t.Context(), env, pod)
		if err != nil {
			t.Fatal(err)
		}
		if cell.Status.InstanceID != before[pod.Name] {
			t.Errorf("pod %s runs on %s, launched was %s", pod.Name, cell.Status.InstanceID, before[pod.Name])
		}
		launchedBy(t, env, cell)
	}
	live, err := env.LiveInstances(t.Context(), class.Name)
	if err != nil {
		t.Fatal(err)
	}
	if len(live) != len(pods) {
		t.Errorf("%d live instances for %d pods", len(live), len(pods))
	}
}

// launchedBy is the one instance that was ever launched for the Cell.
func launchedBy(t *testing.T, env *testenv.Env, cell *v1beta1.Cell) string {
	t.Helper()
	launches, err := env.Launches(t.Context(), string(cell.UID))
	if err != nil {
		t.Fatal(err)
	}
	var created []string
	for _, launch := range launches {
		created = append(created, launch.Created...)
	}
	if len(created) != 1 {
		t.Fatalf("instances %v were launched for cell %s, want one", created, cell.Name)
	}
	return created[0]
}

func killOperator(t *testing.T, env *testenv.Env) {
	t.Helper()
	operator, alive, err := proc.Alive(env.Dir, dev.Operator)
	if err != nil || !alive {
		t.Fatalf("the operator runs: %t, %v", alive, err)
	}
	t.Cleanup(func() { startOperator(t, env) })
	if err := syscall.Kill(operator.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, soon, "operator dead", func(context.Context) error {
		if _, alive, err := proc.Alive(env.Dir, dev.Operator); err != nil || alive {
			return errors.Join(errors.New("it lives"), err)
		}
		return nil
	})
}

// startOperator is harmless when the operator runs.
func startOperator(t *testing.T, env *testenv.Env) {
	t.Helper()
	if err := env.StartOperator(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// While the operator is away the node is unreachable and its pods are to be evicted after the tolerationSeconds that they had, which the
// RuntimeClass has overruled, or Kip has cleared. That eviction works is seen by a pod that it could not clear them for. There is a healthy
// node besides, since no pod is evicted when all nodes are unreachable at once.
func TestOperatorAway(t *testing.T) {
	env := environment(t)
	keepHealthyNode(t, env)
	class := readyClass(t, env, "away")
	ns := namespace(t, env)
	node := &corev1.Node{}
	withoutRuntimeClass := func(p *corev1.Pod) { p.Spec.RuntimeClassName, p.Spec.NodeName = nil, v1beta1.NodeName(class.Name) }
	pods := []*corev1.Pod{
		newPod(env, ns, "stays", class, forever, impatient),
		newPod(env, ns, "bound", class, forever, impatient, withoutRuntimeClass),
	}
	for _, pod := range pods {
		create(t, env, pod)
		waitForPhase(t, env, pod, corev1.PodRunning)
	}

	t.Cleanup(func() { startOperator(t, env) })
	if err := proc.Stop(t.Context(), env.Dir, dev.Operator, 0); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, nodeGrace+soon, "node tainted", func(ctx context.Context) error {
		if err := env.Get(ctx, client.ObjectKey{Name: v1beta1.NodeName(class.Name)}, node); err != nil {
			return err
		}
		for _, taint := range node.Spec.Taints {
			if taint.Key == corev1.TaintNodeUnreachable && taint.Effect == corev1.TaintEffectNoExecute {
				return nil
			}
		}
		return fmt.Errorf("taints %+v", node.Spec.Taints)
	})
	canary := newPod(env, ns, "canary", class, forever, impatient, withoutRuntimeClass)
	create(t, env, canary)
	testenv.Eventually(t, soon, "canary evicted", func(ctx context.Context) error {
		err := env.Get(ctx, client.ObjectKeyFromObject(canary), canary)
		if client.IgnoreNotFound(err) != nil || (err == nil && canary.DeletionTimestamp.IsZero()) {
			return errors.Join(errors.New("it is still there"), err)
		}
		return nil
	})
	for _, pod := range pods {
		uid := pod.UID
		if err := env.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil || pod.UID != uid || !pod.DeletionTimestamp.IsZero() {
			t.Errorf("pod %s was deleted: %v, %v", pod.Name, pod.DeletionTimestamp, err)
		}
	}
	startOperator(t, env)
	waitForNode(t, env, class)
	for _, pod := range pods {
		waitForPhase(t, env, pod, corev1.PodRunning)
		for _, status := range pod.Status.ContainerStatuses {
			if status.RestartCount != 0 {
				t.Errorf("container %s of pod %s was restarted %d times", status.Name, pod.Name, status.RestartCount)
			}
		}
	}
}

// impatient pods are evicted a second after their node became NotReady or unreachable.
func impatient(pod *corev1.Pod) {
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
			Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: aws.Int64(1),
		})
	}
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Key: v1beta1.TaintProvider, Operator: corev1.TolerationOpExists})
}

// keepHealthyNode registers a node that is no class's and on which nothing is scheduled, and renews its lease until the test ends.
func keepHealthyNode(t *testing.T, env *testenv.Env) {
	t.Helper()
	now := metav1.Now()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "healthy"}, Spec: corev1.NodeSpec{Unschedulable: true}}
	create(t, env, node)
	fresh := node.DeepCopy()
	fresh.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: now, LastTransitionTime: now,
	}}
	if err := env.Status().Patch(t.Context(), fresh, client.MergeFrom(node)); err != nil {
		t.Fatal(err)
	}
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: node.Name},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &node.Name, LeaseDurationSeconds: aws.Int32(int32(nodeGrace.Seconds()))},
	}
	create(t, env, lease)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	renewing := make(chan struct{})
	go func() {
		defer close(renewing)
		renew(ctx, env, lease)
	}()
	t.Cleanup(func() { cancel(); <-renewing })
}

// renew keeps the lease fresh until ctx ends. A renewal that fails is made up for by the next.
func renew(ctx context.Context, env *testenv.Env, lease *coordinationv1.Lease) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		fresh := lease.DeepCopy()
		now := metav1.NowMicro()
		fresh.Spec.RenewTime = &now
		_ = env.Patch(ctx, fresh, client.MergeFrom(lease))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
