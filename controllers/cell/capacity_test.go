package cell

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/faults"
)

// TestManyDryOfferings: a Cell that walks more offerings than are kept in its
// status says how many they were.
func TestManyDryOfferings(t *testing.T) {
	b := market(t, fivePrices, nil)
	b.cloud.Spoil(t, faults.Plan{Capacity: []faults.Dry{{}}})
	is := b.unready(b.cell(needs("1", "1Gi")), v1beta1.ReasonNoCapacity, "last of 15 attempts, r5.large")
	if n := len(is.Status.Attempts); n != keptAttempts || is.Status.Attempts[n-1].Number != 15 || is.Status.Attempts[0].Number != 6 {
		t.Errorf("%d attempts %+v", n, is.Status.Attempts)
	}
	if calls := b.cloud.Calls("RunInstances"); len(calls) != 15 {
		t.Errorf("%d launches", len(calls))
	}
}

// TestZoneWithoutVolumes: all types go to the other zones, those of a class with
// other volumes do not; where no zone has any left, that is said.
func TestZoneWithoutVolumes(t *testing.T) {
	b := newBench(t).start()
	none := faults.Refusal{Action: "RunInstances", Code: "InsufficientVolumeCapacity", Message: "There is not enough capacity to fulfill your EBS volume provision request.", Count: 1}
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{none}})
	b.class()
	first := b.ready(b.cell())
	if diff := cmp.Diff([]string{none.Code, ""}, attemptCodes(first)); diff != "" || first.Status.Zone == first.Status.Attempts[0].Zone {
		t.Errorf("zone %s, codes of the attempts (-want +got):\n%s", first.Status.Zone, diff)
	}
	second := b.ready(b.cell(suffixed("-2"), func(c *v1beta1.Cell) { c.Spec.InstanceType = "t3.micro" }))
	if len(second.Status.Attempts) != 1 || second.Status.Zone == first.Status.Attempts[0].Zone {
		t.Errorf("attempts of the second %+v", second.Status.Attempts)
	}
	none.Count = 2
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{none}})
	b.unready(b.cell(suffixed("-3")), v1beta1.ReasonNoVolumes, "t3.nano", "type gp3", "spec.aws.rootVolume.type", subnetC, "us-east-1a, us-east-1b, us-east-1c", none.Code)
	b.unready(b.cell(suffixed("-4")), v1beta1.ReasonNoVolumes, "type gp3", "us-east-1a")
	edit(b, &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: b.name}}, func(c *v1beta1.CellClass) { c.Spec.AWS.RootVolume.Type = "gp2" })
	b.ready(b.cell(suffixed("-5")))
}

// TestTenancyHasItsOwnCapacity: what is dry for dedicated tenancy is not for shared.
func TestTenancyHasItsOwnCapacity(t *testing.T) {
	b := newBench(t).start()
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "RunInstances", Code: "InsufficientInstanceCapacity", Count: 3}}})
	class := b.class(func(s *v1beta1.CellClassSpec) { s.AWS.Tenancy = "dedicated"; s.DefaultInstanceType = "m5.large" })
	b.unready(b.cell(), v1beta1.ReasonNoCapacity, "last of 3 attempts")
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.AWS.Tenancy = "default" })
	if is := b.ready(b.cell(suffixed("-2"))); len(is.Status.Attempts) != 1 {
		t.Errorf("attempts %+v", is.Status.Attempts)
	}
}

// TestQuotaHasRoomForLess: where a large type goes over a quota, small ones of
// the same group are launched, and the large one is left alone for a while.
func TestQuotaHasRoomForLess(t *testing.T) {
	b := market(t, map[string]float64{"m5.large": 0.10, "m5.4xlarge": 0.80}, nil)
	b.cloud.Spoil(t, faults.Plan{VCPULimits: map[string]int{"on-demand": 8}})
	large := b.cell(needs("10", "1Gi"))
	b.unready(large, v1beta1.ReasonNoCapacity, "last of 1 attempts, m5.4xlarge", "VcpuLimitExceeded")
	for _, suffix := range []string{"-2", "-3"} {
		if is := b.ready(b.cell(suffixed(suffix), needs("1", "1Gi"))); is.Status.InstanceType != "m5.large" || len(is.Status.Attempts) != 1 {
			t.Errorf("%s after attempts %q", is.Status.InstanceType, attemptCodes(is))
		}
	}
	b.unready(b.cell(suffixed("-4"), needs("10", "1Gi")), v1beta1.ReasonNoCapacity, "m5.4xlarge")
	if calls := b.cloud.Calls("RunInstances"); len(calls) != 3 {
		t.Errorf("%d launches", len(calls))
	}
}

// TestTypesAreNotToBeHad: the Cell says which IAM action is missing.
func TestTypesAreNotToBeHad(t *testing.T) {
	b := newBench(t)
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "DescribeInstanceTypes", Code: "UnauthorizedOperation"}}})
	b.start().class()
	cell := b.cell()
	b.unready(cell, v1beta1.ReasonCatalogueNotReady, b.name, "the IAM action ec2:DescribeInstanceTypes is not allowed")
	b.cloud.Spoil(t, faults.Plan{})
	b.ready(cell)
}
