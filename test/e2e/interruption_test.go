package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/testenv"
)

// EC2 takes the instance of a Job's pod back. The pod is stopped before that and fails marked as disrupted, which the Job's policy does not
// count; the next pod, on another cell, completes the Job, whose backoffLimit is 0.
func TestInterruption(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := newClass(t, env, "interruption", func(c *v1beta1.CellClass) { c.Spec.DefaultLaunchType = v1beta1.LaunchSpot })
	create(t, env, class)
	waitForNode(t, env, class)
	waitForRuntimeClass(t, env, class)
	job := newJob(env, namespace(t, env), class, corev1.RestartPolicyNever, `trap 'echo stopped; exit 0' TERM; until [ -e /go/on ]; do sleep 1; done`)
	job.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
		Action:          batchv1.PodFailurePolicyActionIgnore,
		OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}},
	}}}
	job.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(20))
	job.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "go", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: "go"}, Optional: new(true)}}}}
	job.Spec.Template.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "go", MountPath: "/go"}}
	create(t, env, job)
	testenv.Eventually(t, soon, "the Job's pod", func(ctx context.Context) error {
		if err := env.Get(ctx, client.ObjectKeyFromObject(job), job); err != nil || job.Status.Active == 1 {
			return err
		}
		return errors.New("there is none")
	})
	pod := onlyPod(t, env, job)
	waitForPhase(t, env, pod, corev1.PodRunning)
	cell, err := cellOf(t.Context(), env, pod)
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Interrupt(t.Context(), cell.Status.InstanceID, 2*time.Minute); err != nil {
		t.Fatal(err)
	}
	disrupted(t, env, pod)
	next := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.CellNameForPod(pod.UID) + "-next"}}
	testenv.Eventually(t, soon, "the next pod claims the cell that was prepared for it", func(ctx context.Context) error {
		if err := env.Get(ctx, client.ObjectKeyFromObject(next), next); err != nil {
			return err
		}
		if ref := next.Spec.PodRef; ref == nil || ref.UID == string(pod.UID) {
			return fmt.Errorf("its podRef is %+v", ref)
		}
		return nil
	})
	create(t, env, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: job.Namespace, Name: "go"}, Data: map[string]string{"on": ""}})
	requireJob(t, env, job, batchv1.JobComplete)
	if job.Status.Succeeded != 1 || job.Status.Failed != 0 {
		t.Errorf("the Job counts %d that succeeded and %d that failed", job.Status.Succeeded, job.Status.Failed)
	}
}

// disrupted waits until a pod has failed in a kubelet's words. The Job deletes it then, once it has counted it.
func disrupted(t *testing.T, env *testenv.Env, pod *corev1.Pod) {
	t.Helper()
	watched, err := env.Kube.CoreV1().Pods(pod.Namespace).Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + pod.Name})
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Stop()
	late := time.After(soon)
	for {
		select {
		case event := <-watched.ResultChan():
			is, ok := event.Object.(*corev1.Pod)
			if !ok || is.Status.Phase != corev1.PodFailed {
				continue
			}
			if err := marked(is); err != nil {
				t.Error(err)
			}
			return
		case <-late:
			t.Fatal("the pod has not failed")
		}
	}
}

func marked(pod *corev1.Pod) error {
	if pod.Status.Reason != "Terminated" {
		return fmt.Errorf("the pod failed because of %s: %s", pod.Status.Reason, pod.Status.Message)
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && c.Reason == corev1.PodReasonTerminationByKubelet {
			return nil
		}
	}
	return fmt.Errorf("conditions %+v", pod.Status.Conditions)
}
