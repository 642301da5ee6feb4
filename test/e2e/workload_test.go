package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/testenv"
)

func TestDeployment(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := readyClass(t, env, "deployment")
	ns := namespace(t, env)
	const replicas = 3
	deployment := newDeployment(env, ns, class, replicas)
	create(t, env, deployment)
	testenv.Eventually(t, soon, "deployment available", func(ctx context.Context) error {
		if err := env.Get(ctx, client.ObjectKeyFromObject(deployment), deployment); err != nil {
			return err
		}
		if deployment.Status.AvailableReplicas != replicas {
			return fmt.Errorf("%d of %d available", deployment.Status.AvailableReplicas, replicas)
		}
		return nil
	})
	cells := requireOwnCells(t, env, class, replicas)
	var pods corev1.PodList
	if err := env.List(t.Context(), &pods, client.InNamespace(ns), client.MatchingLabels{"app": "web"}); err != nil {
		t.Fatal(err)
	}
	requireAnswers(t, env, ns, class, pods.Items)

	deployment.Spec.Replicas = aws.Int32(0)
	if err := env.Update(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	var sandboxes []string
	for _, cell := range cells {
		sandboxes = append(sandboxes, cell.Status.InstanceID)
	}
	testenv.Eventually(t, soon, "scaled to 0", func(ctx context.Context) error { return nothingLeft(ctx, env, class, sandboxes) })
}

func newDeployment(env *testenv.Env, namespace string, class *v1beta1.CellClass, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": "web"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podSpec(env, class, serving)},
		},
	}
}

// requireOwnCells checks that so many Cells of the class have each an instance and addresses of its own, alive in EC2.
func requireOwnCells(t *testing.T, env *testenv.Env, class *v1beta1.CellClass, want int) []v1beta1.Cell {
	t.Helper()
	cells, err := cellsOf(t.Context(), env, class)
	if err != nil {
		t.Fatal(err)
	}
	distinct := map[string]bool{}
	for _, cell := range cells {
		for _, value := range []string{cell.Status.InstanceID, cell.Status.IP, cell.Status.PodIP} {
			if value == "" || distinct[value] {
				t.Errorf("cell %s has %q, as another or not at all", cell.Name, value)
			}
			distinct[value] = true
		}
	}
	live, err := env.LiveInstances(t.Context(), class.Name)
	if err != nil {
		t.Fatal(err)
	}
	if len(cells) != want || len(live) != want {
		t.Errorf("%d Cells and %d live instances, want %d", len(cells), len(live), want)
	}
	for _, instance := range live {
		if id := aws.ToString(instance.InstanceId); !distinct[id] {
			t.Errorf("instance %s belongs to no Cell", id)
		}
	}
	return cells
}

// requireAnswers asks each pod, from a pod on another cell, for its page: it holds the pod's name.
func requireAnswers(t *testing.T, env *testenv.Env, namespace string, class *v1beta1.CellClass, pods []corev1.Pod) {
	t.Helper()
	var script strings.Builder
	script.WriteString("set -e\n")
	for _, pod := range pods {
		if pod.Status.Phase != corev1.PodRunning || pod.Status.PodIP == "" {
			t.Errorf("pod %s is %s at %q", pod.Name, pod.Status.Phase, pod.Status.PodIP)
		}
		fmt.Fprintf(&script, "[ \"$(wget -q -O - http://%s:8080/)\" = %s ]\n", pod.Status.PodIP, pod.Name)
	}
	asking := newPod(env, namespace, "asking", class, script.String(), neverRestart)
	create(t, env, asking)
	waitForPhase(t, env, asking, corev1.PodSucceeded)
	if err := remove(t.Context(), env, asking); err != nil {
		t.Fatal(err)
	}
}

func neverRestart(pod *corev1.Pod) { pod.Spec.RestartPolicy = corev1.RestartPolicyNever }

func TestJobThatFails(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := readyClass(t, env, "job-fails")
	job := newJob(env, namespace(t, env), class, corev1.RestartPolicyNever, "echo about to fail; exit 3")
	create(t, env, job)
	requireJob(t, env, job, batchv1.JobFailed)
	status := onlyContainer(t, env, job)
	if status.State.Terminated == nil || status.State.Terminated.ExitCode != 3 {
		t.Errorf("the container's state is %+v, want exit code 3", status.State)
	}
	// By way of the API server, as kubectl does it.
	logs, err := env.Kube.CoreV1().Pods(job.Namespace).GetLogs(onlyPod(t, env, job).Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
	if err != nil || string(logs) != "about to fail\n" {
		t.Errorf("the container wrote %q, %v", logs, err)
	}
}

// The container counts its runs in an emptyDir, which outlives them.
func TestJobThatSucceedsAtLast(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := readyClass(t, env, "job-retries")
	job := newJob(env, namespace(t, env), class, corev1.RestartPolicyOnFailure, `echo run >>/count/runs; [ "$(wc -l </count/runs)" -ge 3 ]`)
	pod := &job.Spec.Template.Spec
	pod.Volumes = []corev1.Volume{{Name: "count", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	pod.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "count", MountPath: "/count"}}
	create(t, env, job)
	requireJob(t, env, job, batchv1.JobComplete)
	status := onlyContainer(t, env, job)
	if status.RestartCount != 2 || status.State.Terminated == nil || status.State.Terminated.ExitCode != 0 {
		t.Errorf("restartCount %d and state %+v, want 2 and exit code 0", status.RestartCount, status.State)
	}
}

func newJob(env *testenv.Env, namespace string, class *v1beta1.CellClass, policy corev1.RestartPolicy, script string) *batchv1.Job {
	spec := podSpec(env, class, script)
	spec.RestartPolicy = policy
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "job"},
		Spec: batchv1.JobSpec{
			BackoffLimit: aws.Int32(map[corev1.RestartPolicy]int32{corev1.RestartPolicyNever: 0, corev1.RestartPolicyOnFailure: 5}[policy]),
			Template:     corev1.PodTemplateSpec{Spec: spec},
		},
	}
}

func requireJob(t *testing.T, env *testenv.Env, job *batchv1.Job, want batchv1.JobConditionType) {
	t.Helper()
	testenv.Eventually(t, soon, fmt.Sprintf("job %s", want), func(ctx context.Context) error {
		if err := env.Get(ctx, client.ObjectKeyFromObject(job), job); err != nil {
			return err
		}
		for _, c := range job.Status.Conditions {
			if c.Type == want && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("conditions %+v", job.Status.Conditions)
	})
}

// onlyContainer is the status of the one container of the Job's one pod.
func onlyContainer(t *testing.T, env *testenv.Env, job *batchv1.Job) corev1.ContainerStatus {
	t.Helper()
	pod := onlyPod(t, env, job)
	if len(pod.Status.ContainerStatuses) != 1 {
		t.Fatalf("the Job's pod has %d container statuses, want 1", len(pod.Status.ContainerStatuses))
	}
	return pod.Status.ContainerStatuses[0]
}

func onlyPod(t *testing.T, env *testenv.Env, job *batchv1.Job) *corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	if err := env.List(t.Context(), &pods, client.InNamespace(job.Namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 1 {
		t.Fatalf("the Job has %d pods, want 1", len(pods.Items))
	}
	return &pods.Items[0]
}
