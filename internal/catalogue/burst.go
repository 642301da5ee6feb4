package catalogue

import (
	"strings"

	"kip.elotl.co/internal/selection"
)

// What CPU above the baseline costs, in USD per vCPU and hour, Linux
// (aws.amazon.com/ec2/pricing/on-demand, T2/T3/T4g unlimited mode).
const (
	surplusT2T3 = 0.05
	surplusT4g  = 0.04
)

// burstOf gives a burstable type's baseline. EC2's API does not tell it; a size
// that is not known is taken to have a baseline of nothing, so that all of its
// CPU is paid for.
func burstOf(name string, milliCPU int64) *selection.Burst {
	family, size, _ := strings.Cut(name, ".")
	surplus := surplusT2T3
	if family == "t4g" {
		surplus = surplusT4g
	}
	return &selection.Burst{BaselineMilliCPU: milliCPU * baseline(family, size) / 100_000, SurplusPerVCPUHour: surplus}
}

// baseline is the part of each vCPU that is given for good, in thousandths of
// a percent
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-credits-baseline-concepts.html).
func baseline(family, size string) int64 {
	switch {
	case family == "t2" && size == "xlarge":
		return 22_500
	case family == "t2" && size == "2xlarge":
		return 16_875
	case size == "micro":
		return 10_000
	}
	switch size {
	case "nano":
		return 5_000
	case "small", "medium":
		return 20_000
	case "large":
		return 30_000
	case "xlarge", "2xlarge":
		return 40_000
	}
	return 0
}
