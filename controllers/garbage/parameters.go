// Package garbage ends what this cluster has in the cloud and no Cell owns. It
// is a safety net: Cells end what is theirs.
package garbage

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
)

const (
	// every is how often to look.
	every = 10 * time.Minute
	// minAge is how old what nobody owns must be at least: a Cell may come to
	// own it.
	minAge = 15 * time.Minute
	// lookTimeout bounds one look, all its calls included.
	lookTimeout = 2 * time.Minute
)

// cellsPath is where the parameters of all instances are.
const cellsPath = "/kip/cells/"

// Options are what a Collector is made of.
type Options struct {
	// Live reads around the cache.
	Live  client.Reader
	Cloud cloud.Parameters
	Clock clock.WithTicker
	Log   logr.Logger
	// ClusterID tags all that this cluster makes in the cloud.
	ClusterID string
}

// Collector deletes parameters of instances that no Cell has.
type Collector struct {
	Options
	// seen are the parameters that belonged to no Cell at the last look.
	seen map[string]bool
}

// New makes a Collector; the manager runs it, on the leader.
func New(options Options) *Collector { return &Collector{Options: options, seen: map[string]bool{}} }

// NeedLeaderElection says that only the leader collects.
func (c *Collector) NeedLeaderElection() bool { return true }

// Start looks again and again until ctx ends.
func (c *Collector) Start(ctx context.Context) error {
	ticker := c.Clock.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := c.look(ctx); err != nil && ctx.Err() == nil {
			c.Log.Error(err, "cannot look for parameters that no Cell owns")
		}
		select {
		case <-ticker.C():
		case <-ctx.Done():
			return nil
		}
	}
}

// look lists the cloud before the cluster, so that what is made meanwhile is
// not taken for garbage, and deletes what it sees for the second time.
func (c *Collector) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	found, err := c.Cloud.Secrets(ctx, cellsPath, map[string]string{v1beta1.TagCluster: c.ClusterID})
	if err != nil || len(found) == 0 {
		return err
	}
	owned, err := c.instances(ctx)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	var twice []string
	for _, name := range c.orphans(found, owned) {
		seen[name] = true
		if c.seen[name] {
			twice = append(twice, name)
		}
	}
	c.seen = seen
	if len(twice) == 0 {
		return nil
	}
	if err := c.Cloud.DeleteSecrets(ctx, twice); err != nil {
		return fmt.Errorf("deleting parameters of instances that no Cell has: %w", err)
	}
	c.Log.Info("Deleted parameters of instances that no Cell has", "names", twice)
	return nil
}

// instances are those that Cells have.
func (c *Collector) instances(ctx context.Context) (map[string]bool, error) {
	var cells v1beta1.CellList
	if err := c.Live.List(ctx, &cells); err != nil {
		return nil, fmt.Errorf("listing Cells: %w", err)
	}
	owned := map[string]bool{}
	for i := range cells.Items {
		owned[cells.Items[i].Status.InstanceID] = true
	}
	return owned, nil
}

// orphans are the parameters of a certain age of instances that are not owned.
// That nothing is owned at all is no reason to doubt: a cell reads its
// parameters in its first minutes, and these are older.
func (c *Collector) orphans(found []cloud.SecretInfo, owned map[string]bool) []string {
	var out []string
	for _, secret := range found {
		instance, _, _ := strings.Cut(strings.TrimPrefix(secret.Name, cellsPath), "/")
		if instance != "" && !owned[instance] && c.Clock.Since(secret.Modified) >= minAge {
			out = append(out, secret.Name)
		}
	}
	return out
}
