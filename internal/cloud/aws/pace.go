package aws

import "time"

const (
	// leastShare is how slow a bucket gets, as a share of its full rate.
	leastShare = 1.0 / 32
	// settle is how long a halved rate takes back to what EC2 is thought to
	// allow, and probe how long it takes from there to twice as much.
	settle = 10 * time.Second
	probe  = 4 * time.Minute
	// caution is what is left of an estimate of EC2's rate, which lies a little
	// too high about half of the time.
	caution = 0.97
	// measureFor is how long the calls are counted of which EC2's rate is
	// estimated: a rate that has changed since does not spoil it for longer.
	measureFor = 2 * time.Minute
)

// pace is the rate, in tokens per second, that a bucket is filled at. When EC2
// refuses a call, the rate is halved. It comes back to what EC2 seems to allow
// within seconds, and then goes up slowly, to find out whether EC2 allows more,
// so that few calls are refused.
//
// What EC2 allows is measured: whenever it refuses a call, its own bucket is
// empty, so that between two refusals as many calls passed as it had tokens
// filled in.
type pace struct {
	full float64

	// slowed is when the rate was halved last, zero for never; from, to what,
	// and goal, the rate that EC2 is thought to allow.
	slowed     time.Time
	from, goal float64
	// since is the refusal that passed, the tokens of calls that EC2 let
	// through, is counted from.
	since  time.Time
	passed float64
}

// at is the rate at a time.
func (p *pace) at(now time.Time) float64 {
	if p.slowed.IsZero() {
		return p.full
	}
	elapsed := now.Sub(p.slowed)
	if elapsed < settle {
		left := 1 - elapsed.Seconds()/settle.Seconds()
		return p.goal - (p.goal-p.from)*left*left*left
	}
	probing := (elapsed - settle).Seconds() / probe.Seconds()
	return min(p.full, p.goal*(1+probing*probing))
}

// slowDown halves the rate because of a call that was sent at a time and
// refused. Refusals of calls that were under way when the rate was halved tell
// nothing new: then it does nothing.
func (p *pace) slowDown(sent, now time.Time) bool {
	if !sent.After(p.slowed) {
		return false
	}
	rate := p.at(now)
	p.goal = rate
	measured := now.Sub(p.since)
	if !p.since.IsZero() {
		// EC2's bucket holds less than one token at either end.
		estimate := (p.passed + 0.5) / max(measured, time.Millisecond).Seconds() * caution
		p.goal = min(rate, max(estimate, rate/2))
	}
	if p.since.IsZero() || measured >= measureFor {
		p.since, p.passed = now, 0
	}
	least := p.full * leastShare
	p.goal = max(p.goal, least)
	p.from, p.slowed = max(p.goal/2, least), now
	return true
}

// rested notes that nobody waited for a while: EC2's bucket has run over
// meanwhile, and nothing can be told from how many calls passed.
func (p *pace) rested() { p.since = time.Time{} }
