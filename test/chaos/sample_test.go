package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/internal/crashpoint"
)

// The sample's experiments are always the same.
const (
	sampleSeed  = 7
	samplePods  = 6
	sampleLimit = 3 * time.Minute
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// TestSample makes the experiments that tell most, on hollow cells: the whole matrix is "make chaos".
func TestSample(t *testing.T) {
	if testing.Short() {
		t.Skip("brings an environment up: not with -short")
	}
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("KUBEBUILDER_ASSETS does not name a directory with a kube-apiserver: make test builds one")
	}
	ctx := t.Context()
	e, err := describe(filepath.Join("..", ".."), "chaost", true, true)
	if err != nil {
		t.Fatal(err)
	}
	var progress strings.Builder
	t.Cleanup(func() {
		if err := e.Down(context.WithoutCancel(ctx), &progress); err != nil {
			t.Errorf("%v\n%s", err, progress.String())
		}
	})
	l, err := open(ctx, e, sampleLimit, &progress)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	t.Logf("seed %d", sampleSeed)
	all := append(matrix(sampleSeed, samplePods, []crashpoint.Point{
		crashpoint.CellCreateAfter, crashpoint.CellStatusAfter, crashpoint.LaunchBefore, crashpoint.LaunchAfter,
		crashpoint.ParameterPutAfter, crashpoint.DispatchAfter, crashpoint.TerminateAfter,
	}, []fault{lostReply}), matrix(sampleSeed, samplePods, []crashpoint.Point{
		crashpoint.LaunchAfter, crashpoint.RouteCreateAfter, crashpoint.PodStatusBefore, crashpoint.StopAfter, crashpoint.CellFinalizerRemoveBefore,
	}, []fault{broken})...)
	outcomes, err := l.runAll(ctx, sampleSeed, len(all), all)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	var report strings.Builder
	tell(&report, outcomes)
	t.Log("\n" + report.String())
	if sum := sumUp(outcomes); sum.bad > 0 || sum.launched != sum.pods {
		t.Errorf("%d of %d experiments did not go well; %d launches for %d pods", sum.bad, sum.experiments, sum.launched, sum.pods)
	}
}
