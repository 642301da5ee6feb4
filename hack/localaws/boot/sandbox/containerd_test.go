package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kip.elotl.co/hack/localaws/boot"
)

// containerd2Image is an image with a containerd of its own.
const containerd2Image = "ami-2"

// builtContainerd2 is empty where it is not built.
func builtContainerd2(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../../../bin/containerd2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

// withContainerd2 gives the world an image with containerd 2. Where that is
// not built, it answers the image that all have.
func (w *world) withContainerd2(t *testing.T) (imageID string) {
	t.Helper()
	dir := builtContainerd2(t)
	if dir == "" {
		t.Log("all cells have the host's containerd: to test with containerd 2 too, make containerd2")
		return "ami-1"
	}
	w.cfg.Containerd = map[string]string{containerd2Image: dir}
	w.backend = w.newBackend(t)
	return containerd2Image
}

// The image decides which containerd a cell has, and no cell can change the
// one that others of the image have.
func TestImagesContainerd(t *testing.T) {
	w := newWorld(t)
	plain, own := w.spec(0, ""), w.spec(1, "")
	if own.ImageID = w.withContainerd2(t); own.ImageID == plain.ImageID {
		t.Skip("needs containerd 2: make containerd2")
	}
	for _, spec := range []boot.Spec{plain, own} {
		m := w.boot(t, spec)
		runtime, _ := dialCRI(t, m)
		version, err := runtime.Version(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		program, err := m.exec("command -v containerd")
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(strings.TrimPrefix(version.RuntimeVersion, "v"), "2.") != (spec.ImageID == containerd2Image) ||
			strings.HasPrefix(program, ownPrograms) != (spec.ImageID == containerd2Image) {
			t.Errorf("a cell of image %s has containerd %s at %s", spec.ImageID, version.RuntimeVersion, program)
		}
		if out, err := m.exec("test ! -e " + ownContainerd + " || touch " + ownContainerd + "/file"); spec.ImageID == containerd2Image && err == nil {
			t.Errorf("a cell changed what is the image's: %s", out)
		}
	}
}

func TestContainerdOfAnImageIsWhole(t *testing.T) {
	dir := t.TempDir()
	for _, missing := range containerdPrograms() {
		cfg := Config{Containerd: map[string]string{"ami-2": dir}}
		err := cfg.checkContainerd()
		if err == nil || !strings.Contains(err.Error(), "ami-2") || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
		if err := os.WriteFile(filepath.Join(dir, missing), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	cfg := Config{Containerd: map[string]string{"ami-2": "."}}
	if err := cfg.checkContainerd(); err != nil || !filepath.IsAbs(cfg.Containerd["ami-2"]) {
		t.Errorf("%v, %v", cfg.Containerd, err)
	}
}

func TestContainerdOfAnImage(t *testing.T) {
	b := &Backend{cfg: Config{Containerd: map[string]string{"ami-2": "/programs"}, SandboxImage: "r:5000/pause:1"}, cniDir: "/opt/cni/bin"}
	c := &cell{dir: "/cells/i-1"}
	for image, want := range map[string]struct {
		binds int
		paths []string
		lines []string
	}{
		"ami-1": {1, []string{"/etc/containerd/config.toml"}, []string{"version = 2", `sandbox_image = "r:5000/pause:1"`, `bin_dir = "/opt/cni/bin"`}},
		"ami-2": {2, []string{ownContainerd, "/usr/local/bin/containerd", "/usr/local/bin/containerd-shim-runc-v2", "/usr/local/bin/ctr",
			"/etc/containerd/config.toml"}, []string{"version = 3", `sandbox = "r:5000/pause:1"`, `bin_dirs = ["/opt/cni/bin"]`}},
	} {
		spec := boot.Spec{ImageID: image}
		if binds := b.binds(c, spec); len(binds) != want.binds || binds[0].Source != "/cells/i-1/containerd" || binds[0].ReadOnly ||
			want.binds == 2 && (binds[1].Source != "/programs" || !binds[1].ReadOnly) {
			t.Errorf("%s: %+v", image, binds)
		}
		entries := b.containerd(spec)
		var paths []string
		for _, e := range entries {
			paths = append(paths, e.path)
		}
		if !slices.Equal(paths, want.paths) {
			t.Errorf("%s: %v", image, paths)
		}
		for _, line := range want.lines {
			if !strings.Contains(entries[len(entries)-1].content, line) {
				t.Errorf("%s: no %s in\n%s", image, line, entries[len(entries)-1].content)
			}
		}
	}
}

func TestContainerdConfig(t *testing.T) {
	for name, render := range map[string]func(image, cniDir string) string{"1": containerdConfig, "2": containerd2Config} {
		with, without := render("r:5000/pause:1", "/opt/cni/bin"), render("", "/usr/lib/cni")
		for _, line := range []string{`restrict_oom_score_adj = true`, `config_path = "/etc/containerd/certs.d"`, `"r:5000/pause:1"`} {
			if !strings.Contains(with, line) {
				t.Errorf("containerd %s: no %s in\n%s", name, line, with)
			}
		}
		if strings.Contains(without, "sandbox_image") || strings.Contains(without, "pinned_images") {
			t.Errorf("containerd %s: %s", name, without)
		}
	}
}
