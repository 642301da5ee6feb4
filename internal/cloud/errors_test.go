package cloud

import (
	"errors"
	"fmt"
	"testing"
)

func TestErrorText(t *testing.T) {
	cause := errors.New("connection refused")
	for want, err := range map[string]*Error{
		"ec2:RunInstances: VcpuLimitExceeded: too many": {Action: "ec2:RunInstances", Code: "VcpuLimitExceeded", Message: "too many", Err: cause},
		"Unsupported":        {Code: "Unsupported"},
		"connection refused": {Err: cause},
		`ec2:DescribeSubnets: "subnet-1" does not exist`: NotFound("ec2:DescribeSubnets", "subnet-1"),
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if err := error(&Error{Err: cause}); !errors.Is(err, cause) {
		t.Error("the cause is not to be found")
	}
}

func TestKindOf(t *testing.T) {
	missing := fmt.Errorf("describing: %w", NotFound("ec2:DescribeInstances", "i-1"))
	for name, c := range map[string]struct {
		err      error
		kind     Kind
		notFound bool
	}{
		"wrapped":        {missing, KindNotFound, true},
		"of another":     {errors.New("x"), KindTransient, false},
		"other kind":     {&Error{Kind: KindQuota}, KindQuota, false},
		"nil is no kind": {nil, KindTransient, false},
	} {
		if KindOf(c.err) != c.kind || IsNotFound(c.err) != c.notFound {
			t.Errorf("%s: kind %d, not found %v", name, KindOf(c.err), IsNotFound(c.err))
		}
		if got := IgnoreNotFound(c.err); c.notFound != (got == nil && c.err != nil) {
			t.Errorf("%s: IgnoreNotFound gives %v", name, got)
		}
	}
}

func TestMissingAction(t *testing.T) {
	of := func(kind Kind, code string) error {
		return fmt.Errorf("asking: %w", &Error{Kind: kind, Code: code, Action: "ec2:RunInstances"})
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"EC2's":             {of(KindUnauthorized, "UnauthorizedOperation"), "ec2:RunInstances"},
		"other services'":   {of(KindUnauthorized, "AccessDeniedException"), "ec2:RunInstances"},
		"wrong credentials": {of(KindUnauthorized, "AuthFailure"), ""},
		"throttled":         {of(KindThrottled, "RequestLimitExceeded"), ""},
		"none":              {nil, ""},
	} {
		if got := MissingAction(c.err); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestLive(t *testing.T) {
	for state, want := range map[State]bool{
		StatePending: true, StateRunning: true, StateStopping: true, StateStopped: true, StateShuttingDown: false, StateTerminated: false,
	} {
		if state.Live() != want {
			t.Errorf("%s: live %v", state, state.Live())
		}
	}
}
