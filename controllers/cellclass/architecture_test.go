package cellclass

import (
	"testing"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
)

// TestDefaultArchitecture: what the node says is what pods that name none get.
func TestDefaultArchitecture(t *testing.T) {
	none := func(arch string) v1beta1.ResolvedImage {
		return v1beta1.ResolvedImage{Architecture: arch, Accelerator: v1beta1.AcceleratorNone}
	}
	nvidia := func(arch string) v1beta1.ResolvedImage {
		return v1beta1.ResolvedImage{Architecture: arch, Accelerator: v1beta1.AcceleratorNvidia}
	}
	type images = []v1beta1.ResolvedImage
	for name, test := range map[string]struct {
		of      selection.Architectures
		gpus    int64
		allowed []string
		images  images
		want    string
	}{
		"the default type's":           {selection.ARM64, 0, nil, images{none("amd64"), none("arm64")}, "arm64"},
		"the only one allowed":         {selection.AMD64, 0, []string{"arm64"}, images{none("amd64"), none("arm64")}, "arm64"},
		"both allowed":                 {selection.ARM64, 0, []string{"amd64", "arm64"}, images{none("amd64"), none("arm64")}, "arm64"},
		"the only one with an image":   {selection.AMD64, 0, nil, images{none("arm64")}, "arm64"},
		"an image for GPUs alone":      {selection.AMD64, 0, nil, images{nvidia("amd64"), none("arm64")}, "arm64"},
		"a default type with GPUs":     {selection.AMD64, 1, nil, images{nvidia("amd64"), none("arm64")}, "amd64"},
		"a default type without image": {0, 0, nil, images{none("amd64"), none("arm64")}, "amd64"},
		"no image that is allowed":     {selection.AMD64, 0, []string{"arm64"}, images{none("amd64")}, ""},
	} {
		class := &v1beta1.CellClass{Spec: v1beta1.CellClassSpec{Architectures: test.allowed}, Status: v1beta1.CellClassStatus{Images: test.images}}
		if got := defaultArchitecture(class, &selection.Type{Architectures: test.of, GPUs: test.gpus}); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
