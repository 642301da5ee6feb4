package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestImportPowerOff: what was brought first stays, also when a reboot has taken
// it away, or something else is there later.
func TestImportPowerOff(t *testing.T) {
	from, state := t.TempDir(), t.TempDir()
	want := func(what string, want time.Duration) {
		t.Helper()
		if got, err := importPowerOff(from, state); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", what, got, err, want)
		}
	}
	want("nothing was brought", 0)
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(from, powerOffFile), []byte(content), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	write("24h0m0s\n")
	want("brought", 24*time.Hour)
	if err := os.Remove(filepath.Join(from, powerOffFile)); err != nil {
		t.Fatal(err)
	}
	want("after a reboot", 24*time.Hour)
	write("1s")
	want("something else", 24*time.Hour)
}

func TestPowerOffIsNoDuration(t *testing.T) {
	for _, content := range []string{"", "24", "-1h", "soon", "1h\x00"} {
		from := t.TempDir()
		if err := os.WriteFile(filepath.Join(from, powerOffFile), []byte(content), 0o400); err != nil {
			t.Fatal(err)
		}
		if after, err := importPowerOff(from, t.TempDir()); err == nil || !strings.Contains(err.Error(), powerOffFile) {
			t.Errorf("%q: %s, %v", content, after, err)
		}
	}
}
