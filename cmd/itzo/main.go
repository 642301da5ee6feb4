// Command itzo is the agent on a cell.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/cri"
	"kip.elotl.co/internal/agent/host"
	"kip.elotl.co/internal/agent/install"
)

// version is set by the linker.
var version = ""

// resync is how often to look at a runtime although it tells its events.
const resync = 10 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "itzo:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	o, err := parseFlags(args)
	if errors.Is(err, pflag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.showVersion {
		fmt.Println(buildVersion())
		return nil
	}
	log, err := newLogger(o.logFormat, o.logLevel)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx = logr.NewContext(ctx, log)
	go saveMemory(ctx)
	for _, flag := range o.ignored {
		log.Info("Ignoring a flag of older agents", "flag", flag)
	}
	if o.command == commandBootstrap {
		return fetchOnly(ctx, o)
	}
	return start(ctx, o)
}

// fetchOnly fetches the cell's parameters. Where an agent runs already, it has
// seen to whose state there is.
func fetchOnly(ctx context.Context, o *options) error {
	lock, err := lockState(ctx, o.stateDir, false)
	var other *otherAgentError
	switch {
	case errors.As(err, &other):
	case err != nil:
		return err
	default:
		defer lock.Close()
		if err := ownState(ctx, o, thisMachine(ctx)); err != nil {
			return err
		}
	}
	return fetchParameters(ctx, o.certDir, o.pki())
}

// start makes sure that this is the cell's only agent, and the cell fit for it.
func start(ctx context.Context, o *options) error {
	log := logr.FromContextOrDiscard(ctx)
	lock, err := lockState(ctx, o.stateDir, os.Getenv(waitVariable) != "")
	var other *otherAgentError
	if errors.As(err, &other) {
		log.Info("Another agent runs on this cell: this one ends", "stateDir", o.stateDir, "pid", other.pid)
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := ownState(ctx, o, thisMachine(ctx)); err != nil {
		return err
	}
	switch changed, err := shareRoot(); {
	case err != nil:
		log.Error(err, "Mounts of pods will not be seen outside of them")
	case changed:
		log.Info("Made / shared again, so that mounts propagate to and from pods")
	}
	return serve(ctx, o)
}

// serve runs the agent until ctx ends; the pod's containers go on.
func serve(ctx context.Context, o *options) error {
	log := logr.FromContextOrDiscard(ctx)
	files, err := host.New(o.stateDir)
	if err != nil {
		return err
	}
	pki := o.pki()
	if err := fetchParameters(ctx, o.certDir, pki); err != nil {
		return err
	}
	if err := importCredentials(o.certDir, pki); err != nil {
		return err
	}
	credentials, err := agent.NewFiles(pki, host.WriteFile)
	if err != nil {
		return err
	}
	powerOff, err := importPowerOff(o.certDir, o.stateDir)
	if err != nil {
		log.Error(err, "This cell stays on however long the operator is silent")
	}
	installer := install.New(install.Config{Endpoint: o.runtimeEndpoint, Parameters: o.certDir, StateDir: o.stateDir})
	runtime := cri.New(cri.Config{
		Endpoint: o.runtimeEndpoint, CNIDir: o.cniDir, LogDir: o.logDir, CgroupParent: o.cgroupParent, PodMaxPIDs: o.podMaxPIDs,
		PauseBinary: o.pauseBinary, SandboxImage: o.sandboxImage,
		FetchPause: func(ctx context.Context) (string, error) { return installer.Pause(ctx, buildVersion()) },
	})
	prepared, stop := prepare(ctx, installer, runtime)
	defer stop()
	a, err := agent.New(agent.Config{Version: buildVersion(), Runtime: prepared, Host: files, Registries: registries(), Resync: resync,
		PowerOffAfter: powerOff, Power: files.Power(), Notices: notices()})
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	log.Info("Serving", "address", listener.Addr().String(), "version", buildVersion())
	err = a.Serve(ctx, listener, credentials)
	return errors.Join(err, runtime.Close(context.WithoutCancel(ctx)))
}

// prepare has what the image lacks installed meanwhile; stop waits for that.
func prepare(ctx context.Context, installer *install.Installer, runtime agent.Runtime) (prepared agent.Runtime, stop func()) {
	if !installer.Needed() {
		return runtime, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { installer.Run(ctx) })
	return installer.Runtime(runtime), func() { cancel(); work.Wait() }
}

// buildVersion is what the linker was told, else what Go knows of the build.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
