package cell

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/world"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/test/fixture"
)

// TestTokenReusedByNothing: the cloud says that the token was used, and never
// shows an instance. After a time the next attempt is made.
func TestTokenReusedByNothing(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "RunInstances", Code: "IdempotentParameterMismatch"}}})
	cell := b.unready(b.cell(), v1beta1.ReasonCloudError, "attempt 1", "client token", "10m0s")
	b.clock.Advance(reusedVisible - time.Minute)
	b.pokeAndWait(cell)
	if is := b.unready(cell, v1beta1.ReasonCloudError, "attempt 1"); is.ResourceVersion == "" || len(is.Status.Attempts) != 1 {
		t.Errorf("attempts %+v", is.Status.Attempts)
	}
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "RunInstances", Code: "IdempotentParameterMismatch", Count: 1}}})
	b.clock.Advance(2 * time.Minute)
	b.poke(cell)
	b.wait(cell, "the first attempt has ended", func(is *v1beta1.Cell) error {
		if is.Status.Attempts[0].Code != codeAbandoned {
			return fmt.Errorf("attempts %+v", is.Status.Attempts)
		}
		return nil
	})
	b.clock.Advance(refusedFirst)
	b.poke(cell)
	is := b.booting(cell)
	b.wantOneLaunch(is)
	if diff := cmp.Diff([]string{codeAbandoned, ""}, attemptCodes(is)); diff != "" {
		t.Errorf("codes of the attempts (-want +got):\n%s", diff)
	}
}

// hidingCloud launches what the first token asks for, and neither says so nor
// shows it by the token.
type hidingCloud struct {
	Cloud
	mu     sync.Mutex
	hidden string
}

func (h *hidingCloud) hides(token string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hidden == token
}

func (h *hidingCloud) Launch(ctx context.Context, request cloud.LaunchRequest) (cloud.Instance, error) {
	h.mu.Lock()
	if h.hidden == "" {
		h.hidden = request.ClientToken
	}
	h.mu.Unlock()
	instance, err := h.Cloud.Launch(ctx, request)
	if err == nil && h.hides(request.ClientToken) {
		return cloud.Instance{}, &cloud.Error{Kind: cloud.KindTokenReused, Code: "IdempotentParameterMismatch", Action: "ec2:RunInstances"}
	}
	return instance, err
}

func (h *hidingCloud) FindByToken(ctx context.Context, token string) (cloud.Instance, error) {
	if h.hides(token) {
		return cloud.Instance{}, cloud.NotFound("ec2:DescribeInstances", token)
	}
	return h.Cloud.FindByToken(ctx, token)
}

// TestHiddenInstanceEndsWithItsCell: what shows after its attempt was given up
// is nobody's, but not for longer than the Cell lives.
func TestHiddenInstanceEndsWithItsCell(t *testing.T) {
	b := newBench(t)
	b.wrap = func(o *Options) { o.Cloud = &hidingCloud{Cloud: o.Cloud} }
	b.start().readyClass()
	cell := b.unready(b.cell(), v1beta1.ReasonCloudError, "client token")
	b.clock.Advance(reusedVisible)
	b.poke(cell)
	b.wait(cell, "the first attempt has ended", func(is *v1beta1.Cell) error {
		if is.Status.Attempts[0].EndTime == nil {
			return fmt.Errorf("attempts %+v", is.Status.Attempts)
		}
		return nil
	})
	b.clock.Advance(refusedFirst)
	b.poke(cell)
	b.booting(cell)
	if live := b.cloud.Live(cell); len(live) != 2 {
		t.Fatalf("live instances %+v", live)
	}
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(t, b, cell)
	for _, instance := range b.cloud.Instances(cell) {
		if instance.State != world.Terminated {
			t.Errorf("instance %s is %s", instance.ID, instance.State.Name)
		}
	}
}

// TestHiddenInstanceOfAForgottenAttempt: it ends with its Cell, also when its
// attempt is no longer among those that the status keeps.
func TestHiddenInstanceOfAForgottenAttempt(t *testing.T) {
	b := newBench(t)
	b.wrap = func(o *Options) { o.Cloud = &hidingCloud{Cloud: o.Cloud} }
	b.start()
	b.readyClass()
	cell := b.unready(b.cell(), v1beta1.ReasonCloudError, "client token")
	b.clock.Advance(reusedVisible)
	for n := range int32(keptAttempts + 1) {
		b.poke(cell)
		b.wait(cell, fmt.Sprintf("attempt %d has ended", n+1), func(is *v1beta1.Cell) error {
			if lastNumber(is) != n+1 || openAttempt(is) != nil {
				return fmt.Errorf("attempts %+v", is.Status.Attempts)
			}
			return nil
		})
		if n == 0 {
			b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "RunInstances", Code: "InvalidParameterValue"}}})
		}
		b.clock.Advance(refusedMost)
	}
	b.cloud.Spoil(t, faults.Plan{})
	b.poke(cell)
	if is := b.booting(cell); slices.Contains(attemptCodes(is), codeAbandoned) {
		t.Fatalf("the status keeps all attempts %+v", is.Status.Attempts)
	}
	if live := b.cloud.Live(cell); len(live) != 2 {
		t.Fatalf("live instances %+v", live)
	}
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(t, b, cell)
	if live := b.cloud.Live(cell); len(live) > 0 {
		t.Errorf("live instances %+v", live)
	}
}

// TestLostReplyThenRefusal: the launch takes effect, its answer never comes, and
// the same call is refused when it is repeated.
func TestLostReplyThenRefusal(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	b.cloud.Spoil(t, faults.Plan{LostReplies: []faults.Loss{{Action: "RunInstances"}}})
	cell := b.unready(b.cell(), v1beta1.ReasonCloudError)
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "RunInstances", Code: "UnauthorizedOperation"}}})
	b.unready(cell, v1beta1.ReasonNotAuthorized)
	if live := b.cloud.Live(cell); len(live) != 1 {
		t.Fatalf("live instances %+v", live)
	}
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(t, b, cell)
	if live := b.cloud.Live(cell); len(live) > 0 {
		t.Errorf("live instances %+v", live)
	}
}

// TestCallsOfEarlierProcesses: what another process called, and when, is not
// known: it counts from when this one came to look.
func TestCallsOfEarlierProcesses(t *testing.T) {
	clock := &fixture.Clock{}
	calls := newLaunchCalls(clock)
	clock.Advance(time.Hour) // as a replica that was not the leader
	if since := calls.since("a"); since > time.Minute {
		t.Errorf("%s since the last call, which may have been just now", since)
	}
	clock.Advance(time.Hour)
	if since := calls.since("a"); since < time.Hour {
		t.Errorf("%s since the last call", since)
	}
	calls.note("a")
	if since := calls.since("a"); since > time.Minute {
		t.Errorf("%s since a call that was just made", since)
	}
}
