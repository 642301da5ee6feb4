package dev

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"kip.elotl.co/hack/devcluster/build"
	"kip.elotl.co/hack/proc/atomicfile"
	"kip.elotl.co/hack/proc/progress"
)

// programs are this repository's own beside the operator; executables are called as their directories.
func programs() []string {
	return []string{"./cmd/itzo", "./cmd/pause", "./hack/localaws/cmd/localaws", "./hack/localaws/cmd/localctl", "./hack/localaws/cmd/cellinit", "./hack/registry/cmd/registry"}
}

// Build makes all executables that the environment runs, as far as they are not up to date. Lines about what takes long go to w.
func (e Environment) Build(ctx context.Context, w io.Writer) error {
	e, err := e.complete()
	if err != nil {
		return err
	}
	if err := (build.Builder{Root: e.Root, BinDir: e.BinDir, Progress: w}).Build(ctx); err != nil {
		return err
	}
	const stripped = "-s -w"
	versioned := stripped + " -X main.version=" + version(ctx, e.Root)
	for _, b := range []goBuild{
		{what: "the operator", dir: e.Root, output: e.bin(e.operator()), ldflags: versioned, tags: e.OperatorTags, packages: []string{"."}},
		{what: "the kubectl plugin", dir: e.Root, output: e.BinDir + "/", ldflags: versioned, packages: []string{"./cmd/kubectl-kip"}},
		// gRPC's traces would bring in text/template, and with that all methods of all types.
		{what: "the agent, the emulator and the registry", dir: e.Root, output: e.BinDir + "/", ldflags: stripped, tags: "grpcnotrace", packages: programs()},
		{
			what: "kustomize", dir: filepath.Join(e.Root, "hack", "tools"), output: e.bin("kustomize"), ldflags: stripped,
			packages: []string{"sigs.k8s.io/kustomize/kustomize/v5"},
		},
	} {
		if err := b.run(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// operator is the name of the operator's executable.
func (e Environment) operator() string {
	if e.OperatorTags != "" {
		return "kip-" + e.OperatorTags
	}
	return "kip"
}

// version is what the operator calls itself: what git says of the commit. Where there is no git, or no repository, it is "dev". Only the
// operator and the kubectl plugin are told it, by the linker: nothing is compiled again for a commit, and no cell's agent changes with it.
func version(ctx context.Context, root string) string {
	out, err := exec.CommandContext(ctx, "git", "-C", root, "describe", "--always", "--dirty", "--tags").Output()
	if v := strings.TrimSpace(string(out)); err == nil && v != "" {
		return v
	}
	return "dev"
}

// goBuild is one call of go build that makes static executables. An unchanged one keeps its file.
type goBuild struct {
	what, dir, output, ldflags, tags string
	packages                         []string
}

func (b goBuild) run(ctx context.Context, w io.Writer) error {
	defer progress.Watch(w, "building "+b.what, patience, every)()
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags=" + b.ldflags, "-tags=" + b.tags, "-o", b.output}, b.packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", b.what, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// agentPrograms are what a cell downloads, under <name>-<version>-<arch>.
func agentPrograms() []string { return []string{"itzo", "pause"} }

// publishAgent puts the agent where the registry's server finds it, and returns its version: a hash, so that the next cell gets a changed
// agent, while cells that are booting still find theirs.
func (e Environment) publishAgent() (version string, err error) {
	sum := sha256.New()
	contents := map[string][]byte{}
	for _, name := range agentPrograms() {
		if contents[name], err = os.ReadFile(e.bin(name)); err != nil {
			return "", fmt.Errorf("publishing the agent: %w", err)
		}
		sum.Write(contents[name])
	}
	const digits = 12
	version = "dev-" + hex.EncodeToString(sum.Sum(nil))[:digits]
	var current []string
	for name, content := range contents {
		file := fmt.Sprintf("%s-%s-%s", name, version, runtime.GOARCH)
		if _, err := atomicfile.Write(e.path(agentsDir, file), content, 0o755); err != nil {
			return "", fmt.Errorf("publishing the agent: %w", err)
		}
		current = append(current, file)
	}
	return version, e.forgetAgents(current)
}

const agentsDir = "agents"

// ownAgentDir holds the agent as the operator serves it.
const ownAgentDir = "own-agent"

// giveAgent puts the agent where the operator finds it.
func (e Environment) giveAgent(context.Context) error {
	for _, name := range agentPrograms() {
		content, err := os.ReadFile(e.bin(name))
		if err != nil {
			return fmt.Errorf("giving the operator the agent: %w", err)
		}
		if _, err := atomicfile.Write(e.path(ownAgentDir, name+"-"+runtime.GOARCH), content, 0o755); err != nil {
			return fmt.Errorf("giving the operator the agent: %w", err)
		}
	}
	return nil
}

// keptAgents is how many files of older versions stay for cells that are booting.
const keptAgents = 4

func (e Environment) forgetAgents(current []string) error {
	entries, err := os.ReadDir(e.path(agentsDir))
	if err != nil {
		return fmt.Errorf("listing published agents: %w", err)
	}
	old := slices.DeleteFunc(entries, func(d os.DirEntry) bool { return slices.Contains(current, d.Name()) })
	age := func(d os.DirEntry) int64 {
		info, err := d.Info()
		if err != nil {
			return 0
		}
		return -info.ModTime().UnixNano()
	}
	slices.SortFunc(old, func(a, b os.DirEntry) int { return int(max(-1, min(1, age(a)-age(b)))) })
	var errs []error
	for _, d := range old[min(keptAgents, len(old)):] {
		errs = append(errs, os.Remove(e.path(agentsDir, d.Name())))
	}
	return errors.Join(errs...)
}
