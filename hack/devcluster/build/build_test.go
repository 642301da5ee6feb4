package build

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	fakeMain = `package main

import (
	"fmt"
	"k8s.io/component-base/version"
)

func main() { fmt.Println(version.Version()) }
`
	plainMain = "package main\n\nfunc main() {}\n"
	goMod     = `module kip.elotl.co/hack/devcluster/controlplane

go 1.26.0

require (
	go.etcd.io/etcd/server/v3 v3.7.3
	k8s.io/component-base v0.36.3
	k8s.io/kubernetes v1.36.3
)

replace (
	go.etcd.io/etcd/server/v3 => ./etcd
	k8s.io/component-base => ./component-base
	k8s.io/kubernetes => ./kubernetes
)
`
	versionPkg = "package version\n\nvar gitVersion, gitMajor, gitMinor string\n\n" +
		"func Version() string { return gitVersion + \" \" + gitMajor + \" \" + gitMinor }\n"
)

// repository writes one whose control plane is a few small programs.
func repository(t *testing.T) Builder {
	t.Helper()
	root := t.TempDir()
	controlplane := "hack/devcluster/controlplane/"
	files := map[string]string{
		"go.mod":                               "module example.com/root\n\ngo 1.26.0\n",
		"hack/devcluster/cmd/forward/main.go":  plainMain,
		controlplane + "go.mod":                goMod,
		controlplane + "go.sum":                "",
		controlplane + "etcd/go.mod":           "module go.etcd.io/etcd/server/v3\n\ngo 1.26.0\n",
		controlplane + "etcd/main.go":          plainMain,
		controlplane + "component-base/go.mod": "module k8s.io/component-base\n\ngo 1.26.0\n",
		controlplane + "kubernetes/go.mod":     "module k8s.io/kubernetes\n\ngo 1.26.0\n\nrequire k8s.io/component-base v0.36.3\n",

		controlplane + "component-base/version/version.go": versionPkg,
	}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"} {
		files[controlplane+"kubernetes/cmd/"+name+"/main.go"] = fakeMain
	}
	for path, content := range files {
		write(t, filepath.Join(root, path), content)
	}
	return Builder{Root: root, BinDir: filepath.Join(root, "bin")}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// buildAll builds and returns what was reported as built, in order, and the inode of each executable.
func buildAll(t *testing.T, b Builder) (built []string, inodes map[string]os.FileInfo) {
	t.Helper()
	var progress bytes.Buffer
	b.Progress = &progress
	if err := b.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(progress.String()) {
		if rest, ok := strings.CutPrefix(line, "built "); ok {
			built = append(built, strings.Fields(rest)[0])
		}
	}
	inodes = map[string]os.FileInfo{}
	for _, name := range append(names(), forwarder) {
		info, err := os.Stat(filepath.Join(b.BinDir, name))
		if err != nil {
			t.Fatal(err)
		}
		inodes[name] = info
	}
	return built, inodes
}

// replaced lists the executables whose file is another one.
func replaced(before, after map[string]os.FileInfo) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if !os.SameFile(before[name], after[name]) || before[name].ModTime() != after[name].ModTime() {
			out = append(out, name)
		}
	}
	return out
}

func TestBuild(t *testing.T) {
	b := repository(t)
	if got := Missing(b.BinDir); len(got) != 6 {
		t.Errorf("missing before the build: %v", got)
	}
	built, first := buildAll(t, b)
	if diff := cmp.Diff(names(), built); diff != "" {
		t.Errorf("first build:\n%s", diff)
	}
	if got := Missing(b.BinDir); len(got) > 0 {
		t.Errorf("missing after the build: %v", got)
	}
	out, err := exec.Command(filepath.Join(b.BinDir, "kube-apiserver")).Output()
	if err != nil || string(out) != "v1.36.3 1 36\n" {
		t.Errorf("version = %q, %v", out, err)
	}

	steps := []struct {
		name     string
		change   func(t *testing.T)
		built    []string
		replaced []string
	}{
		{name: "nothing to do", change: func(*testing.T) {}},
		{name: "one is lost", change: func(t *testing.T) {
			if err := os.Remove(filepath.Join(b.BinDir, "kubectl")); err != nil {
				t.Fatal(err)
			}
		}, built: []string{"kubectl"}, replaced: []string{"kubectl"}},
		{name: "modules changed without effect on the executables", change: func(t *testing.T) {
			write(t, filepath.Join(b.module(), "go.mod"), goMod+"\n// changed\n")
		}, built: names()},
		{name: "another version", change: func(t *testing.T) {
			write(t, filepath.Join(b.module(), "go.mod"), strings.ReplaceAll(goMod, "v1.36.3", "v1.36.4"))
		}, built: names(), replaced: []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"}},
		{name: "the forwarder changed", change: func(t *testing.T) {
			write(t, filepath.Join(b.Root, "hack/devcluster/cmd/forward/main.go"), "package main\n\nfunc main() { println() }\n")
		}, replaced: []string{forwarder}},
	}
	before := first
	for _, tt := range steps {
		t.Run(tt.name, func(t *testing.T) {
			tt.change(t)
			built, after := buildAll(t, b)
			if diff := cmp.Diff(tt.built, built); diff != "" {
				t.Errorf("built:\n%s", diff)
			}
			if diff := cmp.Diff(tt.replaced, replaced(before, after)); diff != "" {
				t.Errorf("replaced:\n%s", diff)
			}
			before = after
		})
	}
}

func TestBuildFails(t *testing.T) {
	b := repository(t)
	var progress bytes.Buffer
	b.Progress = &progress
	write(t, filepath.Join(b.module(), "kubernetes/cmd/kube-scheduler/main.go"), "package main\n\nfunc main() { nonsense() }\n")
	err := b.Build(t.Context())
	if err == nil || !strings.Contains(err.Error(), "building kube-scheduler") || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("error = %v, want the component and the compiler's message", err)
	}
	if !strings.Contains(progress.String(), "failed to build kube-scheduler") {
		t.Errorf("progress = %q", progress.String())
	}
	if diff := cmp.Diff([]string{"kube-scheduler", "kubectl", "etcd", forwarder}, Missing(b.BinDir)); diff != "" {
		t.Errorf("missing:\n%s", diff)
	}
}

func TestBuildWithoutRepository(t *testing.T) {
	dir := t.TempDir()
	if err := (Builder{Root: dir, BinDir: filepath.Join(dir, "bin")}).Build(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestBuildEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := repository(t).Build(ctx); err == nil {
		t.Error("no error")
	}
}

func TestParseVersions(t *testing.T) {
	tests := []struct {
		name, in string
		want     map[string]string
		fails    bool
	}{
		{
			name: "both modules",
			in:   `{"Require":[{"Path":"k8s.io/kubernetes","Version":"v1"},{"Path":"go.etcd.io/etcd/server/v3","Version":"v3"}]}`,
			want: map[string]string{"k8s.io/kubernetes": "v1", "go.etcd.io/etcd/server/v3": "v3"},
		},
		{name: "one is missing", in: `{"Require":[{"Path":"k8s.io/kubernetes","Version":"v1"}]}`, fails: true},
		{name: "no JSON", in: `go: error`, fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseVersions([]byte(tt.in))
			if (err != nil) != tt.fails {
				t.Fatalf("error = %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
