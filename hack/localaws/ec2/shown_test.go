package ec2_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/hack/localaws/world"
)

func spot(in *sdk.RunInstancesInput) {
	in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot}
}

func withPublicIP(in *sdk.RunInstancesInput) {
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0), AssociatePublicIpAddress: aws.Bool(true)}}
}

// What a terminated Spot instance is shown as, a filter finds it by.
func TestLifecycleOutlastsTheInstance(t *testing.T) {
	c := newCloud(t)
	id := c.run(t, spot)[0]
	c.run(t)
	c.terminate(t, id)
	if i := c.inState(t, id, types.InstanceStateNameTerminated); i.InstanceLifecycle != types.InstanceLifecycleTypeSpot {
		t.Errorf("lifecycle %q", i.InstanceLifecycle)
	}
	if diff := cmp.Diff([]string{id}, c.list(t, filter("instance-lifecycle", "spot"))); diff != "" {
		t.Error(diff)
	}
}

// The names are those of "DNS attributes for your VPC" in the VPC user guide.
func TestNamesByRegion(t *testing.T) {
	for region, want := range map[string][]string{
		"us-east-1":    {"ip-10-9-0-4.ec2.internal", "ec2-203-0-113-1.compute-1.amazonaws.com"},
		"eu-central-1": {"ip-10-9-0-4.eu-central-1.compute.internal", "ec2-203-0-113-1.eu-central-1.compute.amazonaws.com"},
	} {
		c := newCloud(t, inRegion(t, region))
		i := c.one(t, c.run(t, withPublicIP)[0])
		if diff := cmp.Diff(want, []string{*i.PrivateDnsName, *i.PublicDnsName}); diff != "" {
			t.Error(diff)
		}
		n := i.NetworkInterfaces[0]
		if diff := cmp.Diff(want, []string{*n.PrivateDnsName, *n.Association.PublicDnsName}); diff != "" {
			t.Error(diff)
		}
	}
}

// DescribeInstanceStatus has filters of its own, and none for tags.
func TestStatusFilters(t *testing.T) {
	c := newCloud(t)
	a, b := c.run(t, inSubnet(c, 0))[0], c.run(t, inSubnet(c, 1), tagged(types.ResourceTypeInstance, "k", "v"))[0]
	for _, id := range []string{a, b} {
		c.inState(t, id, types.InstanceStateNameRunning)
	}
	tests := []struct {
		filter types.Filter
		want   []string
		code   string
	}{
		{filter("availability-zone", "us-east-1b"), []string{b}, ""},
		{filter("availability-zone-id", "use1-az1"), []string{a}, ""},
		{filter("instance-state-code", "16"), []string{a, b}, ""},
		{filter("instance-state-name", "stopped"), nil, ""},
		{filter("instance-status.status", "ok"), []string{a, b}, ""},
		{filter("instance-status.reachability", "passed"), []string{a, b}, ""},
		{filter("system-status.status", "impaired", "o?"), []string{a, b}, ""},
		{filter("system-status.reachability", "failed"), nil, ""},
		{filter("tag:k", "v"), nil, "InvalidParameterValue"},
		{filter("tag-key", "k"), nil, "InvalidParameterValue"},
		{filter("instance-id", a), nil, "InvalidParameterValue"},
		{filter("vpc-id", "*"), nil, "InvalidParameterValue"},
	}
	for _, test := range tests {
		t.Run(*test.filter.Name, func(t *testing.T) {
			out, err := c.DescribeInstanceStatus(t.Context(), &sdk.DescribeInstanceStatusInput{Filters: []types.Filter{test.filter}})
			wantCode(t, err, test.code)
			if err != nil {
				return
			}
			var got []string
			for _, s := range out.InstanceStatuses {
				got = append(got, *s.InstanceId)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStatusOfWhatDoesNotRun(t *testing.T) {
	c := newCloud(t)
	release := c.backend.Hold()
	defer release()
	id := c.run(t)[0]
	ask := func(all bool) []types.InstanceStatus {
		t.Helper()
		out, err := c.DescribeInstanceStatus(t.Context(), &sdk.DescribeInstanceStatusInput{InstanceIds: []string{id}, IncludeAllInstances: aws.Bool(all)})
		if err != nil {
			t.Fatal(err)
		}
		return out.InstanceStatuses
	}
	if s := ask(false); len(s) != 0 {
		t.Errorf("a pending instance has a status: %+v", s)
	}
	if s := ask(true); len(s) != 1 || s[0].InstanceState.Name != types.InstanceStateNamePending || s[0].InstanceStatus.Status != types.SummaryStatusNotApplicable {
		t.Errorf("status %+v", s)
	}
}

// At most 100 instances can be named (API reference of DescribeInstanceStatus).
func TestStatusOfTooMany(t *testing.T) {
	c := newCloud(t)
	ids := c.run(t, func(in *sdk.RunInstancesInput) { in.MaxCount = aws.Int32(50) })
	ids = append(append(ids, ids...), ids[0])
	for n, want := range map[int]string{100: "", 101: "InvalidParameterValue"} {
		_, err := c.DescribeInstanceStatus(t.Context(), &sdk.DescribeInstanceStatusInput{InstanceIds: ids[:n]})
		wantCode(t, err, want)
	}
}

// inRegion moves the world to another region.
func inRegion(t *testing.T, region string) option {
	return func(w *world.Config) { w.Catalog = newCatalog(t, region, "10.9.0.0/24") }
}
