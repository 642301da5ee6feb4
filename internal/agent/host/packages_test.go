package host_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/host"
	"kip.elotl.co/internal/itzo"
)

func newHost(t testing.TB) (*host.Host, string) {
	t.Helper()
	dir := t.TempDir()
	h, err := host.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h, dir
}

// pack makes an archive of raw entries.
func pack(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var buffer bytes.Buffer
	compressed := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(compressed)
	for _, header := range headers {
		content := []byte("content")
		if header.Typeflag == tar.TypeReg {
			header.Size = int64(len(content))
		}
		header.Uid, header.Gid = os.Geteuid(), os.Getegid()
		if err := archive.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg {
			if _, err := archive.Write(content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(archive.Close(), compressed.Close()); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func deploy(t *testing.T, h *host.Host, files ...itzo.PackageFile) {
	t.Helper()
	var archive bytes.Buffer
	for i := range files {
		files[i].UID, files[i].GID = os.Geteuid(), os.Getegid()
	}
	if err := itzo.WritePackage(&archive, files); err != nil {
		t.Fatal(err)
	}
	if err := h.Deploy("config", &archive); err != nil {
		t.Fatal(err)
	}
}

// visible reads what users of a volume see, without what begins with dots.
func visible(t *testing.T, dir string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "..") {
			continue
		}
		root := filepath.Join(dir, entry.Name())
		real, err := filepath.EvalSymlinks(root)
		if err != nil {
			t.Fatal(err)
		}
		err = filepath.WalkDir(real, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			seen[filepath.Base(root)+strings.TrimPrefix(path, real)] = string(content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return seen
}

func TestDeploy(t *testing.T) {
	h, dir := newHost(t)
	if h.HasPackage("config") {
		t.Error("there is a package before any was deployed")
	}
	deploy(t, h, itzo.PackageFile{Path: "a", Mode: 0o400, Data: []byte("1")}, itzo.PackageFile{Path: "d/b", Mode: 0o666, Data: []byte("2")})
	pkg := filepath.Join(dir, "packages", "config")
	if diff := cmp.Diff(map[string]string{"a": "1", "d/b": "2"}, visible(t, pkg)); diff != "" {
		t.Error(diff)
	}
	for path, mode := range map[string]fs.FileMode{"a": 0o400, "d/b": 0o666} {
		if info, err := os.Stat(filepath.Join(pkg, path)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	// The next one replaces it, also what is gone, and leaves no old data.
	deploy(t, h, itzo.PackageFile{Path: "a", Mode: 0o644, Data: []byte("3")}, itzo.PackageFile{Path: "c", Mode: 0o644})
	if diff := cmp.Diff(map[string]string{"a": "3", "c": ""}, visible(t, pkg)); diff != "" {
		t.Error(diff)
	}
	if entries, _ := os.ReadDir(pkg); len(entries) != 4 {
		t.Errorf("left: %v", entries)
	}
	deploy(t, h)
	if !h.HasPackage("config") || len(visible(t, pkg)) != 0 {
		t.Error("an empty package makes an empty directory")
	}
}

func TestDeployRefuses(t *testing.T) {
	regular := func(name string) []byte { return pack(t, tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}) }
	tests := map[string][]byte{
		"not gzip":           []byte("x"),
		"not tar":            compress(t, []byte(strings.Repeat("x", 1024))),
		"cut off":            regular("ROOTFS/a")[:40],
		"parent":             regular("ROOTFS/../x"),
		"parent deep":        regular("ROOTFS/a/../../x"),
		"absolute":           regular("/etc/x"),
		"absolute inside":    regular("ROOTFS//etc/x"),
		"outside":            regular("x"),
		"dotted root":        regular("./ROOTFS/x"),
		"reserved":           regular("ROOTFS/..data"),
		"symbolic link":      pack(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "ROOTFS/l", Linkname: "/etc"}),
		"hard link":          pack(t, tar.Header{Typeflag: tar.TypeLink, Name: "ROOTFS/l", Linkname: "/etc/passwd"}),
		"device":             pack(t, tar.Header{Typeflag: tar.TypeChar, Name: "ROOTFS/d"}),
		"file as directory":  pack(t, tar.Header{Typeflag: tar.TypeReg, Name: "ROOTFS/a"}, tar.Header{Typeflag: tar.TypeReg, Name: "ROOTFS/a/b"}),
		"says it is too big": pack2(t, tar.Header{Typeflag: tar.TypeReg, Name: "ROOTFS/a", Size: 1 << 40}),
	}
	for name, archive := range tests {
		t.Run(name, func(t *testing.T) {
			h, dir := newHost(t)
			deploy(t, h, itzo.PackageFile{Path: "kept", Mode: 0o644})
			if err := h.Deploy("config", bytes.NewReader(archive)); !errors.Is(err, agent.ErrBadPackage) {
				t.Errorf("got %v", err)
			}
			pkg := filepath.Join(dir, "packages", "config")
			if diff := cmp.Diff(map[string]string{"kept": ""}, visible(t, pkg)); diff != "" {
				t.Errorf("the former package changed: %s", diff)
			}
			if entries, _ := os.ReadDir(pkg); len(entries) != 3 {
				t.Errorf("left: %v", entries)
			}
		})
	}
	h, _ := newHost(t)
	for _, name := range []string{"", "..", "a/b", "A"} {
		if err := h.Deploy(name, bytes.NewReader(regular("ROOTFS/a"))); !errors.Is(err, agent.ErrBadPackage) || h.HasPackage(name) {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

func compress(t testing.TB, data []byte) []byte {
	t.Helper()
	var buffer bytes.Buffer
	compressed := gzip.NewWriter(&buffer)
	_, err := compressed.Write(data)
	if err := errors.Join(err, compressed.Close()); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// pack2 makes an archive that ends after one header.
func pack2(t testing.TB, header tar.Header) []byte {
	t.Helper()
	var buffer bytes.Buffer
	if err := tar.NewWriter(&buffer).WriteHeader(&header); err != nil {
		t.Fatal(err)
	}
	return compress(t, buffer.Bytes())
}

func TestDeployGivesPackageAnOwner(t *testing.T) {
	h, dir := newHost(t)
	archive := pack(t, tar.Header{Typeflag: tar.TypeDir, Name: "ROOTFS/"}, tar.Header{Typeflag: tar.TypeDir, Name: "ROOTFS/d", Mode: 0o700},
		tar.Header{Typeflag: tar.TypeReg, Name: "ROOTFS/d/f", Mode: 0o600})
	if err := h.Deploy("config", bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "packages", "config", "d")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}

// Whatever arrives, nothing outside the package changes.
func FuzzDeploy(f *testing.F) {
	f.Add(pack(f, tar.Header{Typeflag: tar.TypeReg, Name: "ROOTFS/a", Mode: 0o644}), true)
	f.Add([]byte("ROOTFS/../../x"), false)
	f.Fuzz(func(t *testing.T, data []byte, compressed bool) {
		h, dir := newHost(t)
		if !compressed {
			data = compress(t, data)
		}
		if err := h.Deploy("config", bytes.NewReader(data)); err != nil && !errors.Is(err, agent.ErrBadPackage) {
			t.Errorf("got %v", err)
		}
		var outside []string
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Name() == "config" {
				return filepath.SkipDir
			}
			if err == nil && !entry.IsDir() {
				outside = append(outside, path)
			}
			return err
		})
		if err != nil || len(outside) > 0 {
			t.Errorf("outside: %v, %v", outside, err)
		}
	})
}
