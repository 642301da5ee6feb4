package install

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxUnpacked bounds what a bundle holds, in bytes.
const maxUnpacked = 2 << 30

// unit starts containerd where there is systemd.
const unit = `[Unit]
Description=containerd
After=network.target local-fs.target
[Service]
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Restart=always
RestartSec=5
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
OOMScoreAdjust=-999
[Install]
WantedBy=multi-user.target
`

// fromBundle installs the bundle: a gzip'ed tar with containerd, its shim, ctr
// and runc in bin/, and the CNI plugins in cni/, or in libexec/cni/ as nerdctl's
// full archives have them. All else in it is left out.
func (i *Installer) fromBundle(ctx context.Context) error {
	i.note("the container runtime is being installed from " + bundleName())
	archive := filepath.Join(i.config.StateDir, bundleName())
	defer os.Remove(archive)
	if err := i.download(ctx, bundleName(), bundleName(), archive, 0o600); err != nil {
		return err
	}
	file, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("opening %s: %w", bundleName(), err)
	}
	defer file.Close()
	if err := i.unpack(file); err != nil {
		return fmt.Errorf("unpacking %s: %w", bundleName(), err)
	}
	if err := i.complete(); err != nil {
		return fmt.Errorf("%s was unpacked, but %w", bundleName(), err)
	}
	return i.writeUnit()
}

func (i *Installer) unpack(archive io.Reader) error {
	compressed, err := gzip.NewReader(archive)
	if err != nil {
		return err
	}
	entries := tar.NewReader(compressed)
	for left := int64(maxUnpacked); ; {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		target := target(header)
		if target == "" {
			continue
		}
		if left -= header.Size; left < 0 {
			return fmt.Errorf("it holds more than %d bytes", maxUnpacked)
		}
		if err := writeProgram(i.path(target), entries); err != nil {
			return err
		}
	}
}

// target is where a bundle's file belongs; empty for what is left out.
func target(header *tar.Header) string {
	dir, name := path.Split(path.Clean(header.Name))
	if header.Typeflag != tar.TypeReg || name == "" || name[0] == '.' {
		return ""
	}
	switch strings.TrimSuffix(dir, "/") {
	case "bin":
		return "/usr/local/bin/" + name
	case "cni", "libexec/cni":
		return pluginDir + "/" + name
	}
	return ""
}

func writeProgram(path string, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := io.Copy(file, content); err != nil {
		return err
	}
	return errors.Join(file.Chmod(0o755), file.Sync(), os.Rename(file.Name(), path))
}

// writeUnit lets systemd start what a bundle brought.
func (i *Installer) writeUnit() error {
	path := "/etc/systemd/system/containerd.service"
	if !i.systemd() || i.exists(path) {
		return nil
	}
	if err := os.MkdirAll(i.path(filepath.Dir(path)), 0o755); err != nil {
		return fmt.Errorf("writing containerd's unit: %w", err)
	}
	if err := os.WriteFile(i.path(path), []byte(unit), 0o644); err != nil {
		return fmt.Errorf("writing containerd's unit: %w", err)
	}
	return nil
}
