package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pod finds a pod by its name, or the one pod of a Job by "job/<name>", with "/<index>" behind it where the Job is indexed.
func (s *stage) pod(ctx context.Context, name string) (*corev1.Pod, error) {
	job, ofJob := strings.CutPrefix(name, "job/")
	if !ofJob {
		pod := &corev1.Pod{}
		return pod, s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, pod)
	}
	job, index, _ := strings.Cut(job, "/")
	labels := client.MatchingLabels{batchv1.JobNameLabel: job}
	if index != "" {
		labels[batchv1.JobCompletionIndexAnnotation] = index
	}
	var pods corev1.PodList
	if err := s.List(ctx, &pods, client.InNamespace(s.namespace), labels); err != nil {
		return nil, err
	}
	if len(pods.Items) != 1 {
		return nil, fmt.Errorf("%s has %d pods", name, len(pods.Items))
	}
	return &pods.Items[0], nil
}

// show evaluates a JSONPath template.
func show(obj runtime.Object, template string) (string, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return "", err
	}
	path := jsonpath.New("").AllowMissingKeys(true)
	if err := path.Parse(template); err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = path.Execute(&out, content)
	return out.String(), err
}

// field wants what a JSONPath template makes of a pod.
func field(pod, template, want string) check {
	return func(ctx context.Context, s *stage) error {
		obj, err := s.pod(ctx, pod)
		if err != nil {
			return err
		}
		return s.shows(ctx, obj, template, want)
	}
}

func (s *stage) shows(ctx context.Context, obj client.Object, template, want string) error {
	got, err := show(obj, template)
	if err != nil {
		return err
	}
	if got == want {
		return nil
	}
	said, err := events(ctx, s.Env, obj)
	status, statusErr := show(obj, "{.status}")
	return errors.Join(fmt.Errorf("%s %s: %s is %q, want %q; events %q, status %s", s.class.Name, obj.GetName(), template, got, want, said, status), err, statusErr)
}

// container wants what a template makes of the status of a container, also of an init container.
func container(pod, name, template, want string) check {
	at := fmt.Sprintf("[?(@.name==%q)]", name)
	return field(pod, "{range .status.initContainerStatuses"+at+"}"+template+"{end}{range .status.containerStatuses"+at+"}"+template+"{end}", want)
}

// condition wants status and reason of a pod's condition.
func condition(pod, kind, want string) check {
	return field(pod, fmt.Sprintf("{range .status.conditions[?(@.type==%q)]}{.status} {.reason}{end}", kind), want)
}

func (s *stage) logs(ctx context.Context, pod, container string) (string, error) {
	obj, err := s.pod(ctx, pod)
	if err != nil {
		return "", err
	}
	data, err := s.Kube.CoreV1().Pods(s.namespace).GetLogs(obj.Name, &corev1.PodLogOptions{Container: container}).DoRaw(ctx)
	return string(data), err
}

// wrote wants these lines in a container's log, in any order.
func wrote(pod, container string, lines ...string) check {
	return func(ctx context.Context, s *stage) error {
		got, err := s.logs(ctx, pod, container)
		if err != nil {
			return err
		}
		for _, line := range lines {
			if !slices.Contains(strings.Split(got, "\n"), line) {
				return fmt.Errorf("%s %s/%s wrote\n%swithout the line %q", s.class.Name, pod, container, got, line)
			}
		}
		return nil
	}
}

// wroteAll wants the whole log.
func wroteAll(pod, container, want string) check {
	return func(ctx context.Context, s *stage) error {
		got, err := s.logs(ctx, pod, container)
		if err == nil && got != want {
			err = fmt.Errorf("%s %s/%s wrote %q, want %q", s.class.Name, pod, container, got, want)
		}
		return err
	}
}

// event wants one with all these parts, of a pod.
func event(pod string, parts ...string) check {
	return func(ctx context.Context, s *stage) error {
		obj, err := s.pod(ctx, pod)
		if err != nil {
			return err
		}
		return hasEvent(ctx, s.Env, obj, parts)
	}
}

// job wants what a template makes of a Job.
func job(name, template, want string) check {
	return func(ctx context.Context, s *stage) error {
		obj := &batchv1.Job{}
		if err := s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, obj); err != nil {
			return err
		}
		return s.shows(ctx, obj, template, want)
	}
}

// noCell wants that a pod's Cell is gone.
func noCell(pod string) check {
	return func(ctx context.Context, s *stage) error {
		obj, err := s.pod(ctx, pod)
		if err != nil {
			return err
		}
		if _, err := cellOf(ctx, s.Env, obj); err == nil {
			return fmt.Errorf("pod %s has a Cell", pod)
		}
		return nil
	}
}

// all wants one after the other, each once.
func all(checks ...check) check {
	return func(ctx context.Context, s *stage) error {
		for _, check := range checks {
			if err := polled(ctx, s, check); err != nil {
				return err
			}
		}
		return nil
	}
}

// patched changes an object, whose kind has a name like "v1 ConfigMap". REGISTRY is filled in.
func patched(kind, name, patch string, subresource ...string) check {
	return func(ctx context.Context, s *stage) error {
		obj := &unstructured.Unstructured{}
		version, kind, _ := strings.Cut(kind, " ")
		obj.SetAPIVersion(version)
		obj.SetKind(kind)
		obj.SetNamespace(s.namespace)
		obj.SetName(name)
		by := client.RawPatch(types.StrategicMergePatchType, []byte(strings.ReplaceAll(patch, "REGISTRY", s.Endpoints.Registry)))
		if len(subresource) == 0 {
			return s.Patch(ctx, obj, by)
		}
		return s.SubResource(subresource[0]).Patch(ctx, obj, by)
	}
}

// applied makes what is missing at first.
func applied(manifests string) check {
	return func(ctx context.Context, s *stage) error {
		if err := s.apply(ctx, manifests); !apierrors.IsAlreadyExists(err) {
			return err
		}
		return nil
	}
}

// deleted has a pod end as its own grace period says.
func deleted(pod string) check {
	return func(ctx context.Context, s *stage) error {
		obj, err := s.pod(ctx, pod)
		if err != nil {
			return client.IgnoreNotFound(err)
		}
		return client.IgnoreNotFound(s.Delete(ctx, obj))
	}
}

// missing wants that a pod is gone.
func missing(pod string) check {
	return func(ctx context.Context, s *stage) error {
		_, err := s.pod(ctx, pod)
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return err
		}
		return fmt.Errorf("pod %s is still there", pod)
	}
}

// later wants that one container ended so many seconds after another.
func later(pod, last, first string, seconds float64) check {
	end := func(obj *corev1.Pod, name string) (metav1.Time, error) {
		for _, status := range obj.Status.ContainerStatuses {
			if status.Name == name && status.State.Terminated != nil {
				return status.State.Terminated.FinishedAt, nil
			}
		}
		return metav1.Time{}, fmt.Errorf("container %s has not ended", name)
	}
	return func(ctx context.Context, s *stage) error {
		obj, err := s.pod(ctx, pod)
		if err != nil {
			return err
		}
		from, err := end(obj, first)
		if err != nil {
			return err
		}
		to, err := end(obj, last)
		if err == nil && to.Sub(from.Time).Seconds() < seconds {
			err = fmt.Errorf("%s ended at %s, %s at %s", first, from, last, to)
		}
		return err
	}
}
