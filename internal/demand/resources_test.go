package demand_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/demand"
)

// list reads "cpu=1,memory=2Gi".
func list(s string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for pair := range strings.SplitSeq(s, ",") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			out[corev1.ResourceName(name)] = resource.MustParse(value)
		}
	}
	return out
}

func container(requests, limits string) corev1.Container {
	return corev1.Container{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: list(requests), Limits: list(limits)}}
}

func sidecar(requests string) corev1.Container {
	c := container(requests, "")
	c.RestartPolicy = ptr(corev1.ContainerRestartPolicyAlways)
	return c
}

func podOf(spec corev1.PodSpec) *corev1.Pod {
	p := annotated()
	spec.NodeName = p.Spec.NodeName
	p.Spec = spec
	return p
}

type sizing struct {
	spec corev1.PodSpec
	want string // "" is nil
}

// sizings are worked out by hand from the scheduler's rules: the sum over the
// containers and sidecars, or an init container with the sidecars before it
// where that is more, and the overhead on top.
func sizings() map[string]sizing {
	type containers = []corev1.Container
	return map[string]sizing{
		"nothing":                    {corev1.PodSpec{Containers: containers{container("", "")}}, ""},
		"zero":                       {corev1.PodSpec{Containers: containers{container("cpu=0,memory=0", "")}}, ""},
		"one":                        {corev1.PodSpec{Containers: containers{container("cpu=500m,memory=1Gi", "")}}, "cpu=500m,memory=1Gi"},
		"the sum":                    {corev1.PodSpec{Containers: containers{container("cpu=500m,memory=1Gi", ""), container("cpu=1", "")}}, "cpu=1500m,memory=1Gi"},
		"limits as requests":         {corev1.PodSpec{Containers: containers{container("", "cpu=2,memory=3Gi")}}, "cpu=2,memory=3Gi"},
		"requests before limits":     {corev1.PodSpec{Containers: containers{container("cpu=1", "cpu=2,memory=3Gi")}}, "cpu=1,memory=3Gi"},
		"a request of zero counts":   {corev1.PodSpec{Containers: containers{container("cpu=0,memory=1Gi", "cpu=2")}}, "memory=1Gi"},
		"a larger init container":    {corev1.PodSpec{InitContainers: containers{container("cpu=4", ""), container("memory=1Gi", "")}, Containers: containers{container("cpu=1,memory=2Gi", "")}}, "cpu=4,memory=2Gi"},
		"init containers, not added": {corev1.PodSpec{InitContainers: containers{container("cpu=2", ""), container("cpu=3", "")}, Containers: containers{container("cpu=1", "")}}, "cpu=3"},
		"limits of init containers":  {corev1.PodSpec{InitContainers: containers{container("", "cpu=3")}, Containers: containers{container("cpu=1", "")}}, "cpu=3"},
		"a sidecar":                  {corev1.PodSpec{InitContainers: containers{sidecar("cpu=2")}, Containers: containers{container("cpu=1", "")}}, "cpu=3"},
		"a sidecar before an init container": {corev1.PodSpec{
			InitContainers: containers{sidecar("cpu=2"), container("cpu=5", "")}, Containers: containers{container("cpu=1", "")}}, "cpu=7"},
		"a sidecar after an init container": {corev1.PodSpec{
			InitContainers: containers{container("cpu=5", ""), sidecar("cpu=2")}, Containers: containers{container("cpu=1", "")}}, "cpu=5"},
		"overhead": {corev1.PodSpec{Containers: containers{container("cpu=1,memory=1Gi", "")}, Overhead: list("cpu=250m,memory=120Mi")}, "cpu=1250m,memory=1144Mi"},
		"the pod's own": {corev1.PodSpec{Resources: &corev1.ResourceRequirements{Requests: list("cpu=3")},
			Containers: containers{container("cpu=1,memory=1Gi", ""), container("cpu=1", "")}}, "cpu=3,memory=1Gi"},
		"the pod's own limits": {corev1.PodSpec{Resources: &corev1.ResourceRequirements{Limits: list("cpu=3,memory=4Gi")},
			Containers: containers{container("cpu=1", "")}}, "cpu=3,memory=4Gi"},
		"the pod's own and overhead": {corev1.PodSpec{Resources: &corev1.ResourceRequirements{Requests: list("cpu=3")},
			Containers: containers{container("cpu=1", "")}, Overhead: list("cpu=1")}, "cpu=4"},
		"GPUs":                   {corev1.PodSpec{Containers: containers{container("", "nvidia.com/gpu=1"), container("", "nvidia.com/gpu=2")}}, "nvidia.com/gpu=3"},
		"Neuron devices":         {corev1.PodSpec{Containers: containers{container("cpu=1", "aws.amazon.com/neuron=1")}}, "cpu=1,aws.amazon.com/neuron=1"},
		"what no type is for":    {corev1.PodSpec{Containers: containers{container("hugepages-2Mi=2Mi,example.com/thing=1,memory=1Gi", "")}}, "memory=1Gi"},
		"thousandths of a byte":  {corev1.PodSpec{Containers: containers{container("memory=1500m", "")}}, "memory=1500m"},
		"as much as can be said": {corev1.PodSpec{Containers: containers{container("cpu=9e15,memory=7Ei", "")}}, "cpu=9e15,memory=7Ei"},
	}
}

