package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"kip.elotl.co/hack/devcluster"
	"kip.elotl.co/hack/fabric"
	"kip.elotl.co/hack/proc/atomicfile"
)

// Up builds what is not up to date, starts what does not run, and returns when the virtual node of the default class is Ready. What runs as
// it should is left alone. Each step writes a line to progress.
//
// An error says which step failed, with the end of the part's log; what was started until then stays, and Up can be called again.
func (e Environment) Up(ctx context.Context, progress io.Writer) error {
	e, err := e.complete()
	if err != nil {
		return err
	}
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.claim(); err != nil {
		return err
	}
	var cluster *devcluster.Cluster
	steps := []step{
		{"Debian packages", e.unlessHollow(func(ctx context.Context) error { return InstallPackages(ctx, progress) })},
		{"executables", func(ctx context.Context) error { return e.Build(ctx, progress) }},
		{"network of cells", e.unlessHollow(e.makeFabric)},
		{"ports", e.choosePorts},
		{"control plane", func(ctx context.Context) error {
			var err error
			cluster, err = devcluster.Start(ctx, e.clusterConfig())
			return err
		}},
		{Registry, func(ctx context.Context) error { return e.start(ctx, e.registryPart) }},
		{AWS, func(ctx context.Context) error { return e.start(ctx, e.awsPart) }},
		{"CRDs and RBAC", func(ctx context.Context) error { return e.install(ctx, cluster) }},
		{Operator, func(ctx context.Context) error { return e.start(ctx, e.operatorPart) }},
		{"CellClass " + ClassName, e.applyClass},
		{"virtual node", func(ctx context.Context) error { return e.waitForNode(ctx, cluster) }},
		{"files", func(context.Context) error { return e.tell() }},
	}
	for _, s := range steps {
		if s.do == nil {
			continue
		}
		if err := s.run(ctx, progress); err != nil {
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

func (s step) run(ctx context.Context, progress io.Writer) error {
	begin := time.Now()
	if s.name != "executables" && s.name != "Debian packages" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, stepTimeout)
		defer cancel()
	}
	err := s.do(ctx)
	took := time.Since(begin).Seconds()
	if err != nil {
		fmt.Fprintf(progress, "%-20s failed after %.1f s\n", s.name, took)
		return fmt.Errorf("%s: %w", s.name, err)
	}
	fmt.Fprintf(progress, "%-20s %5.1f s\n", s.name, took)
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

// claim notes what comes up here, and refuses to turn what is up into something else.
func (e Environment) claim() error {
	up, ok, err := e.savedMode()
	if err != nil {
		return err
	}
	if ok && up != e.mode() {
		return fmt.Errorf("in %s there is %s: take it down first", e.Dir, up)
	}
	if !ok && !e.Hollow {
		if err := e.refuseForeign(); err != nil {
			return err
		}
	}
	data, err := json.Marshal(e.mode())
	if err != nil {
		return err
	}
	_, err = atomicfile.Write(e.path(modeFile), append(data, '\n'), 0o644)
	return err
}

// refuseForeign keeps away from the network of an environment that lives in another directory: cells of both would get the same addresses,
// and taking one down would end the other.
func (e Environment) refuseForeign() error {
	if _, err := fabric.Open(e.fabric()); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return fmt.Errorf("there is a network %s already, which was not made from %s: another environment of the same name is up, "+
		"or its directory was removed before it was taken down (then: ip netns delete %[1]s; ip link delete %[1]s)", e.fabric().Name, e.Dir)
}

// String describes an environment to people.
func (m mode) String() string {
	kind := "real"
	if m.Hollow {
		kind = "hollow"
	}
	return fmt.Sprintf("an environment %q with %s cells in %s", m.Name, kind, m.Subnet)
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

// StartOperator starts the operator alone, where Up was called before, and waits until it serves.
func (e Environment) StartOperator(ctx context.Context) error {
	e, err := e.complete()
	if err != nil {
		return err
	}
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return e.start(ctx, e.operatorPart)
}
