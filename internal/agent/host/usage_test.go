package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func makeAll(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// A volume is what du says, with links neither followed nor counted twice.
func TestVolumeUsage(t *testing.T) {
	h, err := New(t.TempDir())
	makeAll(t, err)
	volume := &corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
	if _, err := h.VolumeUsage(t.Context(), volume); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is made: %v", err)
	}
	dir := filepath.Join(h.dir, volumesDir, "data")
	makeAll(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	empty, err := h.VolumeUsage(t.Context(), volume)
	makeAll(t, err)
	elsewhere := filepath.Join(t.TempDir(), "large")
	makeAll(t, os.WriteFile(elsewhere, make([]byte, 1<<20), 0o600))
	file := filepath.Join(dir, "a", "b", "file")
	makeAll(t, os.WriteFile(file, make([]byte, 1<<20), 0o600), os.Link(file, filepath.Join(dir, "again")),
		os.Symlink(filepath.Dir(elsewhere), filepath.Join(dir, "link")))
	full, err := h.VolumeUsage(t.Context(), volume)
	makeAll(t, err)
	if grown := *full.UsedBytes - *empty.UsedBytes; grown < 1<<20 || grown > 1<<20+64<<10 {
		t.Errorf("1 MiB more takes %d bytes", grown)
	}
	if more := *full.InodesUsed - *empty.InodesUsed; more != 2 {
		t.Errorf("a file with two names and a link take %d inodes", more)
	}
	if *full.CapacityBytes == 0 || *full.AvailableBytes > *full.CapacityBytes || *full.Inodes < *full.InodesFree {
		t.Errorf("file system: %+v", full)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.VolumeUsage(ended, volume); !errors.Is(err, context.Canceled) {
		t.Errorf("once nobody waits: %v", err)
	}
}

func TestDeepVolume(t *testing.T) {
	dir := t.TempDir()
	makeAll(t, os.MkdirAll(filepath.Join(dir, strings.Repeat("d/", maxDepth-1)), 0o755))
	if got, err := measure(t.Context(), dir); err != nil || got.inodes != maxDepth {
		t.Errorf("%d inodes, %v", got.inodes, err)
	}
	makeAll(t, os.MkdirAll(filepath.Join(dir, strings.Repeat("d/", maxDepth+1)), 0o755))
	if _, err := measure(t.Context(), dir); err == nil {
		t.Error("a directory without a bottom was measured")
	}
}

func TestCellUsage(t *testing.T) {
	h, err := New(t.TempDir())
	makeAll(t, err)
	got, err := h.Usage()
	makeAll(t, err)
	if *got.CPU.UsageCoreNanoSeconds == 0 || *got.Memory.WorkingSetBytes == 0 || *got.Memory.AvailableBytes == 0 ||
		*got.Fs.CapacityBytes == 0 || got.StartTime.IsZero() {
		t.Errorf("got %+v", got)
	}
}

func TestParseUsage(t *testing.T) {
	used, booted, err := parseStat("cpu  100 20 3 999 7 4 5 6 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\nbtime 1700000000\n")
	if err != nil || used != 138*10_000_000 || booted != 1700000000 {
		t.Errorf("%d ns, booted at %d: %v", used, booted, err)
	}
	memory, err := parseMemory("MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 400 kB\nAnonPages: 50 kB\nHugePages_Total: 0\n")
	if err != nil || *memory.UsageBytes != 900<<10 || *memory.WorkingSetBytes != 600<<10 || *memory.AvailableBytes != 400<<10 || *memory.RSSBytes != 50<<10 {
		t.Errorf("%+v, %v", memory, err)
	}
	interfaces := parseInterfaces("Inter-|   Receive\n face |bytes packets errs\n  lo: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n  eth0: 10 0 1 0 0 0 0 0 20 0 2 0 0 0 0 0\nveth1: 1 1 1 1 1 1 1 1 1 1 1 1\n")
	if len(interfaces) != 1 || interfaces[0].Name != "eth0" || *interfaces[0].RxBytes != 10 || *interfaces[0].RxErrors != 1 ||
		*interfaces[0].TxBytes != 20 || *interfaces[0].TxErrors != 2 {
		t.Errorf("%+v", interfaces)
	}
	for _, bad := range []string{"", "cpu  x 0 0 0 0 0 0 0\n", "cpu  99999999999999999999 0 0 0 0 0 0 0\n", "cpu 1 2\n"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
