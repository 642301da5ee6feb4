package cri

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func logsIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// What a rotation that was broken off has left is put in order, and the newest
// files are kept; those of other runs are not touched.
func TestTidyLogs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"0.log", "0.log.1.gz", "0.log.2.gz", "0.log.3", "0.log.3.gz.tmp", "0.log.4", "0.log.4.gz", "0.log.5", "10.log", "10.log.1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "0.log")
	if err := tidyLogs(path, 3); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"0.log", "0.log.3.gz", "0.log.4.gz", "0.log.5.gz", "10.log", "10.log.1"}, logsIn(t, dir)); diff != "" {
		t.Error(diff)
	}
	if err := removeLogs(path); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"10.log", "10.log.1"}, logsIn(t, dir)); diff != "" {
		t.Error(diff)
	}
	if err := errors.Join(removeLogs(path), removeLogs(filepath.Join(dir, "none", "0.log")), removeLogs("")); err != nil {
		t.Errorf("what is gone already: %v", err)
	}
	if err := tidyLogs(filepath.Join(dir, "none", "0.log"), 3); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}
