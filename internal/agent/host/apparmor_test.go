package host

import (
	"os"
	"path/filepath"
	"testing"
)

// TestAppArmor: the kernel's word, and the file system to load profiles by.
func TestAppArmor(t *testing.T) {
	for name, test := range map[string]struct {
		enabled string
		mounted bool
		want    bool
	}{
		"on": {"Y\n", true, true}, "off": {"N\n", true, false}, "no profiles can be loaded": {"Y\n", false, false}, "none": {"", true, false},
	} {
		sys := t.TempDir()
		if test.mounted {
			if err := os.MkdirAll(filepath.Join(sys, "kernel/security/apparmor"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if test.enabled != "" {
			dir := filepath.Join(sys, "module/apparmor/parameters")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "enabled"), []byte(test.enabled), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := hasAppArmor(sys); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}
