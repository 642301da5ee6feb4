package cri

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/internal/agent/limits"
)

func TestSlicePath(t *testing.T) {
	for slice, want := range map[string]string{"kip.slice": "/kip.slice", "kip-pods.slice": "/kip.slice/kip-pods.slice"} {
		if got := slicePath(slice); got != want {
			t.Errorf("%s is in %s, want %s", slice, got, want)
		}
	}
}

func TestSystemdProperties(t *testing.T) {
	got := properties(limits.Limits{CPUShares: 1024, CPUQuota: 12_345, Memory: 1 << 20}, 100)
	if diff := cmp.Diff([]string{"CPUWeight=39", "CPUQuota=12.34%", "MemoryMax=1048576", "TasksMax=100"}, got); diff != "" {
		t.Error(diff)
	}
	got = properties(limits.Limits{CPUShares: 2}, -1)
	if diff := cmp.Diff([]string{"CPUWeight=1", "CPUQuota=", "MemoryMax=infinity", "TasksMax=infinity"}, got); diff != "" {
		t.Error(diff)
	}
}

// The files of version 2, in a directory that stands in for its hierarchy.
func TestLimitUnified(t *testing.T) {
	root := t.TempDir()
	l := limits.Limits{CPUShares: 262144, CPUQuota: 150_000, Memory: 1 << 20}
	for _, test := range []struct {
		limits limits.Limits
		pids   int64
		want   map[string]string
	}{
		{l, 64, map[string]string{"cpu.weight": "10000", "cpu.max": "150000 100000", "memory.max": "1048576", "pids.max": "64"}},
		{limits.Limits{CPUShares: 2}, -1, map[string]string{"cpu.weight": "1", "cpu.max": "max 100000", "memory.max": "max", "pids.max": "max"}},
	} {
		if err := limitUnified(root, "/kip.slice/kip-pods.slice", unifiedSettings(test.limits, test.pids)); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for name := range test.want {
			content, err := os.ReadFile(filepath.Join(root, "kip.slice", "kip-pods.slice", name))
			if err != nil {
				t.Fatal(err)
			}
			got[name] = string(content)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Error(diff)
		}
	}
	for _, dir := range []string{root, filepath.Join(root, "kip.slice")} {
		if content, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control")); err != nil || string(content) != "+cpu +memory +pids" {
			t.Errorf("%s hands down %q, %v", dir, content, err)
		}
	}
}

// A limit that cannot be set is an error, a missing controller without one is not.
func TestLimitWithoutController(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pids", "kip")
	if err := (&setting{"pids", "pids.max", "max", false}).write(dir); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&setting{"pids", "pids.max", "5", true}).write(filepath.Join(file, "kip")); err == nil {
		t.Error("a limit was not set, without an error")
	}
}
