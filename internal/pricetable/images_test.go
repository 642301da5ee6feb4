package pricetable

import (
	"strings"
	"testing"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
)

// bothArchitectures is a class with an image of 4 GiB for amd64, its default
// type's architecture, and one of 12 GiB for arm64, whose type is cheaper.
func bothArchitectures(edit ...func(*v1beta1.CellClass)) *v1beta1.CellClass {
	return class(append([]func(*v1beta1.CellClass){func(c *v1beta1.CellClass) {
		arm := c.Status.Images[0]
		arm.Architecture, arm.ID, arm.MinVolumeGiB = "arm64", "ami-0123456789abcdef1", 12
		c.Status.Images, c.Status.Architecture = append(c.Status.Images, arm), "amd64"
		c.Spec.InstanceTypes.Allowed = []v1beta1.TypePattern{"m*", "g*", "x*"}
	}}, edit...)...)
}

// armGPU is a region that has a GPU on arm64 beside that on amd64.
func armGPU() *region {
	r := aRegion()
	for i := range r.types {
		if r.types[i].Name == "m6g.large" {
			g5g := r.types[i]
			g5g.Name, g5g.GPUs, g5g.VCPUs = "g5g.xlarge", 1, 4
			r.types = append(r.types, g5g)
		}
	}
	r.more = map[string]float64{"g5g.xlarge": 0.42}
	return r
}

const halfCPU = `containers: [{name: web, image: nginx, resources: {requests: {cpu: 500m, memory: 1Gi}}}]`

// TestArchitecture: a pod that names none gets the one that its node is
// labelled with, unless the class says that its images are for both.
func TestArchitecture(t *testing.T) {
	both := func(c *v1beta1.CellClass) { c.Spec.Architectures = []string{"amd64", "arm64"} }
	for name, test := range map[string]struct {
		metadata, spec string
		class          *v1beta1.CellClass
		want           string
	}{
		"none named":     {"", `{` + halfCPU + `}`, bothArchitectures(), "m5.large"},
		"both in class":  {"", `{` + halfCPU + `}`, bothArchitectures(both), "m6g.large"},
		"selector":       {"", `{nodeSelector: {kubernetes.io/arch: arm64}, ` + halfCPU + `}`, bothArchitectures(), "m6g.large"},
		"another":        {"", `{nodeSelector: {topology.kubernetes.io/zone: us-east-1a}, ` + halfCPU + `}`, bothArchitectures(), "m5.large"},
		"exact type":     {annotated(v1beta1.AnnotationInstanceType, "m6g.large"), `{` + halfCPU + `}`, bothArchitectures(), "m6g.large"},
		"pattern":        {annotated(v1beta1.AnnotationInstanceType, "m*"), `{` + halfCPU + `}`, bothArchitectures(), "m5.large"},
		"pattern of arm": {annotated(v1beta1.AnnotationInstanceType, "m6g*"), `{` + halfCPU + `}`, bothArchitectures(), "m6g.large"},
	} {
		t.Run(name, func(t *testing.T) {
			quote, err := loaded(t, aRegion()).Quote(pod(t, test.metadata, test.spec), test.class)
			if err != nil || len(quote.Offers) == 0 || quote.Offers[0].InstanceType != test.want {
				t.Errorf("quote %+v, error %v, want %s", quote, err, test.want)
			}
		})
	}
}

// TestOtherArchitectureWouldDo: what would be right is said.
func TestOtherArchitectureWouldDo(t *testing.T) {
	quote, err := loaded(t, aRegion()).Quote(pod(t, "", small), bothArchitectures(func(c *v1beta1.CellClass) {
		c.Spec.InstanceTypes.Allowed = []v1beta1.TypePattern{"m6g*"}
	}))
	if err != nil || quote.Problem == nil || quote.Problem.Step != selection.StepArchitecture {
		t.Fatalf("quote %+v, error %v", quote, err)
	}
	for _, text := range []string{"m6g.large", "arm64", "amd64", "spec.architectures", "node selector"} {
		if !strings.Contains(quote.Problem.Message, text) {
			t.Errorf("%q lacks %q", quote.Problem.Message, text)
		}
	}
}

