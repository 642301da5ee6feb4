package enter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mountAll builds the cell's file system under cfg.Root, in this process's
// mount namespace alone.
func mountAll(cfg Config) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("separating the mounts from the host's: %w", err)
	}
	if err := overlay(cfg); err != nil {
		return err
	}
	for _, m := range systemMounts() {
		if err := m.mount(cfg.Root); err != nil {
			return err
		}
	}
	if err := devices(filepath.Join(cfg.Root, "dev"), cfg.Devices); err != nil {
		return err
	}
	if err := mountCgroups(cfg); err != nil {
		return err
	}
	for _, b := range cfg.Binds {
		if err := b.mount(cfg.Root); err != nil {
			return fmt.Errorf("mounting %s: %w", b.Target, err)
		}
	}
	return nil
}

func (b Bind) mount(root string) error {
	target := filepath.Join(root, b.Target)
	if err := unix.Mount(b.Source, target, "", unix.MS_BIND, ""); err != nil || !b.ReadOnly {
		return err
	}
	// A bind mount takes further flags only when it is mounted again.
	return unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

// overlay mounts the root. Nothing in it needs to survive a crash of the
// host, so it asks for no syncing where the kernel can do without.
func overlay(cfg Config) error {
	for _, path := range []string{cfg.Upper, cfg.Work} {
		if strings.ContainsAny(path, `,:\`) {
			return fmt.Errorf("overlay directory %q: commas, colons and backslashes cannot be in it", path)
		}
	}
	options := "lowerdir=/,upperdir=" + cfg.Upper + ",workdir=" + cfg.Work + ",index=off"
	err := unix.Mount("overlay", cfg.Root, "overlay", 0, options+",volatile")
	if errors.Is(err, unix.EINVAL) {
		err = unix.Mount("overlay", cfg.Root, "overlay", 0, options)
	}
	if err != nil {
		return fmt.Errorf("mounting the root: %w", err)
	}
	return nil
}

type mountpoint struct {
	fstype, target string
	flags          uintptr
	options        string
}

func (m mountpoint) mount(root string) error {
	target := filepath.Join(root, m.target)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", m.target, err)
	}
	if err := unix.Mount(m.fstype, target, m.fstype, m.flags, m.options); err != nil {
		return fmt.Errorf("mounting %s: %w", m.target, err)
	}
	return nil
}

func systemMounts() []mountpoint {
	const plain = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	return []mountpoint{
		{"proc", "proc", plain, ""},
		{"sysfs", "sys", plain, ""},
		{"tmpfs", "run", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"tmpfs", "dev", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=755"},
		{"devpts", "dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{"tmpfs", "dev/shm", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"mqueue", "dev/mqueue", plain, ""},
	}
}

// node is a character device.
type node struct {
	name         string
	major, minor uint32
	mode         uint32
}

// devices fills the cell's /dev: what every machine has, and what containers
// may ask for, and further ones that are like /dev/null.
func devices(dev string, idle []string) error {
	nodes := []node{
		{"null", 1, 3, 0o666}, {"zero", 1, 5, 0o666}, {"full", 1, 7, 0o666}, {"random", 1, 8, 0o666}, {"urandom", 1, 9, 0o666},
		{"tty", 5, 0, 0o666}, {"fuse", 10, 229, 0o666}, {"net/tun", 10, 200, 0o666},
	}
	for _, name := range idle {
		nodes = append(nodes, node{name, 1, 3, 0o666})
	}
	for _, n := range nodes {
		path := filepath.Join(dev, n.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("making /dev: %w", err)
		}
		if err := unix.Mknod(path, unix.S_IFCHR|n.mode, int(unix.Mkdev(n.major, n.minor))); err != nil {
			return fmt.Errorf("making /dev/%s: %w", n.name, err)
		}
		if err := os.Chmod(path, os.FileMode(n.mode)); err != nil {
			return fmt.Errorf("making /dev/%s: %w", n.name, err)
		}
	}
	links := [][2]string{
		{"pts/ptmx", "ptmx"}, {"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"},
	}
	for _, l := range links {
		if err := os.Symlink(l[0], filepath.Join(dev, l[1])); err != nil {
			return fmt.Errorf("making /dev/%s: %w", l[1], err)
		}
	}
	// The cell's first process reads from it what goes to the console.
	if err := unix.Mkfifo(filepath.Join(dev, "console"), 0o600); err != nil {
		return fmt.Errorf("making /dev/console: %w", err)
	}
	return nil
}

// mountCgroups shows the cell its own groups as if they were the machine's
// roots, in the version that the host has.
func mountCgroups(cfg Config) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	const base = "sys/fs/cgroup"
	if cfg.Unified {
		return mountpoint{"cgroup2", base, flags, ""}.mount(cfg.Root)
	}
	if err := (mountpoint{"tmpfs", base, flags, "mode=755"}).mount(cfg.Root); err != nil {
		return err
	}
	for _, h := range cfg.Hierarchies {
		if err := (mountpoint{"cgroup", filepath.Join(base, h.Name), flags, h.Options}).mount(cfg.Root); err != nil {
			return err
		}
		for _, c := range h.Controllers {
			if c == h.Name {
				continue
			}
			// cpu,cpuacct is found as cpu and as cpuacct.
			if err := os.Symlink(h.Name, filepath.Join(cfg.Root, base, c)); err != nil {
				return fmt.Errorf("linking cgroup %s: %w", c, err)
			}
		}
	}
	return nil
}
