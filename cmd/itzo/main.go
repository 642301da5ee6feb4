// Command itzo is the agent on a cell.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/cri"
	"kip.elotl.co/internal/agent/host"
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
	return serve(logr.NewContext(ctx, log), o)
}

// serve runs the agent until ctx ends; the pod's containers go on.
func serve(ctx context.Context, o *options) error {
	log := logr.FromContextOrDiscard(ctx)
	files, err := host.New(o.stateDir)
	if err != nil {
		return err
	}
	pki := filepath.Join(o.stateDir, "pki")
	if err := importCredentials(o.certDir, pki); err != nil {
		return err
	}
	credentials, err := agent.NewFiles(pki, host.WriteFile)
	if err != nil {
		return err
	}
	runtime := cri.New(cri.Config{
		Endpoint: o.runtimeEndpoint, CNIDir: o.cniDir, LogDir: o.logDir, CgroupParent: o.cgroupParent,
		PauseBinary: o.pauseBinary, SandboxImage: o.sandboxImage,
	})
	a, err := agent.New(agent.Config{Version: buildVersion(), Runtime: runtime, Host: files, Resync: resync})
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
