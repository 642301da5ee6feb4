package ec2_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	clocktesting "k8s.io/utils/clock/testing"

	"kip.elotl.co/hack/localaws/world"
)

func (c *cloud) terminate(t *testing.T, ids ...string) *sdk.TerminateInstancesOutput {
	t.Helper()
	out, err := c.TerminateInstances(t.Context(), &sdk.TerminateInstancesInput{InstanceIds: ids})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTerminate(t *testing.T) {
	c := newCloud(t)
	ids := c.run(t, count(3))
	for _, id := range ids {
		c.inState(t, id, types.InstanceStateNameRunning)
	}
	for _, bad := range []struct {
		ids  []string
		code string
	}{
		{[]string{ids[0], "i-00000000000000000"}, "InvalidInstanceID.NotFound"},
		{[]string{ids[0], "vm-1"}, "InvalidInstanceID.Malformed"},
	} {
		_, err := c.TerminateInstances(t.Context(), &sdk.TerminateInstancesInput{InstanceIds: bad.ids})
		wantCode(t, err, bad.code)
	}
	if n := c.backend.Running(); n != 3 {
		t.Fatalf("a refused call left %d of 3 machines", n)
	}
	out := c.terminate(t, ids[0], ids[2])
	if len(out.TerminatingInstances) != 2 || out.TerminatingInstances[0].PreviousState.Name != types.InstanceStateNameRunning ||
		out.TerminatingInstances[0].CurrentState.Name != types.InstanceStateNameShuttingDown {
		t.Errorf("answer %+v", out.TerminatingInstances)
	}
	i := c.inState(t, ids[0], types.InstanceStateNameTerminated)
	if i.PrivateIpAddress != nil || i.SubnetId != nil || len(i.NetworkInterfaces) != 0 || *i.StateReason.Code != "Client.UserInitiatedShutdown" ||
		!strings.HasPrefix(*i.StateTransitionReason, "User initiated (") {
		t.Errorf("terminated instance %+v", i)
	}
	c.inState(t, ids[2], types.InstanceStateNameTerminated)
	if n := c.backend.Running(); n != 1 {
		t.Errorf("%d machines run", n)
	}
	again := c.terminate(t, ids[0])
	if again.TerminatingInstances[0].PreviousState.Name != types.InstanceStateNameTerminated {
		t.Errorf("terminating again: %+v", again.TerminatingInstances)
	}
}

func TestTerminateWhileBooting(t *testing.T) {
	c := newCloud(t)
	release := c.backend.Hold()
	defer release()
	id := c.run(t)[0]
	c.terminate(t, id)
	c.inState(t, id, types.InstanceStateNameTerminated)
	release()
	if n := c.backend.Running(); n != 0 {
		t.Errorf("%d machines run", n)
	}
}

func TestTerminationProtection(t *testing.T) {
	c := newCloud(t)
	id := c.run(t, func(in *sdk.RunInstancesInput) { in.DisableApiTermination = aws.Bool(true) })[0]
	_, err := c.TerminateInstances(t.Context(), &sdk.TerminateInstancesInput{InstanceIds: []string{id}})
	wantCode(t, err, "OperationNotPermitted")
}

func TestGuestShutsDown(t *testing.T) {
	for behavior, want := range map[types.ShutdownBehavior]types.InstanceStateName{
		types.ShutdownBehaviorTerminate: types.InstanceStateNameTerminated,
		types.ShutdownBehaviorStop:      types.InstanceStateNameStopped,
		"":                              types.InstanceStateNameStopped,
	} {
		t.Run(string(behavior), func(t *testing.T) {
			c := newCloud(t)
			id := c.run(t, func(in *sdk.RunInstancesInput) { in.InstanceInitiatedShutdownBehavior = behavior })[0]
			c.inState(t, id, types.InstanceStateNameRunning)
			c.backend.End(id)
			i := c.inState(t, id, want)
			if *i.StateReason.Code != "Client.InstanceInitiatedShutdown" {
				t.Errorf("reason %s", *i.StateReason.Code)
			}
			c.terminate(t, id)
			c.inState(t, id, types.InstanceStateNameTerminated)
		})
	}
}

func TestBootFails(t *testing.T) {
	c := newCloud(t)
	c.backend.Fail(1)
	id := c.run(t)[0]
	if i := c.inState(t, id, types.InstanceStateNameTerminated); *i.StateReason.Code != "Server.InternalError" {
		t.Errorf("reason %s", *i.StateReason.Code)
	}
}

func TestDelaysAndConsistency(t *testing.T) {
	fake := clocktesting.NewFakeClock(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	c := newCloud(t, withClock(fake), func(w *world.Config) {
		w.PendingDelay, w.ShutdownDelay, w.ConsistencyDelay = 10*time.Second, 7*time.Second, 3*time.Second
	})
	id := c.run(t)[0]
	describe := func() error {
		_, err := c.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{InstanceIds: []string{id}})
		return err
	}
	wantCode(t, describe(), "InvalidInstanceID.NotFound")
	_, err := c.CreateTags(t.Context(), &sdk.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
	wantCode(t, err, "InvalidInstanceID.NotFound")
	if l := c.list(t); len(l) != 0 {
		t.Errorf("listed before it is known: %v", l)
	}
	eventually(t, fake.HasWaiters, "the pending delay")
	fake.Step(3 * time.Second)
	wantCode(t, describe(), "")
	if i := c.one(t, id); i.State.Name != types.InstanceStateNamePending {
		t.Errorf("state %s", i.State.Name)
	}
	fake.Step(7 * time.Second)
	c.inState(t, id, types.InstanceStateNameRunning)

	c.terminate(t, id)
	eventually(t, fake.HasWaiters, "the shutdown delay")
	if i := c.one(t, id); i.State.Name != types.InstanceStateNameShuttingDown || i.PrivateIpAddress == nil {
		t.Errorf("state %s", i.State.Name)
	}
	fake.Step(7 * time.Second)
	c.inState(t, id, types.InstanceStateNameTerminated)
	fake.Step(time.Hour - time.Second)
	wantCode(t, describe(), "")
	fake.Step(time.Second)
	wantCode(t, describe(), "InvalidInstanceID.NotFound")
	if l := c.list(t); len(l) != 0 {
		t.Errorf("listed after an hour: %v", l)
	}
}
