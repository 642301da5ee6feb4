package launchmark

import (
	"strconv"
	"testing"
	"time"
)

func TestAttempt(t *testing.T) {
	for name, test := range map[string]struct {
		token string
		tags  map[string]string
		want  int32
	}{
		"as the tags say":        {Token("a", 2), map[string]string{TagAttempt: "2"}, 2},
		"beyond what is tried":   {Token("a", attemptsTried+7), map[string]string{TagAttempt: strconv.Itoa(attemptsTried + 7)}, attemptsTried + 7},
		"tags say another":       {Token("a", 2), map[string]string{TagAttempt: "3"}, 2},
		"tags say nothing":       {Token("a", 40), nil, 40},
		"another Cell's":         {Token("b", 2), map[string]string{TagAttempt: "2"}, 0},
		"somebody's own token":   {"mine", map[string]string{TagAttempt: "2"}, 0},
		"launched without token": {"", map[string]string{TagAttempt: "0"}, 0},
	} {
		got, ok := Attempt("a", test.token, test.tags)
		if got != test.want || ok != (test.want > 0) {
			t.Errorf("%s: attempt %d, %v; want %d", name, got, ok, test.want)
		}
	}
}

func TestToken(t *testing.T) {
	if n := len(Token("0f0e0d0c-0b0a-0908-0706-050403020100", 1<<31-1)); n > 64 {
		t.Errorf("a token of %d characters; EC2 takes 64", n)
	}
	if Token("a", 11) == Token("a1", 1) {
		t.Error("two attempts have one token")
	}
}

func TestMadeAtLaunch(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	tags := map[string]string{TagStarted: "1700000000"}
	for after, want := range map[time.Duration]bool{
		0: true, 10 * time.Minute: true, callsLast: true, callsLast + time.Second: false, -startSlack: true, -2 * startSlack: false, 24 * time.Hour: false,
	} {
		if got := MadeAtLaunch(start.Add(after), tags); got != want {
			t.Errorf("%s after the start: %v", after, got)
		}
	}
	if MadeAtLaunch(start, nil) || MadeAtLaunch(start, map[string]string{TagStarted: "soon"}) {
		t.Error("nothing is told of its start")
	}
}
