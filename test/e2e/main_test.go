// Package e2e runs Kip as a user does, on a local environment of its own with real cells, and looks at what the API server, EC2 and the
// cells say.
package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/hack/dev"
	"kip.elotl.co/test/testenv"
)

const (
	// nodeGrace is how long a node may be silent before it is NotReady: two renewals of its lease.
	nodeGrace = 20 * time.Second
	// pendingDelay keeps every launch pending for a while, so that there is a time between launch and agent.
	pendingDelay = time.Second
	// upLimit bounds bringing the environment up where everything has to be built.
	upLimit = 20 * time.Minute
)

func configuration() (dev.Environment, error) {
	e, err := testenv.New("../..", "e2e", false)
	e.NodeMonitorGrace, e.PendingDelay, e.DieWithParent = nodeGrace, pendingDelay, true
	return e, err
}

// started brings the environment up once, after clearing away what a killed run left.
var started = sync.OnceValues(func() (*testenv.Env, error) {
	ctx, cancel := context.WithTimeout(context.Background(), upLimit)
	defer cancel()
	var progress strings.Builder
	e, err := configuration()
	if err != nil {
		return nil, err
	}
	if err := e.Down(ctx, &progress); err != nil {
		return nil, fmt.Errorf("clearing an earlier run away: %w\n%s", err, progress.String())
	}
	if err := e.Up(ctx, &progress); err != nil {
		return nil, fmt.Errorf("bringing the environment up: %w\n%s", err, progress.String())
	}
	return testenv.Connect(ctx, e)
})

// environment is the one that all tests share.
func environment(t *testing.T) *testenv.Env {
	t.Helper()
	if testing.Short() {
		t.Skip("boots cells: not with -short")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root: boots real cells")
	}
	env, err := started()
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	code := m.Run()
	if os.Getuid() == 0 && !testing.Short() {
		if err := takeDown(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func takeDown() error {
	e, err := configuration()
	if err != nil {
		return err
	}
	var progress strings.Builder
	if err := e.Down(context.Background(), &progress); err != nil {
		return fmt.Errorf("taking the environment down: %w\n%s", err, progress.String())
	}
	return nil
}
