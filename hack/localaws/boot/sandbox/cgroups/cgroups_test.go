package cgroups

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

const hybridMounts = `25 20 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
27 25 0:24 /a /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory
28 25 0:25 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
29 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`

func TestParse(t *testing.T) {
	tests := []struct {
		name, groups, mounts string
		want                 Layout
	}{
		{
			name:   "hybrid",
			groups: "9:cpu,cpuacct:/x\n8:memory:/a/b\n7:pids:/x\n1:name=systemd:/\n0::/y\n", mounts: hybridMounts,
			want: Layout{Hierarchies: []Hierarchy{
				{Name: "cpu,cpuacct", Options: "cpu,cpuacct", Controllers: []string{"cpu", "cpuacct"}, Own: "/sys/fs/cgroup/cpu,cpuacct/x"},
				{Name: "memory", Options: "memory", Controllers: []string{"memory"}, Own: "/sys/fs/cgroup/memory/b"},
				{Name: "systemd", Options: "none,name=systemd", Own: "/sys/fs/cgroup/systemd"},
			}},
		},
		{
			name:   "group outside of the mount",
			groups: "8:memory:/ab\n", mounts: hybridMounts,
			want: Layout{Hierarchies: []Hierarchy{
				{Name: "memory", Options: "memory", Controllers: []string{"memory"}, Own: "/sys/fs/cgroup/memory"},
			}},
		},
		{
			name:   "version 2",
			groups: "0::/user.slice/s.scope\n", mounts: "29 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			want: Layout{Unified: true, Hierarchies: []Hierarchy{{Own: "/sys/fs/cgroup/user.slice/s.scope"}}},
		},
		{
			name:   "blanks in the mount point",
			groups: "0::/\n", mounts: `29 25 0:26 / /mnt/a\040b rw - cgroup2 cgroup2 rw` + "\n",
			want: Layout{Unified: true, Hierarchies: []Hierarchy{{Own: "/mnt/a b"}}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse([]byte(tt.groups), []byte(tt.mounts))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for name, groups := range map[string]string{"nothing mounted": "5:devices:/\n", "garbage": "x\n"} {
		if got, err := parse([]byte(groups), []byte(hybridMounts)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestSettings(t *testing.T) {
	limits := Limits{MemoryMiB: 512, VCPUs: 2}
	tests := []struct {
		name    string
		unified bool
		h       Hierarchy
		limits  Limits
		want    []setting
	}{
		{"memory", false, Hierarchy{Controllers: []string{"memory"}}, limits, []setting{{"memory.limit_in_bytes", "536870912"}}},
		{"cpu", false, Hierarchy{Controllers: []string{"cpu", "cpuacct"}}, limits, []setting{{"cpu.shares", "2048"}}},
		{"pids", false, Hierarchy{Controllers: []string{"pids"}}, limits, []setting{{"pids.max", "8192"}}},
		{"systemd", false, Hierarchy{}, limits, nil},
		{"no limits", false, Hierarchy{Controllers: []string{"memory", "pids"}}, Limits{}, nil},
		{"version 2", true, Hierarchy{}, limits, []setting{{"memory.max", "536870912"}, {"cpu.weight", "200"}, {"pids.max", "8192"}}},
		{"huge", true, Hierarchy{}, Limits{VCPUs: 448}, []setting{{"cpu.weight", "10000"}, {"pids.max", "8192"}}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, settings(tt.unified, tt.h, tt.limits), cmp.AllowUnexported(setting{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestGroupLife(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: makes cgroups")
	}
	layout, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	name := "kip-cgtest-" + strconv.Itoa(os.Getpid())
	t.Cleanup(func() {
		if err := layout.Parents(name).Remove(t.Context()); err != nil {
			t.Error(err)
		}
	})
	g, err := layout.Create(name, "i-1", Limits{MemoryMiB: 256, VCPUs: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Dirs) != len(layout.Hierarchies) {
		t.Errorf("%d directories in %d hierarchies", len(g.Dirs), len(layout.Hierarchies))
	}
	cmd := exec.Command("sleep", "infinity")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if err := g.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	for _, dir := range g.Dirs {
		procs, err := words(dir, "cgroup.procs")
		if err != nil || !slices.Contains(procs, strconv.Itoa(cmd.Process.Pid)) {
			t.Errorf("%s: %v, %v", dir, procs, err)
		}
		if err := os.Mkdir(filepath.Join(dir, "nested"), 0o755); err != nil {
			t.Error(err)
		}
	}
	// The process is collected beside the removal, as a cell's is.
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for range 2 {
		if err := g.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the process ended with %v", err)
	}
	for _, dir := range g.Dirs {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
}

// Groups of one name come and go side by side, and with the last the name.
func TestCreateBesideRelease(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: makes cgroups")
	}
	layout, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	name := "kip-cgrace-" + strconv.Itoa(os.Getpid())
	var group errgroup.Group
	for worker := range 4 {
		group.Go(func() error {
			for range 25 {
				g, err := layout.Create(name, "i-"+strconv.Itoa(worker), Limits{MemoryMiB: 64})
				if err != nil {
					return err
				}
				if err := g.Release(t.Context()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	for _, dir := range layout.Parents(name).Dirs {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
}

func TestRemoveGivesUpWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := (Group{Dirs: []string{dir}}).Remove(ctx); err == nil || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
}

// A directory tree stands in for a version 2 hierarchy: the files behave as
// files, which is enough to see what would be written where.
func fakeUnified(t *testing.T, controllers ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{root, filepath.Join(root, "a"), filepath.Join(root, "a", "b"), filepath.Join(root, "a", "b", "cells")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, content := range map[string]string{"cgroup.procs": "", "cgroup.controllers": strings.Join(controllers, " "), "cgroup.subtree_control": ""} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

func TestUnifiedParent(t *testing.T) {
	own := filepath.Join(fakeUnified(t, "memory", "pids", "cpu"), "a", "b")
	got, err := unifiedParent(own, "cells")
	if err != nil || got != filepath.Join(own, "cells") {
		t.Fatalf("%s, %v", got, err)
	}
	if got, err := words(own, "cgroup.subtree_control"); err != nil || !cmp.Equal(got, []string{"+cpu"}) {
		t.Errorf("wrote %v last, %v", got, err)
	}
}

func TestCreateUnified(t *testing.T) {
	own := filepath.Join(fakeUnified(t, "memory", "pids"), "a", "b")
	l := Layout{Unified: true, Hierarchies: []Hierarchy{{Own: own}}}
	g, err := l.Create("cells", "i-1", Limits{MemoryMiB: 1, VCPUs: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(own, "cells", "i-1")
	if diff := cmp.Diff([]string{want}, g.Dirs); diff != "" {
		t.Error(diff)
	}
	if err := g.Add(7); err != nil {
		t.Fatal(err)
	}
	if got, err := words(want, "cgroup.procs"); err != nil || !cmp.Equal(got, []string{"7"}) {
		t.Errorf("%v, %v", got, err)
	}
	parents := []string{filepath.Join(own, "cells"), filepath.Join(filepath.Dir(own), "cells"), filepath.Join(filepath.Dir(filepath.Dir(own)), "cells")}
	if diff := cmp.Diff(parents, l.Parents("cells").Dirs); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("8:memory:/a/b\n0::/y\n"), []byte(hybridMounts))
	f.Fuzz(func(t *testing.T, groups, mounts []byte) {
		l, err := parse(groups, mounts)
		if err == nil && len(l.Hierarchies) == 0 {
			t.Error("a layout without a hierarchy")
		}
	})
}

func TestUnifiedParentGoesUpwards(t *testing.T) {
	root := fakeUnified(t, "memory", "pids")
	own := filepath.Join(root, "a", "b")
	// What the kernel answers for a group with processes: the file cannot be written.
	if err := os.Remove(filepath.Join(own, "cgroup.subtree_control")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(own, "cells"), filepath.Join(root, "a", "cells")); err != nil {
		t.Fatal(err)
	}
	got, err := unifiedParent(own, "cells")
	if err != nil || got != filepath.Join(root, "a", "cells") {
		t.Errorf("%s, %v", got, err)
	}
}

func TestUnifiedParentWithoutControllers(t *testing.T) {
	own := filepath.Join(fakeUnified(t, "cpu"), "a", "b")
	if _, err := unifiedParent(own, "cells"); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Error(err)
	}
}
