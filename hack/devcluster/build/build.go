// Package build makes the executables of the local control plane from Go modules: etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler and kubectl, at the versions that hack/devcluster/controlplane/go.mod pins, and the forwarder of package devcluster.
// With kube-apiserver, etcd and kubectl in it, the directory is one that controller-runtime's envtest takes as KUBEBUILDER_ASSETS.
package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kip.elotl.co/hack/proc/atomicfile"
	"kip.elotl.co/hack/proc/progress"
)

// Builder makes executables. A first build takes minutes and some gigabytes of Go's build cache; one with nothing to do takes less than a
// second.
type Builder struct {
	// Root is the root directory of this repository.
	Root string
	// BinDir is where the executables go.
	BinDir string
	// Progress gets a line when a component's build begins, while it goes on, and when it is done; nothing when all is up to date.
	Progress io.Writer
}

// component is an executable from the control plane's module.
type component struct {
	name    string // file name
	pkg     string // Go package
	module  string // whose version it bears
	stamped bool   // its version is told to the linker
}

const kubernetes = "k8s.io/kubernetes"

// components are in the order of building: the first compiles most of what the others need.
func components() []component {
	return []component{
		{"kube-apiserver", kubernetes + "/cmd/kube-apiserver", kubernetes, true},
		{"kube-controller-manager", kubernetes + "/cmd/kube-controller-manager", kubernetes, true},
		{"kube-scheduler", kubernetes + "/cmd/kube-scheduler", kubernetes, true},
		{"kubectl", kubernetes + "/cmd/kubectl", kubernetes, true},
		{"etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", false},
	}
}

// Missing lists the executables that BinDir lacks, for tests that skip without them.
func Missing(binDir string) []string {
	var missing []string
	for _, name := range append(names(), forwarder) {
		if _, err := os.Stat(filepath.Join(binDir, name)); err != nil {
			missing = append(missing, name)
		}
	}
	return missing
}

func names() []string {
	var names []string
	for _, c := range components() {
		names = append(names, c.name)
	}
	return names
}

// forwarder is the executable that is built from this repository's own module.
const forwarder = "forward"

// Build makes the executables that are missing or not up to date: made from other module versions, with other flags or by another release
// of Go. Several at once wait for each other. An executable is replaced in one step, so running ones are not disturbed.
func (b Builder) Build(ctx context.Context) error {
	if err := b.complete(); err != nil {
		return fmt.Errorf("building the control plane: %w", err)
	}
	unlock, err := b.lock()
	if err != nil {
		return fmt.Errorf("building the control plane: %w", err)
	}
	defer unlock()
	versions, err := b.versions(ctx)
	if err != nil {
		return fmt.Errorf("building the control plane: %w", err)
	}
	toolchain, err := b.goCommand(ctx, b.module(), "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return fmt.Errorf("building the control plane: %w", err)
	}
	for _, c := range components() {
		if err := b.component(ctx, c, versions[c.module], toolchain); err != nil {
			return fmt.Errorf("building %s: %w", c.name, err)
		}
	}
	// Go itself knows when there is nothing to do for a package of this repository.
	if err := b.install(ctx, b.Root, forwarder, "./hack/devcluster/cmd/forward", "-s -w"); err != nil {
		return fmt.Errorf("building %s: %w", forwarder, err)
	}
	return nil
}

func (b *Builder) complete() (err error) {
	if b.Progress == nil {
		b.Progress = io.Discard
	}
	if b.Root, err = filepath.Abs(b.Root); err != nil {
		return err
	}
	if b.BinDir, err = filepath.Abs(b.BinDir); err != nil {
		return err
	}
	return os.MkdirAll(filepath.Join(b.BinDir, stampDir), 0o755)
}

// stampDir, within BinDir, holds for each executable the hash of what it was made from.
const stampDir = ".stamp"

