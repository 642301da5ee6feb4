package cell

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"kip.elotl.co/api/v1beta1"
)

// TestImageOfEachArchitecture: the cheaper type is of arm64, with an image of
// 8 GiB, the class's default type of amd64, with one of 4 GiB.
func TestImageOfEachArchitecture(t *testing.T) {
	both := []string{"amd64", "arm64"}
	five := resource.MustParse("5Gi")
	for name, test := range map[string]struct {
		architectures []string
		edit          func(*v1beta1.Cell)
		want          string
		volumeGiB     string
	}{
		"none named":        {nil, func(*v1beta1.Cell) {}, "m5.large", "10"},
		"both in the class": {both, func(*v1beta1.Cell) {}, "m7g.medium", "10"},
		"a volume for one":  {both, func(c *v1beta1.Cell) { c.Spec.VolumeSize = &five }, "m5.large", "5"},
		"ephemeral storage": {both, func(c *v1beta1.Cell) { c.Spec.Resources["ephemeral-storage"] = resource.MustParse("3Gi") }, "m7g.medium", "13"},
	} {
		t.Run(name, func(t *testing.T) {
			b := market(t, map[string]float64{"m5.large": 0.10, "m7g.medium": 0.05}, nil, func(s *v1beta1.CellClassSpec) {
				ten := resource.MustParse("10Gi")
				s.Architectures, s.DefaultVolumeSize = test.architectures, &ten
				s.BootImageOverrides = []v1beta1.BootImageOverride{{Architecture: "arm64", Image: v1beta1.BootImageSpec{ImageIDs: "ami-0a11ce00000000003"}}}
			})
			b.booting(b.cell(needs("1", "1Gi"), test.edit))
			b.wantParams(map[string]string{"InstanceType": test.want, "BlockDeviceMapping.1.Ebs.VolumeSize": test.volumeGiB})
		})
	}
}
