package catalogue

import (
	"strings"

	"kip.elotl.co/internal/selection"
)

// quotaOf is the group of families that a type shares a vCPU quota with; there
// is one quota for each group and market
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html#ec2-on-demand-instances-limits,
// docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-limits.html).
func quotaOf(instanceType string, market selection.Market) string {
	family, _, _ := strings.Cut(instanceType, ".")
	if market == selection.Spot && strings.HasPrefix(family, "p5") {
		return "p5"
	}
	for _, group := range []struct{ name, prefix string }{
		{"high-memory", "u-"}, {"high-memory", "u7"}, {"dl", "dl"}, {"hpc", "hpc"}, {"inf", "inf"}, {"trn", "trn"},
		{"g-vt", "vt"}, {"g-vt", "g"}, {"f", "f"}, {"p", "p"}, {"x", "x"}, {"mac", "mac"},
	} {
		if strings.HasPrefix(family, group.prefix) {
			return group.name
		}
	}
	return "standard"
}
