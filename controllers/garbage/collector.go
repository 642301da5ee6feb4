// Package garbage ends what this cluster has in the cloud and no Cell owns. It
// is a safety net: Cells end what is theirs.
package garbage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/internal/cloud"
)

const (
	// DefaultMinAge is how old what nobody owns must be at least, unless told
	// otherwise.
	DefaultMinAge = 15 * time.Minute
	// mostBetween is how long there is at most between two looks. There are two at
	// least before something is ended.
	mostBetween = 10 * time.Minute
	// lookTimeout bounds one look, all its calls included.
	lookTimeout = 5 * time.Minute
	// removedAtOnce is how many things are ended at the same time: their calls
	// share requests.
	removedAtOnce = 50
)

// Cloud is what the collector needs of the cloud.
type Cloud interface {
	cloud.Leftovers
	FindByTags(ctx context.Context, tags map[string]string) ([]cloud.Instance, error)
	Terminate(ctx context.Context, id string) error
	Secrets(ctx context.Context, path string, tags map[string]string) ([]cloud.SecretInfo, error)
	DeleteSecrets(ctx context.Context, names []string) error
}

// Options are what a Collector is made of.
type Options struct {
	// Live reads around the cache.
	Live   client.Reader
	Cloud  Cloud
	Events events.EventRecorder
	Clock  clock.WithTicker
	Log    logr.Logger
	// Metrics takes the collector's metrics; nil: nobody does.
	Metrics prometheus.Registerer
	// Tags are on all that this cluster makes in the cloud, and on nothing else.
	Tags map[string]string
	// Namespace is the operator's own. Events are about it where there is no class
	// that they could be about.
	Namespace string
	// ReportOnly: nothing is ended.
	ReportOnly bool
	// MinAge is how old what nobody owns must be before it is ended.
	MinAge time.Duration
}

// Collector finds what no Cell owns, tells of it, and ends it.
type Collector struct {
	Options
	metrics metrics
	// seen is since when things have belonged to no Cell at each look.
	seen map[key]time.Time
	// told are the things that an event was made of, with its text.
	told map[key]string
	// routes are those that could not be ended before their instances were: the
	// cloud does not say any more whose they are.
	routes map[key]orphan
}

// New makes a Collector; the manager runs it, on the leader. An error where
// its metrics cannot be registered.
func New(options Options) (*Collector, error) {
	c := &Collector{Options: options, metrics: newMetrics(), seen: map[key]time.Time{}, told: map[key]string{}, routes: map[key]orphan{}}
	if options.Metrics == nil {
		return c, nil
	}
	return c, c.metrics.register(options.Metrics)
}

// NeedLeaderElection says that only the leader collects.
func (c *Collector) NeedLeaderElection() bool { return true }

// Start looks again and again until ctx ends.
func (c *Collector) Start(ctx context.Context) error {
	ticker := c.Clock.NewTicker(c.between())
	defer ticker.Stop()
	for {
		if err := c.look(ctx); err != nil && ctx.Err() == nil {
			c.Log.Error(err, "Not all that no Cell owns could be found, or ended")
		}
		select {
		case <-ticker.C():
		case <-ctx.Done():
			return nil
		}
	}
}

// between is how long there is between two looks.
func (c *Collector) between() time.Duration { return min(mostBetween, 2*c.MinAge/3) }

// look lists the cloud before the cluster, so that what is made meanwhile is
// not taken for garbage. Where the cluster cannot be read nothing is done, and
// what was seen before does not count any more.
func (c *Collector) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	found, cloudErr := c.survey(ctx)
	cells, err := c.readCells(ctx)
	if err != nil {
		clear(c.seen)
		return errors.Join(cloudErr, err)
	}
	orphans := found.orphans(cells)
	orphans = c.withRoutes(orphans)
	kept, err := c.remove(ctx, c.ripe(orphans))
	c.metrics.found(orphans, kept)
	if cloudErr == nil && err == nil {
		c.metrics.looked(c.Clock.Now())
	}
	return errors.Join(cloudErr, err)
}

// withRoutes adds the routes that could not be ended before.
func (c *Collector) withRoutes(orphans []orphan) []orphan {
	known := map[key]bool{}
	for _, o := range orphans {
		known[o.key] = true
	}
	for k, route := range c.routes {
		if !known[k] {
			orphans = append(orphans, route)
		}
	}
	return orphans
}

// ripe are those that are old enough, and were seen at the last look too.
// Where the cloud does not say how old something is, its age counts from when
// it was first seen.
func (c *Collector) ripe(orphans []orphan) []orphan {
	now, seen := c.Clock.Now(), map[key]time.Time{}
	var ripe []orphan
	for _, o := range orphans {
		first, before := c.seen[o.key]
		if !before {
			first = now
		}
		seen[o.key] = first
		since := o.created
		if since.IsZero() {
			since = first
		}
		if before && now.Sub(since) >= c.MinAge {
			ripe = append(ripe, o)
		}
	}
	for k := range c.told {
		if _, still := seen[k]; !still {
			delete(c.told, k)
		}
	}
	c.seen = seen
	return ripe
}

// remove ends what may be ended, one kind after the other, and says what is
// not.
func (c *Collector) remove(ctx context.Context, ripe []orphan) (kept []orphan, err error) {
	var problems []error
	for _, kind := range kinds() {
		var these []orphan
		for _, o := range ripe {
			switch {
			case o.kind != kind:
			case o.refuse != "":
				c.tellKept(ctx, o, o.refuse)
				kept = append(kept, o)
			case c.ReportOnly:
				c.tellFound(ctx, o)
				kept = append(kept, o)
			default:
				these = append(these, o)
			}
		}
		for i, err := range c.removeAll(ctx, these) {
			o := these[i]
			if err == nil {
				delete(c.routes, o.key)
				c.tellRemoved(ctx, o)
				continue
			}
			if kind == kindRoute {
				c.routes[o.key] = o
			}
			problems = append(problems, fmt.Errorf("ending %s: %w", o, err))
			c.tellKept(ctx, o, err.Error())
			kept = append(kept, o)
		}
	}
	return kept, errors.Join(problems...)
}

func (c *Collector) removeAll(ctx context.Context, orphans []orphan) []error {
	failed := make([]error, len(orphans))
	var group errgroup.Group
	group.SetLimit(removedAtOnce)
	for i, o := range orphans {
		group.Go(func() error {
			failed[i] = o.remove(ctx, c.Cloud)
			return nil
		})
	}
	_ = group.Wait() // what failed is told by thing
	return failed
}
