package ec2_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/throttle"
)

// limited sets limits that do not refill while a test runs.
func (c *cloud) limited(t *testing.T, limits map[string]throttle.Limits) {
	t.Helper()
	if err := c.limits.Set(throttle.Settings{Scale: 1, Limits: limits}); err != nil {
		t.Fatal(err)
	}
}

func TestRateLimits(t *testing.T) {
	c := newCloud(t)
	ids := c.run(t, count(4))
	c.limited(t, map[string]throttle.Limits{
		"RunInstances":       {Requests: throttle.Limit{Burst: 2}, Resources: throttle.Limit{Burst: 5}},
		"TerminateInstances": {Requests: throttle.Limit{Burst: 9}, Resources: throttle.Limit{Burst: 3}},
		"Describe":           {Requests: throttle.Limit{Burst: 2}}, "Unfiltered": {Requests: throttle.Limit{Burst: 1}},
	})
	_, err := c.RunInstances(t.Context(), launch(count(4)))
	wantCode(t, err, "")
	_, err = c.RunInstances(t.Context(), launch(count(2)))
	wantCode(t, err, "RequestLimitExceeded")
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.HTTPStatusCode() != http.StatusServiceUnavailable {
		t.Errorf("%v, want status 503", err)
	}
	c.run(t)
	_, err = c.RunInstances(t.Context(), launch())
	wantCode(t, err, "RequestLimitExceeded")

	for n, code := range []string{"", "RequestLimitExceeded"} {
		_, err = c.TerminateInstances(t.Context(), &sdk.TerminateInstancesInput{InstanceIds: ids[2*n : 2*n+2]})
		wantCode(t, err, code)
	}
	for _, code := range []string{"", "RequestLimitExceeded"} {
		_, err = c.DescribeImages(t.Context(), &sdk.DescribeImagesInput{})
		wantCode(t, err, code)
	}
	for _, code := range []string{"", "", "RequestLimitExceeded"} {
		_, err = c.DescribeImages(t.Context(), &sdk.DescribeImagesInput{MaxResults: aws.Int32(5)})
		wantCode(t, err, code)
	}
	entries := c.journal.Since(0, "TerminateInstances")
	if last := entries[len(entries)-1]; last.Code != "RequestLimitExceeded" || last.Fault != "limited" {
		t.Errorf("journal %+v", last)
	}
}

// Quotas are of a group of families and a market.
func TestQuotasByGroup(t *testing.T) {
	c := newCloud(t)
	if err := c.faults.Add(faults.Plan{Quotas: []faults.Quota{{Group: "standard", Market: "on-demand", VCPUs: 3}, {Group: "g", Market: "spot", VCPUs: 4}}}); err != nil {
		t.Fatal(err)
	}
	gpu := func(in *sdk.RunInstancesInput) { in.InstanceType = types.InstanceTypeG4dnXlarge }
	for _, test := range []struct {
		edits []func(*sdk.RunInstancesInput)
		code  string
	}{
		{nil, ""}, {nil, "VcpuLimitExceeded"}, {[]func(*sdk.RunInstancesInput){spotFor("9")}, ""}, {[]func(*sdk.RunInstancesInput){gpu}, ""},
		{[]func(*sdk.RunInstancesInput){gpu, spotFor("9")}, ""}, {[]func(*sdk.RunInstancesInput){gpu, spotFor("9")}, "MaxSpotInstanceCountExceeded"},
	} {
		_, err := c.RunInstances(t.Context(), launch(append(test.edits, inSubnet(c, 0))...))
		wantCode(t, err, test.code)
	}
}

func TestFullSubnet(t *testing.T) {
	c := newCloud(t)
	full := c.world.Catalog.Subnets[0]
	if err := c.faults.Add(faults.Plan{FullSubnets: []string{full.ID}}); err != nil {
		t.Fatal(err)
	}
	_, err := c.RunInstances(t.Context(), launch(inSubnet(c, 0)))
	wantCode(t, err, "InsufficientFreeAddressesInSubnet")
	out, err := c.DescribeSubnets(t.Context(), &sdk.DescribeSubnetsInput{SubnetIds: []string{full.ID}})
	if err != nil || *out.Subnets[0].AvailableIpAddressCount != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if i := c.one(t, c.run(t)[0]); *i.SubnetId == full.ID {
		t.Error("launched into the full subnet")
	}
}