func TestResources(t *testing.T) {
	for name, test := range sizings() {
		pod := podOf(test.spec)
		before := pod.DeepCopy()
		got := demand.Resources(pod)
		want := list(test.want)
		if (got == nil) != (len(want) == 0) || len(got) != len(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		for resource, amount := range want {
			if is := got[resource]; is.Cmp(amount) != 0 {
				t.Errorf("%s: %s of %s, want %s", name, &is, resource, &amount)
			}
		}
		if len(before.Spec.Containers[0].Resources.Requests) != len(pod.Spec.Containers[0].Resources.Requests) {
			t.Errorf("%s: the pod was changed", name)
		}
	}
}

func TestEphemeralStorage(t *testing.T) {
	class := func(size string) *v1beta1.CellClass {
		c := openClass()
		c.Status.Images = []v1beta1.ResolvedImage{{MinVolumeGiB: 8}, {MinVolumeGiB: 4}}
		if size != "" {
			c.Spec.DefaultVolumeSize = ptr(resource.MustParse(size))
		}
		return c
	}
	for name, test := range map[string]struct {
		asked, annotation string
		class             *v1beta1.CellClass
		refusal           string
	}{
		"none":                                {"", "", class("10Gi"), ""},
		"some":                                {"2Gi", "", class("10Gi"), ""},
		"no default":                          {"2Gi", "", class(""), ""},
		"no class":                            {"2Gi", "", nil, ""},
		"the annotation decides":              {"2Gi", "9Gi", class("10Gi"), ""},
		"the annotation, just enough":         {"5Gi", "9Gi", class("10Gi"), ""},
		"the annotation, too small":           {"5121Mi", "9Gi", class("10Gi"), "annotation pod.elotl.co/volume-size: 9Gi is less than the 5121Mi ephemeral-storage that the pod requests and the 4Gi of the machine image together"},
		"the annotation without class":        {"5Gi", "4Gi", nil, "4Gi is less than the 5Gi ephemeral-storage"},
		"as much as a volume holds":           {"16374Gi", "", class("10Gi"), ""},
		"as much beside the image":            {"16380Gi", "", class(""), ""},
		"more than any volume":                {"16375Gi", "", class("10Gi"), "the pod requests 16375Gi ephemeral-storage; with the 10Gi of the machine's own files it has to fit"},
		"more than any volume with the image": {"16381Gi", "", class("1Gi"), "with the 4Gi of the machine's own files"},
		"more than can be counted in 64 bits": {"8Ei", "", class("10Gi"), "fit into a volume of 16Ti"},
	} {
		pod := annotated()
		if test.annotation != "" {
			pod.Annotations[v1beta1.AnnotationVolumeSize] = test.annotation
		}
		pod.Spec.Containers = []corev1.Container{container("", "")}
		if test.asked != "" {
			pod.Spec.Containers[0] = container("", "ephemeral-storage="+test.asked)
		}
		got, refusals := demand.Of(pod, test.class, nil)
		if test.refusal != "" {
			if len(refusals) != 1 || refusals[0].Reason != v1beta1.ReasonInvalidVolumeSize || !strings.Contains(refusals[0].Message, test.refusal) {
				t.Errorf("%s: %v", name, refusals)
			}
			continue
		}
		if len(refusals) > 0 || (got.VolumeSize == nil) != (test.annotation == "") || got.VolumeSize != nil && got.VolumeSize.Cmp(resource.MustParse(test.annotation)) != 0 {
			t.Errorf("%s: a volume of %v, want %q; %v", name, got.VolumeSize, test.annotation, refusals)
		}
		if is := got.Resources.StorageEphemeral(); test.asked != "" && is.Cmp(resource.MustParse(test.asked)) != 0 || (len(got.Resources) > 0) != (test.asked != "") {
			t.Errorf("%s: resources %v", name, got.Resources)
		}
	}
}
