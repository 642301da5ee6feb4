package ec2_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	clocktesting "k8s.io/utils/clock/testing"
)

func token(token string) func(*sdk.RunInstancesInput) {
	return func(in *sdk.RunInstancesInput) { in.ClientToken = aws.String(token) }
}

// Whatever parameter differs, the token is refused and nothing is launched.
func TestTokenWithOtherParameters(t *testing.T) {
	c := newCloud(t)
	id := c.run(t, token("one"), count(2))[0]
	tests := map[string]func(*sdk.RunInstancesInput){
		"count":     count(3),
		"min count": func(in *sdk.RunInstancesInput) { in.MinCount = aws.Int32(1) },
		"image":     func(in *sdk.RunInstancesInput) { in.ImageId = aws.String("ami-0c0ffee0000000001") },
		"type":      func(in *sdk.RunInstancesInput) { in.InstanceType = types.InstanceTypeT3Micro },
		"user data": func(in *sdk.RunInstancesInput) { in.UserData = aws.String("eA==") },
		"group":     func(in *sdk.RunInstancesInput) { in.SecurityGroups = []string{"default"} },
		"market": func(in *sdk.RunInstancesInput) {
			in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot}
		},
		"tag": func(in *sdk.RunInstancesInput) {
			in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("")}}}}
		},
		"what is no request": func(in *sdk.RunInstancesInput) { in.InstanceType = "t9.huge" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := c.RunInstances(t.Context(), launch(token("one"), count(2), change))
			wantCode(t, err, "IdempotentParameterMismatch")
		})
	}
	if ids := c.list(t); len(ids) != 2 || ids[0] != id {
		t.Errorf("instances %v", ids)
	}
}

// A token is forgotten when its launch failed, and is told apart by case.
func TestTokensThatAreFree(t *testing.T) {
	c := newCloud(t)
	_, err := c.RunInstances(t.Context(), launch(token("one"), count(60)))
	wantCode(t, err, "InsufficientFreeAddressesInSubnet")
	lower := c.run(t, token("one"))[0]
	if upper := c.run(t, token("ONE"))[0]; upper == lower {
		t.Error("the case of a token does not count")
	}
}

// A dry run answers for itself, whatever its token was used for.
func TestDryRunWithAToken(t *testing.T) {
	c := newCloud(t)
	dry := launch(token("one"), func(in *sdk.RunInstancesInput) { in.DryRun = aws.Bool(true) })
	_, err := c.RunInstances(t.Context(), dry)
	wantCode(t, err, "DryRunOperation")
	c.run(t, token("one"))
	_, err = c.RunInstances(t.Context(), dry)
	wantCode(t, err, "DryRunOperation")
	if ids := c.list(t); len(ids) != 1 {
		t.Errorf("instances %v", ids)
	}
}

func TestTokenOfATerminatedInstance(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	c := newCloud(t, withClock(clock))
	ids := c.run(t, token("one"), count(2))
	c.terminate(t, ids[0])
	c.inState(t, ids[0], types.InstanceStateNameTerminated)
	if again := c.run(t, token("one"), count(2)); again[0] != ids[0] || again[1] != ids[1] {
		t.Errorf("while one of %v is left the launch gives %v", ids, again)
	}
	c.terminate(t, ids[1])
	c.inState(t, ids[1], types.InstanceStateNameTerminated)
	_, err := c.RunInstances(t.Context(), launch(token("one"), count(2)))
	wantCode(t, err, "IdempotentInstanceTerminated")
	clock.Step(time.Hour)
	if fresh := c.run(t, token("one"), count(2)); fresh[0] == ids[0] {
		t.Error("the token is remembered for longer than its instances are listed")
	}
}

func TestTokenIsAtMost64ASCIICharacters(t *testing.T) {
	c := newCloud(t)
	for text, want := range map[string]string{
		strings.Repeat("x", 64): "", strings.Repeat("x", 65): "InvalidParameterValue", "naïve": "InvalidParameterValue", " ~": "",
	} {
		_, err := c.RunInstances(t.Context(), launch(token(text)))
		wantCode(t, err, want)
	}
}

// Of parallel calls with one token one request wins; all who made it get its
// instances, all others are refused.
func TestParallelCallsWithOneToken(t *testing.T) {
	c := newCloud(t)
	kinds := []types.InstanceType{types.InstanceTypeT3Nano, types.InstanceTypeT3Micro, types.InstanceTypeT3Small}
	var mu sync.Mutex
	got := map[string]types.InstanceType{}
	refused := 0
	var wg sync.WaitGroup
	for n := range 30 {
		wg.Go(func() {
			kind := kinds[n%len(kinds)]
			out, err := c.RunInstances(t.Context(), launch(token("one"), func(in *sdk.RunInstancesInput) { in.InstanceType = kind }))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				wantCode(t, err, "IdempotentParameterMismatch")
				refused++
				return
			}
			if shown := out.Instances[0].InstanceType; shown != kind {
				t.Errorf("asked for %s, got %s", kind, shown)
			}
			got[*out.Instances[0].InstanceId] = kind
		})
	}
	wg.Wait()
	if len(got) != 1 || refused != 20 || len(c.list(t)) != 1 {
		t.Errorf("instances %v, %d refused", got, refused)
	}
	if n := len(c.world.Instances()); n != 1 {
		t.Errorf("%d instances exist", n)
	}
}
