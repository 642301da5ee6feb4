package atomicfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	tests := []struct {
		name    string
		before  string
		perm    fs.FileMode
		exists  bool
		data    string
		changed bool
	}{
		{name: "new file in a new directory", data: "a", changed: true},
		{name: "same content and permissions", exists: true, before: "a", perm: 0o600, data: "a"},
		{name: "other content", exists: true, before: "b", perm: 0o600, data: "a", changed: true},
		{name: "other length", exists: true, before: "ab", perm: 0o600, data: "a", changed: true},
		{name: "too open", exists: true, before: "a", perm: 0o644, data: "a", changed: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "dir", "file")
			if tt.exists {
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(tt.before), tt.perm); err != nil {
					t.Fatal(err)
				}
			}
			changed, err := Write(path, []byte(tt.data), 0o600)
			if err != nil {
				t.Fatal(err)
			}
			if changed != tt.changed {
				t.Errorf("changed = %v, want %v", changed, tt.changed)
			}
			assertOnly(t, path, tt.data, 0o600)
		})
	}
}

func TestWriteFailsWhereADirectoryIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(filepath.Join(file, "below"), []byte("a"), 0o600); err == nil {
		t.Error("no error")
	}
}

// assertOnly checks the file and that nothing else, such as a temporary file, stands beside it.
func assertOnly(t *testing.T, path, data string, perm fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != data {
		t.Errorf("content = %q, want %q", got, data)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != perm {
		t.Errorf("permissions = %v, want %v", info.Mode().Perm(), perm)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("directory holds %v, want the file alone", entries)
	}
}
