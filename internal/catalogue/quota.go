package catalogue

import "strings"

// quotaOf is the group of families that a type shares a vCPU quota with; there
// is one quota for each group and market
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html#ec2-on-demand-instances-limits).
func quotaOf(instanceType string) string {
	family, _, _ := strings.Cut(instanceType, ".")
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
