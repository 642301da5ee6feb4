package cell

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// fewestToCompare is of how many watched cells, at the least, the silence of
// most says more of the operator's own network than of the cells.
const fewestToCompare = 3

// silence is what is known of how long a watched agent has been silent. Times
// of answers are those at which the agent was asked.
type silence struct {
	// since is when it answered last, or when it was first watched.
	since time.Time
	// answered is when it answered last, failed when it first did not after that;
	// zero where that has not been.
	answered, failed time.Time
	// excused is when it was last silent together with most, zero when it was not
	// since it answered; kept: but for that it would have been given up.
	excused time.Time
	kept    bool
}

// answers notes that an agent answered when it was asked at that time.
func (p *prober) answers(running *probe, asked time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	running.silence, running.found = silence{since: asked, answered: asked}, finding{}
}

// silent notes that an agent did not answer. lost: it has been silent for as
// long as it may, while most others were not. kept: it is not given up, because
// they are too; that is said once.
func (p *prober) silent(running *probe, asked time.Time) (lost, kept bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, now, patience := &running.silence, p.clock.Now(), running.asked.patience
	if s.failed.IsZero() {
		s.failed = asked
	}
	quiet := now.Sub(s.since)
	if quiet >= patience/2 && p.mostAreSilent(s.failed) {
		s.excused = now
		kept = quiet >= patience && !s.kept
		s.kept = s.kept || kept
		return false, kept
	}
	lost = quiet >= patience && now.Sub(s.excused) >= patience
	return lost, false
}

// mostAreSilent says whether most of the watched agents have not answered when
// they were asked after that time; p.mu is held.
func (p *prober) mostAreSilent(after time.Time) bool {
	watched, silent := 0, 0
	for _, each := range p.probes {
		if each.asked.patience == 0 || each.found.lost {
			continue
		}
		watched++
		if !each.silence.answered.After(after) {
			silent++
		}
	}
	return watched >= fewestToCompare && 2*silent > watched
}

// cutOff says whether most of the watched agents are silent: then a silence says
// more of the operator's own network than of any cell.
func (p *prober) cutOff() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	watched, silent := 0, 0
	for _, each := range p.probes {
		if each.asked.patience > 0 && !each.found.lost {
			watched++
			if !each.silence.failed.IsZero() {
				silent++
			}
		}
	}
	return watched >= fewestToCompare && 2*silent > watched
}

// keptInSilence is how many cells are not given up, because most are silent.
func (p *prober) keptInSilence() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0.0
	for _, each := range p.probes {
		if each.silence.kept {
			n++
		}
	}
	return n
}

// metrics are those of the prober.
func (p *prober) metrics() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kip_cells_kept_in_silence",
		Help: "Cells whose agents have been silent for longer than their spec allows, and which are kept because most are: the operator's own network may be away.",
	}, p.keptInSilence)
}