func (b Builder) lock() (unlock func(), err error) {
	f, err := os.Open(filepath.Join(b.BinDir, stampDir))
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

func (b Builder) module() string { return filepath.Join(b.Root, "hack", "devcluster", "controlplane") }

// versions returns what go.mod requires, by module path.
func (b Builder) versions(ctx context.Context) (map[string]string, error) {
	out, err := b.goCommand(ctx, b.module(), "mod", "edit", "-json")
	if err != nil {
		return nil, err
	}
	return parseVersions(out)
}

func parseVersions(modEditJSON []byte) (map[string]string, error) {
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(modEditJSON, &mod); err != nil {
		return nil, fmt.Errorf("reading go.mod: %w", err)
	}
	versions := map[string]string{}
	for _, r := range mod.Require {
		versions[r.Path] = r.Version
	}
	for _, c := range components() {
		if versions[c.module] == "" {
			return nil, fmt.Errorf("go.mod does not require %s", c.module)
		}
	}
	return versions, nil
}

func (b Builder) component(ctx context.Context, c component, version string, toolchain []byte) error {
	ldflags := linkerFlags(c, version)
	stamp, err := b.stamp(c, ldflags, toolchain)
	if err != nil {
		return err
	}
	stampFile := filepath.Join(b.BinDir, stampDir, c.name)
	_, statErr := os.Stat(filepath.Join(b.BinDir, c.name))
	if old, err := os.ReadFile(stampFile); err == nil && statErr == nil && string(old) == stamp {
		return nil
	}
	done := b.report(c.name + " " + version)
	err = b.install(ctx, b.module(), c.name, c.pkg, ldflags)
	done(err)
	if err != nil {
		return err
	}
	_, err = atomicfile.Write(stampFile, []byte(stamp), 0o644)
	return err
}

// linkerFlags leaves out symbol tables and, for Kubernetes, sets the version. The API server shows component-base's; client-go's, the
// clients' User-Agent, is a variable of its own.
func linkerFlags(c component, version string) string {
	flags := []string{"-s", "-w"}
	if !c.stamped {
		return strings.Join(flags, " ")
	}
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags, "-X "+pkg+".gitVersion="+version, "-X "+pkg+".gitMajor="+major, "-X "+pkg+".gitMinor="+minor,
			"-X "+pkg+".gitTreeState=clean")
	}
	return strings.Join(flags, " ")
}

// stamp sums up all that the executable is made from.
func (b Builder) stamp(c component, ldflags string, toolchain []byte) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n", c.pkg, ldflags, toolchain)
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(b.module(), name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s\n", name, len(data), data)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// install builds a package into BinDir. An executable that comes out the same keeps its file.
func (b Builder) install(ctx context.Context, dir, name, pkg, ldflags string) error {
	target := filepath.Join(b.BinDir, name)
	tmp := filepath.Join(b.BinDir, stampDir, name+".new")
	defer os.Remove(tmp)
	if _, err := b.goCommand(ctx, dir, "build", "-trimpath", "-buildvcs=false", "-ldflags="+ldflags, "-o", tmp, pkg); err != nil {
		return err
	}
	if sameContent(tmp, target) {
		return nil
	}
	return os.Rename(tmp, target)
}

func sameContent(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if errA != nil || errB != nil || infoA.Size() != infoB.Size() {
		return false
	}
	dataA, errA := os.ReadFile(a)
	dataB, errB := os.ReadFile(b)
	return errA == nil && errB == nil && bytes.Equal(dataA, dataB)
}

// goCommand runs the go command in dir and returns its output; an error holds what it complained about.
func (b Builder) goCommand(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, stderr.Bytes())
	}
	return out, nil
}

// every is how often what takes long says that it goes on.
const every = 20 * time.Second

// report says that something is being built, says so again every while, and, when done is called, how long it took or that it failed.
func (b Builder) report(what string) (done func(error)) {
	start := time.Now()
	fmt.Fprintf(b.Progress, "building %s\n", what)
	stop := progress.Watch(b.Progress, "building "+what, every, every)
	return func(err error) {
		stop()
		verb := "built"
		if err != nil {
			verb = "failed to build"
		}
		fmt.Fprintf(b.Progress, "%s %s in %s\n", verb, what, time.Since(start).Round(time.Second))
	}
}
