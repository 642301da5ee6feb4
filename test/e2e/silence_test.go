package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/testenv"
)

// silence is the shortest that a class may allow.
const silence = 2 * time.Minute

// Cells that the operator cannot reach any more power themselves off, with a pod and without one: their instances are terminated, not only
// stopped. The pod fails and says why, the Cell without one gets another instance.
func TestCellsPowerOffInSilence(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := newClass(t, env, "silence", func(c *v1beta1.CellClass) { c.Spec.PowerOffAfter = &metav1.Duration{Duration: silence} })
	create(t, env, class)
	waitForNode(t, env, class)
	waitForRuntimeClass(t, env, class)
	pod := newPod(env, namespace(t, env), "web", class, forever)
	create(t, env, pod)
	alone := readyCell(t, env, class, "alone")
	waitForPhase(t, env, pod, corev1.PodRunning)
	cell, err := cellOf(t.Context(), env, pod)
	if err != nil {
		t.Fatal(err)
	}
	for _, silenced := range []*v1beta1.Cell{cell, alone} {
		const unplug = "for link in /sys/class/net/*; do link=${link##*/}; [ $link = lo ] || ip link set $link down; done"
		if _, err := inCell(t.Context(), env, silenced, "", unplug); err != nil {
			t.Fatal(err)
		}
	}
	for _, ended := range []*v1beta1.Cell{cell, alone} {
		testenv.Eventually(t, silence+soon, "instance of Cell "+ended.Name+" terminated", func(ctx context.Context) error {
			return terminatedItself(ctx, env, ended.Status.InstanceID)
		})
	}
	waitForPhase(t, env, pod, corev1.PodFailed)
	if pod.Status.Reason != v1beta1.ReasonCellPoweredOff || !strings.Contains(pod.Status.Message, "hears nothing of the operator for 2m0s") {
		t.Errorf("the pod failed because of %s: %s", pod.Status.Reason, pod.Status.Message)
	}
	before := alone.Status.InstanceID
	testenv.Eventually(t, soon, "another instance of Cell "+alone.Name, func(ctx context.Context) error {
		if err := ready(ctx, env, alone); err != nil {
			return err
		}
		if alone.Status.InstanceID == before {
			return errors.New("it has the same")
		}
		return nil
	})
}

// terminatedItself returns nil when an instance is terminated, and by what ran on it.
func terminatedItself(ctx context.Context, env *testenv.Env, id string) error {
	out, err := env.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		return err
	}
	instance := out.Reservations[0].Instances[0]
	if instance.State.Name != types.InstanceStateNameTerminated || instance.StateReason == nil ||
		aws.ToString(instance.StateReason.Code) != "Client.InstanceInitiatedShutdown" {
		return fmt.Errorf("it is %s: %+v", instance.State.Name, instance.StateReason)
	}
	return nil
}

// A killed agent is started again, and its pod goes on as if nothing had been.
func TestAgentKilled(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := readyClass(t, env, "agent-killed")
	pod := newPod(env, namespace(t, env), "web", class, forever)
	create(t, env, pod)
	waitForPhase(t, env, pod, corev1.PodRunning)
	cell, err := cellOf(t.Context(), env, pod)
	if err != nil {
		t.Fatal(err)
	}
	before := pod.Status.ContainerStatuses[0]
	for range 3 {
		killAgent(t, env, cell)
	}
	// An answer of the new agent, over the way that the operator takes.
	testenv.Eventually(t, soon, "logs of the pod", func(ctx context.Context) error {
		_, err := env.Kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(ctx)
		return err
	})
	if err := env.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		t.Fatal(err)
	}
	after := pod.Status.ContainerStatuses[0]
	if pod.Status.Phase != corev1.PodRunning || after.ContainerID != before.ContainerID || after.RestartCount != 0 || !after.Ready {
		t.Errorf("the pod is %s with %+v, before it was %+v", pod.Status.Phase, after, before)
	}
}

// killAgent ends the agent of a cell with SIGKILL and waits for the next one.
func killAgent(t *testing.T, env *testenv.Env, cell *v1beta1.Cell) {
	t.Helper()
	before, err := inCell(t.Context(), env, cell, "", "pid=$(pidof itzo) && kill -9 $pid && echo $pid")
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, soon, "another agent", func(ctx context.Context) error {
		now, err := inCell(ctx, env, cell, "", "pidof itzo")
		if err == nil && now == before {
			return errors.New("it is the same")
		}
		return err
	})
}
