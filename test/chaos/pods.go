package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/test/testenv"
)

const (
	namespace = metav1.NamespaceDefault
	className = "chaos"
	// settings is the ConfigMap that pods have as a volume.
	settings = "chaos-settings"
	// labelExperiment is on pods, with the experiment's name.
	labelExperiment = "chaos"
)

// lastWords is what a pod's container leaves when it has ended as it should.
const lastWords = "done"

// prepare makes the class of the pods, whose cells find what they need in Parameter Store, and what the pods refer to.
func prepare(ctx context.Context, env *testenv.Env) error {
	text, err := env.CellClassYAML(ctx, className)
	if err != nil {
		return err
	}
	class := &v1beta1.CellClass{}
	if err := yaml.Unmarshal(text, class); err != nil {
		return fmt.Errorf("reading the class: %w", err)
	}
	class.Spec.UseCloudParameterStore = true
	class.Spec.PodPrivileges.Routes = v1beta1.NamespaceNames{"*"}
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: settings}, Data: map[string]string{"key": "value"}}
	for _, object := range []client.Object{class, config} {
		if err := env.Create(ctx, object); err != nil {
			return fmt.Errorf("preparing: %w", err)
		}
	}
	return testenv.Poll(ctx, func(ctx context.Context) error {
		node := &corev1.Node{}
		if err := env.Get(ctx, client.ObjectKey{Name: v1beta1.NodeName(className)}, node); err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				_, err := env.Kube.NodeV1().RuntimeClasses().Get(ctx, node.Name, metav1.GetOptions{})
				return err
			}
		}
		return fmt.Errorf("node %s is not Ready", node.Name)
	})
}

// create makes the experiments' pods, and the Cell of one that is about that.
func create(ctx context.Context, w *world, group []experiment) error {
	const atOnce = 20
	creating, ctx := errgroup.WithContext(ctx)
	creating.SetLimit(atOnce)
	var pods []*corev1.Pod
	for n, e := range group {
		for i := range e.pods {
			pod := e.pod(w.env, n, i)
			pods = append(pods, pod)
			creating.Go(func() error { return w.env.Create(ctx, pod) })
		}
		if e.wantsCell() {
			creating.Go(func() error {
				return w.env.Create(ctx, &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: e.name()}, Spec: v1beta1.CellSpec{CellClassName: className}})
			})
		}
	}
	err := creating.Wait()
	for _, pod := range pods {
		w.owners[v1beta1.CellNameForPod(pod.UID)] = pod.Name
	}
	return err
}

// routesIn holds all addresses that pods want to be sent.
const routesIn = "172.30.0.0/16"

// pod is the i-th of an experiment that is the n-th of its group.
func (e experiment) pod(env *testenv.Env, n, i int) *corev1.Pod {
	runs := endsSoon
	if e.isStopped(i) {
		runs = untilDeleted
	}
	pod := newPod(env, e.podName(i), e.name(), runs)
	if e.hasRoute(i) {
		pod.Annotations[v1beta1.AnnotationCloudRoute] = fmt.Sprintf("172.30.%d.%d/32", n, i)
	}
	return pod
}

// How long a pod's container runs before it ends as it should.
const (
	endsSoon     = 500 * time.Millisecond
	untilDeleted = time.Duration(0)
)

// newPod is a pod with a label of that value, whose container runs for so long.
func newPod(env *testenv.Env, name, label string, runs time.Duration) *corev1.Pod {
	runtimeClass, grace := v1beta1.NodeName(className), int64(5)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: map[string]string{labelExperiment: label}, Annotations: map[string]string{},
		},
		Spec: corev1.PodSpec{
			RuntimeClassName: &runtimeClass, TerminationGracePeriodSeconds: &grace, RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{
				Name: "main", Image: env.Endpoints.Registry + "/busybox:latest",
				VolumeMounts: []corev1.VolumeMount{{Name: "settings", MountPath: "/settings"}},
			}},
			Volumes: []corev1.Volume{{Name: "settings", VolumeSource: corev1.VolumeSource{
				ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: settings}}}}},
		},
	}
	main := &pod.Spec.Containers[0]
	if runs == untilDeleted {
		main.Command = []string{"sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"}
		return pod
	}
	main.Command = []string{"sh", "-c", fmt.Sprintf("sleep %g; test $(cat /settings/key) = value && printf %s >/dev/termination-log", runs.Seconds(), lastWords)}
	script, err := json.Marshal(map[string][]fake.Run{"main": {{RunSeconds: runs.Seconds(), Message: lastWords}}})
	if err != nil {
		panic("a script cannot be encoded: " + err.Error())
	}
	pod.Annotations[fake.ScriptAnnotation] = string(script)
	return pod
}

// right says what is wrong with the status of a pod that is to have ended by itself, empty when nothing is.
func right(pod *corev1.Pod) string {
	if pod.Status.Phase != corev1.PodSucceeded {
		return fmt.Sprintf("is %s: %s %s", pod.Status.Phase, pod.Status.Reason, pod.Status.Message)
	}
	for _, status := range pod.Status.ContainerStatuses {
		if end := status.State.Terminated; end != nil && end.ExitCode == 0 && end.Message == lastWords && status.RestartCount == 0 {
			return ""
		}
	}
	return fmt.Sprintf("has Succeeded with a container that is not: %+v", pod.Status.ContainerStatuses)
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
