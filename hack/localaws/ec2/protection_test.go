package ec2_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func inSubnet(c *cloud, n int) func(*sdk.RunInstancesInput) {
	return func(in *sdk.RunInstancesInput) { in.SubnetId = aws.String(c.world.Catalog.Subnets[n].ID) }
}

func protected(in *sdk.RunInstancesInput) { in.DisableApiTermination = aws.Bool(true) }

// The example of the API reference of TerminateInstances: the protection of
// one instance saves the others named that are in its zone, and only those.
func TestProtectionIsByZone(t *testing.T) {
	c := newCloud(t)
	a, b := c.run(t, inSubnet(c, 0))[0], c.run(t, inSubnet(c, 0))[0]
	p, d := c.run(t, inSubnet(c, 1), protected)[0], c.run(t, inSubnet(c, 1))[0]
	for _, id := range []string{a, b, p, d} {
		c.inState(t, id, types.InstanceStateNameRunning)
	}
	_, err := c.TerminateInstances(t.Context(), &sdk.TerminateInstancesInput{InstanceIds: []string{d, p, b, a}})
	wantCode(t, err, "OperationNotPermitted")
	for _, id := range []string{a, b} {
		c.inState(t, id, types.InstanceStateNameTerminated)
	}
	for _, id := range []string{p, d} {
		if s := c.one(t, id).State.Name; s != types.InstanceStateNameRunning {
			t.Errorf("%s is %s", id, s)
		}
	}
	c.terminate(t, d)
	c.inState(t, d, types.InstanceStateNameTerminated)
}

// An unknown instance fails the whole call, in every zone.
func TestAnUnknownInstanceSavesAll(t *testing.T) {
	c := newCloud(t)
	a, b := c.run(t, inSubnet(c, 0))[0], c.run(t, inSubnet(c, 1))[0]
	_, err := c.TerminateInstances(t.Context(), &sdk.TerminateInstancesInput{InstanceIds: []string{a, b, "i-00000000"}})
	wantCode(t, err, "InvalidInstanceID.NotFound")
	for _, id := range []string{a, b} {
		c.inState(t, id, types.InstanceStateNameRunning)
	}
}

// Protection is from the API only: a guest that shuts down ends its instance.
func TestProtectionIsFromTheAPIOnly(t *testing.T) {
	c := newCloud(t)
	id := c.run(t, protected, func(in *sdk.RunInstancesInput) {
		in.InstanceInitiatedShutdownBehavior = types.ShutdownBehaviorTerminate
	})[0]
	c.inState(t, id, types.InstanceStateNameRunning)
	c.backend.End(id)
	c.inState(t, id, types.InstanceStateNameTerminated)
	c.terminate(t, id)
}
