package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/spf13/pflag"
)

// options are the flags.
type options struct {
	listen          string
	certDir         string
	stateDir        string
	runtimeEndpoint string
	cniDir          string
	logDir          string
	cgroupParent    string
	podMaxPIDs      int64
	pauseBinary     string
	sandboxImage    string
	logFormat       string
	logLevel        int
	showVersion     bool
	// command is bootstrap, or empty for the agent itself.
	command string
	// ignored are flags that mean nothing to this agent.
	ignored []string
}

// commandBootstrap fetches the cell's parameters and does nothing else.
const commandBootstrap = "bootstrap"

// pki is where credentials stay.
func (o *options) pki() string { return filepath.Join(o.stateDir, "pki") }

func parseFlags(args []string) (*options, error) {
	var o options
	flags := pflag.NewFlagSet("itzo", pflag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", "0.0.0.0:6421", "address to serve on")
	flags.StringVar(&o.certDir, "cert-dir", "/tmp/itzo", "where ca.crt, server.crt and server.key are brought; "+
		"imported into the state directory at the first start; a file parameter_store there says that they are to be fetched")
	flags.StringVar(&o.stateDir, "state-dir", "/var/lib/itzo", "directory for all that has to survive a restart")
	flags.StringVar(&o.runtimeEndpoint, "runtime-endpoint", "unix:///run/containerd/containerd.sock", "CRI socket")
	flags.StringVar(&o.cniDir, "cni-dir", "/etc/cni/net.d", "where the runtime looks for network configurations")
	flags.StringVar(&o.logDir, "log-dir", "/var/log/pods", "directory for the containers' logs")
	flags.StringVar(&o.cgroupParent, "cgroup-parent", "/kip", "cgroup of the pod's containers")
	flags.Int64Var(&o.podMaxPIDs, "pod-max-pids", -1, "how many processes and threads the pod may have; -1: any number")
	flags.StringVar(&o.pauseBinary, "pause-binary", besideExecutable("pause"),
		"program of the sandbox image, imported when the runtime lacks that image; empty: downloaded from where the agent is, or left to the runtime")
	flags.StringVar(&o.sandboxImage, "sandbox-image", "", "name of the sandbox image (default: as the runtime is configured)")
	flags.StringVar(&o.logFormat, "log-format", "text", "text or json")
	flags.IntVarP(&o.logLevel, "v", "v", 0, "verbosity of the log")
	flags.BoolVar(&o.showVersion, "version", false, "print the version and exit")
	args, o.ignored = translate(args)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	rest := flags.Args()
	if len(rest) > 0 && rest[0] == commandBootstrap {
		o.command, rest = rest[0], rest[1:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("unexpected argument %q: there is one command, %s", rest[0], commandBootstrap)
	}
	return &o, nil
}

// besideExecutable finds a program in this one's directory; empty when it is
// not there.
func besideExecutable(name string) string {
	own, err := os.Executable()
	if err != nil {
		return ""
	}
	path := filepath.Join(filepath.Dir(own), name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// newLogger writes to standard error.
func newLogger(format string, level int) (logr.Logger, error) {
	options := funcr.Options{LogTimestamp: true, TimestampFormat: time.RFC3339Nano, Verbosity: level}
	switch format {
	case "json":
		return funcr.NewJSON(func(line string) { fmt.Fprintln(os.Stderr, line) }, options), nil
	case "text":
		return funcr.New(func(_, line string) { fmt.Fprintln(os.Stderr, line) }, options), nil
	}
	return logr.Logger{}, fmt.Errorf("log format %q is neither text nor json", format)
}
