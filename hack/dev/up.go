package dev

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"kip.elotl.co/hack/devcluster"
	"kip.elotl.co/hack/proc/atomicfile"
	"kip.elotl.co/hack/proc/progress"
)

// Up builds what is not up to date, starts what does not run, and returns when the operator leads and pods can use the default
// class. What runs as it should is left alone. Each step writes a line to w.
//
// An error says which step failed, with the end of the part's log; what was started until then stays, and Up can be called again.
func (e Environment) Up(ctx context.Context, w io.Writer) error {
	e, err := e.complete()
	if err != nil {
		return err
	}
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if e, err = e.place(ctx); err != nil {
		return err
	}
	if err := e.claim(ctx); err != nil {
		return err
	}
	var cluster *devcluster.Cluster
	steps := []step{
		{"Debian packages", e.unlessHollow(func(ctx context.Context) error { return InstallPackages(ctx, w) })},
		{"executables", func(ctx context.Context) error { return e.Build(ctx, w) }},
		{"network of cells", e.unlessHollow(e.makeFabric)},
		{"ports", e.choosePorts},
		{"agent", e.giveAgent},
		{"control plane", func(ctx context.Context) error {
			var err error
			cluster, err = devcluster.Start(ctx, e.clusterConfig())
			return err
		}},
		{Registry, func(ctx context.Context) error { return e.start(ctx, e.registryPart) }},
		{AWS, func(ctx context.Context) error { return e.start(ctx, e.awsPart) }},
		{"CRDs and RBAC", func(ctx context.Context) error { return e.install(ctx, cluster) }},
		{Operator, e.startOperators},
		{"CellClass " + ClassName, e.applyClass},
		{"virtual node", e.waitForNode},
		{"files", func(context.Context) error { return e.tell() }},
	}
	for _, s := range steps {
		if s.do == nil {
			continue
		}
		if err := s.run(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// stepTimeout bounds every step but the build and the packages, which take as long as they take.
const stepTimeout = 3 * time.Minute

type step struct {
	name string
	do   func(context.Context) error
}

// What takes longer than patience says that it goes on, and again every so often.
const patience, every = 4 * time.Second, 20 * time.Second

func (s step) run(ctx context.Context, w io.Writer) error {
	begin := time.Now()
	stop := func() {}
	if s.name != "executables" && s.name != "Debian packages" { // those tell more themselves
		stop = progress.Watch(w, s.name, patience, every)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, stepTimeout)
		defer cancel()
	}
	err := s.do(ctx)
	stop()
	took := time.Since(begin).Seconds()
	if err != nil {
		fmt.Fprintf(w, "%-20s failed after %.1f s\n", s.name, took)
		return fmt.Errorf("%s: %w", s.name, err)
	}
	fmt.Fprintf(w, "%-20s %5.1f s\n", s.name, took)
	return nil
}

// unlessHollow leaves a step out that only real cells need.
func (e Environment) unlessHollow(do func(context.Context) error) func(context.Context) error {
	if e.Hollow {
		return nil
	}
	return do
}

func (e Environment) start(ctx context.Context, makePart func(Endpoints) (part, error)) error {
	at, err := e.Endpoints()
	if err != nil {
		return err
	}
	p, err := makePart(at)
	if err != nil {
		return err
	}
	return e.run(ctx, p)
}

// tell writes the files that say how to reach the environment.
func (e Environment) tell() error {
	at, err := e.Endpoints()
	if err != nil {
		return err
	}
	variables, err := e.AWSVariables()
	if err != nil {
		return err
	}
	var awsEnv strings.Builder
	for _, v := range variables {
		fmt.Fprintf(&awsEnv, "export %s\n", v)
	}
	for name, content := range map[string]string{"registry": at.Registry + "\n", "aws.env": awsEnv.String()} {
		if _, err := atomicfile.Write(e.path(name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
