package sandbox

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/boot/sandbox/enter"
)

// containerdRoot needs a real file system beneath it: on the cell's overlay
// containerd's own overlays cannot be made.
const containerdRoot = "/var/lib/containerd"

// Where an image's own containerd is mounted, and where its programs are
// found before the host's.
const (
	ownContainerd = "/opt/containerd"
	ownPrograms   = "/usr/local/bin"
)

// containerdPrograms are those that belong together in one version.
func containerdPrograms() []string { return []string{"containerd", "containerd-shim-runc-v2", "ctr"} }

// checkContainerd makes the images' directories absolute and looks whether all
// programs are in them.
func (cfg *Config) checkContainerd() error {
	checked := make(map[string]string, len(cfg.Containerd))
	for image, dir := range cfg.Containerd {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return fmt.Errorf("making %q absolute: %w", dir, err)
		}
		for _, program := range containerdPrograms() {
			_, err = os.Stat(filepath.Join(abs, program))
			if err != nil {
				return fmt.Errorf("the containerd of image %s: %w", image, err)
			}
		}
		checked[image] = abs
	}
	cfg.Containerd = checked
	return nil
}

// containerd lists what an image has for it: the configuration and, where it
// is not the host's, its programs.
func (b *Backend) containerd(spec boot.Spec) []entry {
	config := containerdConfig(b.cfg.SandboxImage, b.cniDir)
	var programs []entry
	if b.cfg.Containerd[spec.ImageID] != "" {
		config = containerd2Config(b.cfg.SandboxImage, b.cniDir)
		programs = append(programs, entry{ownContainerd, fs.ModeDir | 0o755, ""})
		for _, name := range containerdPrograms() {
			programs = append(programs, entry{filepath.Join(ownPrograms, name), fs.ModeSymlink, filepath.Join(ownContainerd, name)})
		}
	}
	return append(programs, entry{"/etc/containerd/config.toml", 0o644, config})
}

// binds are the directories of the host that a cell sees.
func (b *Backend) binds(c *cell, spec boot.Spec) []enter.Bind {
	binds := []enter.Bind{{Source: filepath.Join(c.dir, dataDir), Target: containerdRoot}}
	if dir := b.cfg.Containerd[spec.ImageID]; dir != "" {
		binds = append(binds, enter.Bind{Source: dir, Target: ownContainerd, ReadOnly: true})
	}
	return binds
}

// containerdConfig is for containerd 1.6 to 2.x, which all read version 2.
func containerdConfig(sandboxImage, cniDir string) string {
	image := ""
	if sandboxImage != "" {
		image = fmt.Sprintf("  sandbox_image = %q\n", sandboxImage)
	}
	return `version = 2
root = "` + containerdRoot + `"
state = "/run/containerd"
# What cells do not need would only slow the start down.
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.native", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.nri.v1.nri",
]

[plugins."io.containerd.grpc.v1.cri"]
` + image + `  # Needed where CAP_SYS_RESOURCE is missing, and harmless elsewhere.
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "` + cniDir + `"
  conf_dir = "/etc/cni/net.d"

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
`
}

// containerd2Config is the same in version 3, as images with containerd 2 have it.
func containerd2Config(sandboxImage, cniDir string) string {
	image := ""
	if sandboxImage != "" {
		image = fmt.Sprintf("[plugins.'io.containerd.cri.v1.images'.pinned_images]\n  sandbox = %q\n", sandboxImage)
	}
	return `version = 3
root = "` + containerdRoot + `"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.native", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.nri.v1.nri",
]

` + image + `[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "/etc/containerd/certs.d"

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["` + cniDir + `"]
  conf_dir = "/etc/cni/net.d"
`
}

func hostsToml(host string) string {
	return fmt.Sprintf("server = \"http://%s\"\n\n[host.\"http://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", host, host)
}
