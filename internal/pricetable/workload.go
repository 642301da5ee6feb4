// Package pricetable says of pods that are only written down what Kip would
// launch for them, at which price, and why nothing else: the offerings in the
// order in which Kip would try them, and the types that it turns down.
package pricetable

import (
	"errors"
	"fmt"
	"io"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"kip.elotl.co/internal/admission"
)

// Workload is a pod of a manifest, or a kind that makes pods, with one of these.
type Workload struct {
	// Kind is Pod, Deployment, ReplicaSet, StatefulSet, DaemonSet, Job or CronJob.
	Kind string
	// Pod has the workload's name and namespace; the latter may be empty.
	Pod *corev1.Pod
}

// String names it as kubectl does, such as Deployment shop/web.
func (w Workload) String() string {
	name := w.Pod.Name
	if name == "" {
		name = w.Pod.GenerateName + "*"
	}
	if w.Pod.Namespace != "" {
		name = w.Pod.Namespace + "/" + name
	}
	return w.Kind + " " + name
}

// Read finds the workloads in a manifest: JSON or YAML of several documents,
// lists among them. Others names the objects that are none. The error says
// which document cannot be read and why: malformed, an object without kind, or
// a field that its kind does not have.
func Read(manifest io.Reader) (found []Workload, others []string, err error) {
	r := &reader{decoder: serializer.NewCodecFactory(clientgoscheme.Scheme, serializer.EnableStrict).UniversalDeserializer()}
	documents := yaml.NewYAMLOrJSONDecoder(manifest, lookahead)
	for n := 1; ; n++ {
		var document runtime.RawExtension
		err := documents.Decode(&document)
		if errors.Is(err, io.EOF) {
			return r.found, r.others, nil
		}
		if err == nil {
			err = r.take(document.Raw)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("document %d: %w", n, err)
		}
	}
}

// lookahead is by how many bytes JSON is told from YAML.
const lookahead = 4096

// reader collects what Read finds.
type reader struct {
	decoder runtime.Decoder
	found   []Workload
	others  []string
}

func (r *reader) take(raw []byte) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil // nothing between two separators
	}
	if raw[0] != '{' {
		return errors.New("is no object of Kubernetes, which has apiVersion and kind")
	}
	object, kind, err := r.decoder.Decode(raw, nil, nil)
	switch {
	case runtime.IsNotRegisteredError(err):
		r.others = append(r.others, kind.Kind)
		return nil
	case err != nil:
		return err
	}
	if list, ok := object.(*corev1.List); ok {
		for i, item := range list.Items {
			if err := r.take(item.Raw); err != nil {
				return fmt.Errorf("item %d: %w", i+1, err)
			}
		}
		return nil
	}
	pod := podOf(object)
	if pod == nil {
		r.others = append(r.others, kind.Kind)
		return nil
	}
	r.found = append(r.found, Workload{Kind: kind.Kind, Pod: pod})
	return nil
}

// podOf is the pod that an object is or makes, nil for other objects.
func podOf(object runtime.Object) *corev1.Pod {
	switch o := object.(type) {
	case *corev1.Pod:
		return o
	case *appsv1.Deployment:
		return fromTemplate(&o.ObjectMeta, &o.Spec.Template)
	case *appsv1.ReplicaSet:
		return fromTemplate(&o.ObjectMeta, &o.Spec.Template)
	case *appsv1.StatefulSet:
		return fromTemplate(&o.ObjectMeta, &o.Spec.Template)
	case *appsv1.DaemonSet:
		pod := fromTemplate(&o.ObjectMeta, &o.Spec.Template)
		owner := schema.GroupVersionKind{Group: appsv1.GroupName, Version: "v1", Kind: admission.KindDaemonSet}
		pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(o, owner)}
		return pod
	case *batchv1.Job:
		return fromTemplate(&o.ObjectMeta, &o.Spec.Template)
	case *batchv1.CronJob:
		return fromTemplate(&o.ObjectMeta, &o.Spec.JobTemplate.Spec.Template)
	}
	return nil
}

func fromTemplate(owner *metav1.ObjectMeta, template *corev1.PodTemplateSpec) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Name, pod.GenerateName, pod.Namespace = owner.Name, owner.GenerateName, owner.Namespace
	return pod
}
