package selection_test

import (
	"testing"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
)

// TestArchitectureForAll: what the node of a class says is what pods that name
// no architecture can get.
func TestArchitectureForAll(t *testing.T) {
	const amd64, arm64 = selection.AMD64, selection.ARM64
	for name, test := range map[string]struct {
		of   selection.Architectures // of the default type
		gpus int64
		edit func(*selection.Class)
		want selection.Architectures
	}{
		"the default type's":           {arm64, 0, func(*selection.Class) {}, arm64},
		"the only one allowed":         {amd64, 0, func(c *selection.Class) { c.Architectures = arm64 }, arm64},
		"both allowed":                 {arm64, 0, func(c *selection.Class) { c.Architectures = amd64 | arm64 }, arm64},
		"the only one with an image":   {amd64, 0, func(c *selection.Class) { c.Images = c.Images[1:] }, arm64},
		"the only one of types":        {amd64, 0, func(c *selection.Class) { c.Allowed = []string{"m6g*", "g*"}; c.Excluded = []string{"g4*"} }, arm64},
		"an image for GPUs alone":      {amd64, 0, func(c *selection.Class) { c.Images[0].Accelerator = v1beta1.AcceleratorNvidia }, arm64},
		"a default type with GPUs":     {amd64, 1, func(c *selection.Class) { c.Images[0].Accelerator = v1beta1.AcceleratorNvidia }, amd64},
		"a default type without image": {0, 0, func(*selection.Class) {}, amd64},
		"no type":                      {amd64, 0, func(c *selection.Class) { c.Excluded = []string{"*"} }, 0},
	} {
		f := small()
		f.add("m6g.large", 0.05, "a").Architectures = arm64
		f.add("m6g.xlarge", 0.1, "a").Architectures = arm64
		f.add("g4dn.large", 0.5, "a").GPUs = 1
		test.edit(&f.class)
		if got := f.rules().Architecture(&selection.Type{Architectures: test.of, GPUs: test.gpus}); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
