// Package atomicfile replaces small files so that a reader, or a crash, never sees half of one.
package atomicfile

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Write makes path hold data with permissions perm, creating its directory (0700) when missing. A file that already is so is left
// alone, with its time of change, and changed is false: what depends on the file need not be started again.
func Write(path string, data []byte, perm fs.FileMode) (changed bool, err error) {
	if same(path, data, perm) {
		return false, nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, fmt.Errorf("creating the directory of %s: %w", path, err)
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return false, fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	if err := fill(tmp, data, perm); err != nil {
		return false, fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return false, fmt.Errorf("putting %s in place: %w", path, err)
	}
	return true, nil
}

func same(path string, data []byte, perm fs.FileMode) bool {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != perm || info.Size() != int64(len(data)) {
		return false
	}
	old, err := os.ReadFile(path)
	return err == nil && bytes.Equal(old, data)
}

func fill(f *os.File, data []byte, perm fs.FileMode) error {
	defer f.Close()
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Close()
}
