package cell

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/pki"
)

// finding is what is known of a cell's agent: info once it has answered, else
// the last error.
type finding struct {
	info *itzo.Info
	err  error
	// lost: it has not answered for as long as it may.
	lost bool
	// kept: it has not, but neither have most others.
	kept bool
}

// prober asks the agents of booting cells, and of ready ones whose health is
// watched, each in a goroutine of its own, and makes an event when what is
// known of one changes.
type prober struct {
	agents Agents
	clock  clock.WithTicker
	events chan event.TypedGenericEvent[*v1beta1.Cell]

	base context.Context // the life of all probes
	end  context.CancelFunc

	mu     sync.Mutex
	probes map[types.UID]*probe
}

// probe is the asking of one agent. What is asked for stays as it is.
type probe struct {
	asked  question
	cancel context.CancelFunc
	found  finding
	// silence is of an agent that is watched.
	silence silence
}

// question: zero patience asks until the agent answers, else it is asked for as
// long as it answers at least that often.
type question struct {
	address  string
	id       pki.CellID
	patience time.Duration
}

func newProber(agents Agents, c clock.WithTicker) *prober {
	base, end := context.WithCancel(context.Background())
	return &prober{
		base: base, end: end, agents: agents, clock: c,
		events: make(chan event.TypedGenericEvent[*v1beta1.Cell]),
		probes: map[types.UID]*probe{},
	}
}

// Start binds the probes' life to the manager's.
func (p *prober) Start(ctx context.Context) error {
	<-ctx.Done()
	p.end()
	return nil
}

// probe gives what is known of the agent and, the first time, starts to ask it.
func (p *prober) probe(cell *v1beta1.Cell, asked question) finding {
	p.mu.Lock()
	defer p.mu.Unlock()
	if running := p.probes[cell.UID]; running != nil {
		if running.asked == asked {
			return running.found
		}
		running.cancel()
	}
	ctx, cancel := context.WithCancel(p.base)
	started := &probe{asked: asked, cancel: cancel, silence: silence{since: p.clock.Now()}}
	p.probes[cell.UID] = started
	go p.run(ctx, cell.DeepCopy(), started)
	return finding{}
}

// forget ends the asking.
func (p *prober) forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if running := p.probes[uid]; running != nil {
		running.cancel()
		delete(p.probes, uid)
	}
}

func (p *prober) run(ctx context.Context, cell *v1beta1.Cell, running *probe) {
	agent, err := p.agents.Client(running.asked.address, running.asked.id)
	if err != nil {
		p.report(ctx, cell, running, finding{err: err})
		return
	}
	if running.asked.patience > 0 {
		p.untilLost(ctx, cell, running, agent)
		return
	}
	for wait := probeFirst; ; wait = min(wait*3/2, probeMost) {
		found := p.ask(ctx, agent)
		p.report(ctx, cell, running, found)
		if found.info != nil || !p.rest(ctx, wait) {
			return
		}
	}
}

// untilLost asks an agent for as long as it answers often enough, or most do not.
func (p *prober) untilLost(ctx context.Context, cell *v1beta1.Cell, running *probe, agent *itzo.Client) {
	every := min(max(running.asked.patience/4, healthFirst), healthMost)
	for p.rest(ctx, every) {
		asked := p.clock.Now()
		found := p.ask(ctx, agent)
		if found.info != nil || errors.Is(found.err, errNoRuntime) {
			p.answers(running, asked)
			continue
		}
		lost, kept := p.silent(running, asked)
		if lost || kept {
			p.report(ctx, cell, running, finding{err: found.err, lost: lost, kept: kept})
		}
		if lost {
			return
		}
	}
}

// rest is false when ctx has ended.
func (p *prober) rest(ctx context.Context, d time.Duration) bool {
	timer := p.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}

func (p *prober) ask(ctx context.Context, agent *itzo.Client) finding {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	info, err := agent.Info(ctx)
	if itzo.IsCode(err, 404) {
		generation, err := agent.Generation(ctx)
		if err != nil {
			return finding{err: err}
		}
		info := generation.Info()
		return finding{info: &info}
	}
	if err != nil {
		return finding{err: err}
	}
	if info.Runtime.Version == "" {
		return finding{err: errNoRuntime}
	}
	return finding{info: &info}
}

// report keeps the finding, and makes an event when it matters to the Cell.
func (p *prober) report(ctx context.Context, cell *v1beta1.Cell, running *probe, found finding) {
	p.mu.Lock()
	before := running.found
	running.found = found
	p.mu.Unlock()
	if found.info == nil && !found.lost && !found.kept && identityDoubt(before.err) == identityDoubt(found.err) {
		return
	}
	select {
	case p.events <- event.TypedGenericEvent[*v1beta1.Cell]{Object: cell}:
	case <-ctx.Done():
	}
}

// errNoRuntime: the agent answers, but cannot run anything yet.
var errNoRuntime = errors.New("the container runtime of the cell does not answer yet")

func identityDoubt(err error) bool { return itzo.IsWrongIdentity(err) || itzo.IsRefused(err) }
