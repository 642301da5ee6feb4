package busybox

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

func binary(t *testing.T) string {
	t.Helper()
	if err := requireStatic("/bin/busybox"); err != nil {
		t.Skipf("needs a static /bin/busybox (Debian: busybox-static): %v", err)
	}
	return "/bin/busybox"
}

func TestBuild(t *testing.T) {
	file := binary(t)
	image, err := Build(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if image.Version == "" || image.Version == "latest" {
		t.Errorf("version %q", image.Version)
	}
	files := map[string]*tar.Header{}
	flat := tar.NewReader(mutate.Extract(image.Image))
	for {
		h, err := flat.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(h.Name, "/")] = h
		if h.ModTime.Unix() != 0 || h.Uid != 0 || h.Gid != 0 {
			t.Errorf("%s: time %v, owner %d:%d", h.Name, h.ModTime, h.Uid, h.Gid)
		}
	}
	list, err := exec.Command(file, "--list-full").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, applet := range append(strings.Fields(string(list)), "bin/sh") {
		if h := files[applet]; applet != binaryPath && (h == nil || h.Linkname != binaryPath) {
			t.Errorf("%s is not a link to the binary: %+v", applet, h)
		}
	}
	for path, mode := range map[string]int64{"tmp": 0o1777, "root": 0o700, binaryPath: 0o755, "etc/passwd": 0o644, "etc/group": 0o644, "etc/nsswitch.conf": 0o644} {
		if h := files[path]; h == nil || h.Mode != mode {
			t.Errorf("%s: %+v, want mode %o", path, h, mode)
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || config.Architecture == "" || len(config.Config.Cmd) == 0 {
		t.Errorf("%+v", config)
	}
}

func TestBuildIsReproducible(t *testing.T) {
	file := binary(t)
	var digests [2]string
	for i := range digests {
		image, err := Build(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests[i] = digest.String()
	}
	if digests[0] != digests[1] {
		t.Errorf("%s, then %s", digests[0], digests[1])
	}
}

func TestBuildRefuses(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	dynamic, err := exec.LookPath("ls")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{text, dynamic, "/nonexistent"} {
		if _, err := Build(t.Context(), file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestApplets(t *testing.T) {
	got := applets("bin/ash\nbin/busybox\nusr/bin/[\nusr/bin/[[\n../../evil\n/\nbin/ash\n")
	if diff := cmp.Diff([]string{"bin/ash", "bin/sh", "evil", "usr/bin/[", "usr/bin/[["}, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseVersion(t *testing.T) {
	for in, want := range map[string]string{
		"BusyBox v1.35.0 (Debian 1:1.35.0-4) multi-call binary.\nmore": "1.35.0", "BusyBox v1.36.1": "1.36.1", "coreutils": "", "": "",
	} {
		if got, err := parseVersion(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}
