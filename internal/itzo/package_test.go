package itzo_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/internal/itzo"
)

func TestWritePackage(t *testing.T) {
	files := []itzo.PackageFile{
		{Dir: true, Mode: 0o2755, GID: 7, Data: []byte{}},
		{Path: "key", Mode: 0o644, Data: []byte("value")},
		{Path: "etc/resolv.conf", Mode: 0o400, UID: 1, GID: 2, Data: []byte{}},
	}
	var archive bytes.Buffer
	if err := itzo.WritePackage(&archive, files); err != nil {
		t.Fatal(err)
	}
	compressed, err := gzip.NewReader(&archive)
	if err != nil {
		t.Fatal(err)
	}
	var got []itzo.PackageFile
	for entries := tar.NewReader(compressed); ; {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(entries)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, itzo.PackageFile{Dir: header.Typeflag == tar.TypeDir, Path: header.Name, Mode: header.Mode, UID: header.Uid, GID: header.Gid, Data: data})
	}
	// Agents take no entry whose name begins otherwise.
	files[0].Path, files[1].Path, files[2].Path = "ROOTFS/", "ROOTFS/key", "ROOTFS/etc/resolv.conf"
	if diff := cmp.Diff(files, got); diff != "" {
		t.Error(diff)
	}
}

func TestPackagePaths(t *testing.T) {
	for path, good := range map[string]bool{
		"a": true, "a/b": true, "..data": true, "a..b": true,
		"": false, ".": false, "..": false, "/a": false, "../a": false, "a/../b": false, "a/..": false, "./a": false, "a//b": false, "a/": false, "a\x00": false,
	} {
		err := itzo.WritePackage(io.Discard, []itzo.PackageFile{{Path: path}})
		if (err == nil) != good {
			t.Errorf("%q: %v", path, err)
		}
	}
}
