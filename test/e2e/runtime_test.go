package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
)

// Cells of another image have containerd 2, and pods are on them what they are elsewhere: files that outlive a restart, counts, logs, and
// an end when they are told to.
func TestContainerd2(t *testing.T) {
	t.Parallel()
	env := environment(t)
	if _, err := os.Stat(filepath.Join(env.BinDir, "containerd2", "containerd")); err != nil {
		t.Skip("needs containerd 2: make containerd2")
	}
	class := newClass(t, env, "containerd2", func(c *v1beta1.CellClass) {
		c.Spec.BootImageSpec.Owners = "amazon"
		c.Spec.BootImageSpec.Filters = "name=kip-cell-al2023-*"
	})
	create(t, env, class)
	waitForNode(t, env, class)
	ns := namespace(t, env)

	server := newPod(env, ns, "server", class, serving)
	create(t, env, server)
	job := newJob(env, ns, class, corev1.RestartPolicyOnFailure, `echo run; echo run >>/count/runs; [ "$(wc -l </count/runs)" -ge 2 ]`)
	pod := &job.Spec.Template.Spec
	pod.Volumes = []corev1.Volume{{Name: "count", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	pod.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "count", MountPath: "/count"}}
	create(t, env, job)

	waitForPhase(t, env, server, corev1.PodRunning)
	cell, err := cellOf(t.Context(), env, server)
	if err != nil {
		t.Fatal(err)
	}
	if cell.Status.Agent == nil || !regexp.MustCompile(`^containerd v?2\.`).MatchString(cell.Status.Agent.Runtime) {
		t.Errorf("agent %+v, want one on containerd 2", cell.Status.Agent)
	}
	requireAnswers(t, env, ns, class, []corev1.Pod{*server})
	requireJob(t, env, job, batchv1.JobComplete)
	status := onlyContainer(t, env, job)
	if last := status.LastTerminationState.Terminated; status.RestartCount != 1 || last == nil || last.ExitCode != 1 {
		t.Errorf("restartCount %d after %+v, want 1 and exit code 1", status.RestartCount, last)
	}
	logs, err := env.Kube.CoreV1().Pods(ns).GetLogs(onlyPod(t, env, job).Name, &corev1.PodLogOptions{TailLines: aws.Int64(1)}).DoRaw(t.Context())
	if err != nil || string(logs) != "run\n" {
		t.Errorf("the container wrote %q, %v", logs, err)
	}
}
