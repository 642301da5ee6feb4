package catalogue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kip.elotl.co/internal/cloud"
)

// How often each part is asked for again, and how soon after a failure, at
// first and at most.
const (
	typesEvery    = 6 * time.Hour
	onDemandEvery = 12 * time.Hour
	spotEvery     = 10 * time.Minute
	retryFirst    = 2 * time.Second
	retryMost     = 5 * time.Minute
	askTimeout    = 5 * time.Minute
	// spotPatience is how long the first Index waits for Spot prices, for which
	// there is only a poor estimate before.
	spotPatience = 10 * time.Second
	// memoryPause is the least time between two indices that only differ in how
	// much memory instances have.
	memoryPause = time.Second
)

// Start keeps the catalogue up to date until ctx ends.
func (c *Catalogue) Start(ctx context.Context) error {
	var running sync.WaitGroup
	for _, part := range c.parts() {
		running.Go(func() { c.keep(ctx, part) })
	}
	running.Go(func() {
		select {
		case <-c.wanted:
			c.keep(ctx, c.dedicatedPart())
		case <-ctx.Done():
		}
	})
	running.Go(func() { c.learnMemory(ctx) })
	running.Go(func() {
		c.rest(ctx, spotPatience)
		c.spotWasAsked()
	})
	running.Wait()
	return nil
}

// part is something that is asked for now and again.
type part struct {
	name  string
	every time.Duration
	ask   func(context.Context) error
}

func (c *Catalogue) parts() []part {
	return []part{
		{"instance types", typesEvery, func(ctx context.Context) error {
			types, err := c.Source.InstanceTypes(ctx)
			err = c.learn(err, len(types), func() { c.types = types })
			c.noTypes(err)
			return err
		}},
		{"on-demand prices", onDemandEvery, func(ctx context.Context) error {
			prices, err := c.Source.OnDemandPrices(ctx)
			return c.learn(err, len(prices), func() { c.onDemand = dated[map[string]float64]{prices, c.Clock.Now()} })
		}},
		{"spot prices", spotEvery, func(ctx context.Context) error {
			prices, err := c.Source.SpotPrices(ctx)
			err = c.learn(err, len(prices), func() {
				c.spot, c.spotAsked = dated[[]cloud.SpotPrice]{prices, c.Clock.Now()}, true
			})
			c.spotWasAsked()
			return err
		}},
	}
}

// dedicatedPart is asked for only where it is wanted.
func (c *Catalogue) dedicatedPart() part {
	return part{"on-demand prices of dedicated tenancy", onDemandEvery, func(ctx context.Context) error {
		prices, err := c.Source.DedicatedPrices(ctx)
		return c.learn(err, len(prices), func() { c.alone = dated[map[string]float64]{prices, c.Clock.Now()} })
	}}
}

// keep asks for a part for ever. What it cannot have it asks for again, less
// and less often; the log tells each reason once.
func (c *Catalogue) keep(ctx context.Context, p part) {
	retry, told := retryFirst, ""
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		err := p.ask(asking)
		cancel()
		wait := p.every
		if err == nil {
			retry, told = retryFirst, ""
		} else {
			wait, retry = retry, min(2*retry, retryMost)
		}
		if err != nil && err.Error() != told && ctx.Err() == nil {
			told = err.Error()
			c.Log.Info("cannot be had from the cloud for now: what was known before counts", "what", p.name, "error", told)
		}
		c.rest(ctx, wait)
	}
}

func (c *Catalogue) rest(ctx context.Context, d time.Duration) {
	timer := c.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-ctx.Done():
	}
}

// learn takes an answer in, unless there is none.
func (c *Catalogue) learn(err error, size int, take func()) error {
	if err == nil && size == 0 {
		err = errors.New("the answer is empty, which cannot be the whole truth about a region")
	}
	if err != nil {
		return withAction(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	take()
	c.rebuild()
	return nil
}

// noTypes notes why the types could not be had, nil when they could.
func (c *Catalogue) noTypes(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.typesErr = err
}

// withAction puts the IAM action that is missing first, where the error says so.
func withAction(err error) error {
	if action := cloud.MissingAction(err); action != "" {
		return fmt.Errorf("the IAM action %s is not allowed: %w", action, err)
	}
	return err
}

// spotWasAsked lets the first Index wait no longer.
func (c *Catalogue) spotWasAsked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.spotAsked {
		c.spotAsked = true
		c.rebuild()
	}
}

// learnMemory takes in what cells say of their memory, all that was said in a
// while at once.
func (c *Catalogue) learnMemory(ctx context.Context) {
	for {
		select {
		case <-c.Memory.changed:
		case <-ctx.Done():
			return
		}
		c.mu.Lock()
		c.rebuild()
		c.mu.Unlock()
		c.rest(ctx, memoryPause)
	}
}
