package main

import (
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// number is the sample of every integer; as a mode of files it lets others read.
const number = 4

// special are values to try for fields whose text has a meaning, by the end of their path.
func special() map[string][]string {
	resources := []string{"cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "nvidia.com/gpu"}
	return map[string][]string{
		"resources.limits":   resources,
		"resources.requests": resources,
		"containers[].image": {"registry.example/image", "registry:5000/image"},
		"fieldRef.fieldPath": {
			"metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations",
			"metadata.labels['key']", "metadata.annotations['key']", "spec.nodeName", "spec.serviceAccountName",
			"status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs",
		},
		"resourceFieldRef.resource": {
			"limits.cpu", "limits.memory", "limits.ephemeral-storage", "limits.hugepages-2Mi",
			"requests.cpu", "requests.memory", "requests.ephemeral-storage", "requests.hugepages-2Mi",
		},
		"sysctls[].name": {"kernel.shm_rmid_forced", "kernel.msgmax", "fs.mqueue.msg_max", "net.ipv4.ip_forward", "vm.swappiness", "kernel.pid_max"},
		"httpGet.scheme": {"HTTP", "HTTPS"},
	}
}

// sample is one value of a field; its label is empty where any value is meant.
type sample struct {
	label string
	set   func(reflect.Value)
}

// samples are the values to try for a field of a type.
func (n *node) samples(constants map[string][]string) []sample {
	for end, values := range special() {
		if strings.HasSuffix(n.path(), end) {
			return strungs(values)
		}
	}
	t := n.of
	switch {
	case t.Kind() == reflect.Bool:
		return []sample{{"true", setAny}, {"false", func(v reflect.Value) { setBool(v, false) }}}
	case t.Kind() == reflect.String && len(constants[t.Name()]) > 0:
		return strungs(constants[t.Name()])
	}
	return []sample{{set: setAny}}
}

func strungs(values []string) []sample {
	var all []sample
	for _, value := range values {
		all = append(all, sample{value, func(v reflect.Value) { setString(v, value) }})
	}
	return all
}

func setBool(v reflect.Value, value bool) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	v.SetBool(value)
}

// setString also takes a value for the key of a map.
func setString(v reflect.Value, value string) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		setString(v.Elem(), value)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf(value).Convert(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	default:
		v.SetString(value)
	}
}

// scalars are samples of the structs that are one value in JSON.
func scalars() map[reflect.Type]any {
	return map[reflect.Type]any{
		reflect.TypeFor[resource.Quantity]():  *resource.NewQuantity(number, resource.DecimalSI),
		reflect.TypeFor[intstr.IntOrString](): intstr.FromInt32(number),
		reflect.TypeFor[metav1.Time]():        metav1.Unix(number, 0),
	}
}

func setAny(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		setAny(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		setAny(v.Index(0))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64, reflect.Uint8:
		v.Set(reflect.ValueOf(number).Convert(v.Type()))
	case reflect.Struct:
		v.Set(reflect.ValueOf(scalars()[v.Type()]))
	default:
		setString(v, "something")
	}
}

// companion is what a field is nothing without.
type companion struct {
	// with is what the page says of it; empty: the API asks for it, too.
	with string
	add  func(*corev1.Pod, *node)
}

func (n *node) companion() companion {
	switch {
	case strings.HasSuffix(n.path(), "ports[].hostPort"):
		return companion{"with `hostNetwork`", func(pod *corev1.Pod, n *node) {
			pod.Spec.HostNetwork = true
			structIn(n.parent.in(pod)).FieldByName("ContainerPort").SetInt(number)
		}}
	case strings.HasSuffix(n.path(), "rofile.localhostProfile"):
		return companion{"", func(pod *corev1.Pod, n *node) {
			structIn(n.parent.in(pod)).FieldByName("Type").SetString("Localhost")
		}}
	}
	return companion{"", func(*corev1.Pod, *node) {}}
}