// TestAcceleratorsImage: a type with GPUs is not booted from an image without
// drivers where the class has one with them.
func TestAcceleratorsImage(t *testing.T) {
	of := bothArchitectures(func(c *v1beta1.CellClass) {
		nvidia := c.Status.Images[0]
		nvidia.ID, nvidia.Accelerator = "ami-0123456789abcdef2", v1beta1.AcceleratorNvidia
		c.Status.Images, c.Spec.Architectures = append(c.Status.Images, nvidia), []string{"amd64", "arm64"}
	})
	quote, err := loaded(t, armGPU()).Quote(pod(t, annotated(v1beta1.AnnotationInstanceType, "g*"), small), of)
	if err != nil || len(quote.Offers) == 0 || quote.Offers[0].InstanceType != "g4dn.xlarge" || quote.Offers[0].ImageID != "ami-0123456789abcdef2" {
		t.Fatalf("quote %+v, error %v", quote, err)
	}
	for _, r := range quote.Rejected {
		if r.InstanceType == "g5g.xlarge" && r.Step != selection.StepImage {
			t.Errorf("g5g.xlarge is turned down at %s: %s", r.Step, r.Reason)
		}
	}
}

// TestVolumeOfAnImage: that of the image that is booted counts, not that of the
// cheapest type's.
func TestVolumeOfAnImage(t *testing.T) {
	of := bothArchitectures(func(c *v1beta1.CellClass) { c.Spec.Architectures = []string{"amd64", "arm64"} })
	quote, err := loaded(t, aRegion()).Quote(pod(t, annotated(v1beta1.AnnotationVolumeSize, "5Gi"), small), of)
	if err != nil || len(quote.Offers) == 0 || quote.Offers[0].InstanceType != "m5.large" || quote.Counted.VolumeGiB != 5 {
		t.Fatalf("quote %+v, error %v", quote, err)
	}
	for _, r := range quote.Rejected {
		if r.InstanceType == "m6g.large" && (r.Step != selection.StepImage || !strings.Contains(r.Reason, "12Gi") || !strings.Contains(r.Reason, "5Gi")) {
			t.Errorf("m6g.large is turned down at %s: %s", r.Step, r.Reason)
		}
	}
}

// TestEphemeralStorageGrowsWithTheImage: the request comes on top of what the
// machine itself takes.
func TestEphemeralStorageGrowsWithTheImage(t *testing.T) {
	const spec = `{containers: [{name: web, image: nginx, resources: {requests: {cpu: 500m, ephemeral-storage: 3Gi}}}]}`
	for image, want := range map[int32]int32{4: 13, 12: 15} {
		quote, err := loaded(t, aRegion()).Quote(pod(t, "", spec), class(func(c *v1beta1.CellClass) { c.Status.Images[0].MinVolumeGiB = image }))
		if err != nil || len(quote.Offers) == 0 || quote.Counted.VolumeGiB != want {
			t.Errorf("an image of %dGi: quote %+v, error %v, want a volume of %dGi", image, quote, err, want)
		}
	}
	_, err := loaded(t, aRegion()).Quote(pod(t, annotated(v1beta1.AnnotationVolumeSize, "6Gi"), spec), class())
	for _, text := range []string{v1beta1.AnnotationVolumeSize, "6Gi", "3Gi", "4Gi"} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v lacks %q", err, text)
		}
	}
	quote, err := loaded(t, aRegion()).Quote(pod(t, "", `{containers: [{name: web, image: nginx, resources: {requests: {ephemeral-storage: 3Gi}}}]}`), class())
	if err != nil || !quote.Counted.ByDefault {
		t.Errorf("nothing but ephemeral-storage: quote %+v, error %v", quote, err)
	}
}
