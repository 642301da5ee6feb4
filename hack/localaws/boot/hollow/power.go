package hollow

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// silenceAllowed is for how long nobody need ask the agent; 0: for ever.
func silenceAllowed(found map[string][]byte) (time.Duration, error) {
	content, ok := found[certDir+"power_off_after"]
	if !ok {
		return 0, nil
	}
	after, err := time.ParseDuration(string(content))
	if err != nil {
		return 0, fmt.Errorf("reading how long the operator may be silent: %w", err)
	}
	return after, nil
}

// power is a machine's switch. It keeps nothing longer than the machine.
type power struct {
	uptime func() time.Duration
	off    func()

	mu   sync.Mutex
	note []byte
}

func (b *Backend) newPower(off func()) *power {
	p := &power{uptime: b.config.Uptime, off: off}
	if p.uptime == nil {
		booted := time.Now()
		p.uptime = func() time.Duration { return time.Since(booted) }
	}
	return p
}

// Uptime implements agent.Power.
func (p *power) Uptime() time.Duration { return p.uptime() }

// LoadSilence implements agent.Power.
func (p *power) LoadSilence() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.note, nil
}

// SaveSilence implements agent.Power.
func (p *power) SaveSilence(note []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note = note
	return nil
}

// Off implements agent.Power.
func (p *power) Off(context.Context) error {
	p.off()
	return nil
}
