// Package busybox builds a container image from a static busybox binary, in
// memory and always with the same digest for the same binary.
package busybox

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Image is the built image.
type Image struct {
	v1.Image
	// Version is busybox's own, such as 1.35.0.
	Version string
}

// binaryPath is where the image holds the binary that all applets link to.
const binaryPath = "bin/busybox"

// Build makes the image from the binary at file, for this machine's
// architecture: the binary, a hard link for each of its applets, /etc/passwd,
// /etc/group and the usual directories; sh is its command.
func Build(ctx context.Context, file string) (Image, error) {
	image, err := build(ctx, file)
	if err != nil {
		return Image{}, fmt.Errorf("building the busybox image from %s: %w", file, err)
	}
	return image, nil
}

func build(ctx context.Context, file string) (Image, error) {
	if err := requireStatic(file); err != nil {
		return Image{}, err
	}
	binary, err := os.ReadFile(file)
	if err != nil {
		return Image{}, err
	}
	help, err := exec.CommandContext(ctx, file).Output()
	if err != nil {
		return Image{}, fmt.Errorf("asking for the version: %w", err)
	}
	version, err := parseVersion(string(help))
	if err != nil {
		return Image{}, err
	}
	list, err := exec.CommandContext(ctx, file, "--list-full").Output()
	if err != nil {
		return Image{}, fmt.Errorf("asking for the applets: %w", err)
	}
	content, err := layer(binary, applets(string(list)))
	if err != nil {
		return Image{}, err
	}
	image, err := assemble(content)
	return Image{Image: image, Version: version}, err
}

// requireStatic refuses a binary that the image could not run.
func requireStatic(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, prog := range f.Progs {
		if prog.Type == elf.PT_INTERP {
			return errors.New("the binary is linked dynamically; a static one is needed (Debian: busybox-static)")
		}
	}
	return nil
}

var versionLine = regexp.MustCompile(`^BusyBox v([0-9][0-9A-Za-z.]*)`)

func parseVersion(help string) (string, error) {
	m := versionLine.FindStringSubmatch(help)
	if m == nil {
		return "", errors.New("no version in the first line of its help")
	}
	return m[1], nil
}

// applets are the paths that the binary wants to be linked at, and /bin/sh.
func applets(list string) []string {
	paths := []string{"bin/sh"}
	for _, line := range strings.Fields(list) {
		p := strings.TrimPrefix(path.Clean("/"+line), "/")
		if p != "" && p != binaryPath {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// The users that the usual busybox image has, as far as somebody may ask for them.
const (
	// names keeps glibc, which is linked in, from loading its DNS library: that is of another build and crashes wget.
	names  = "hosts: files\n"
	passwd = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nbin:x:2:2:bin:/bin:/bin/false\n" +
		"sys:x:3:3:sys:/dev:/bin/false\nsync:x:4:100:sync:/bin:/bin/sync\nmail:x:8:8:mail:/var/spool/mail:/bin/false\n" +
		"www-data:x:33:33:www-data:/var/www:/bin/false\noperator:x:37:37:Operator:/var:/bin/false\n" +
		"nobody:x:65534:65534:nobody:/home:/bin/false\n"
	group = "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nmail:x:8:\nwww-data:x:33:\n" +
		"operator:x:37:\nusers:x:100:\nnogroup:x:65534:\n"
)

// layer is the whole file system as a tar archive with fixed times.
func layer(binary []byte, links []string) ([]byte, error) {
	t := &archive{}
	t.w = tar.NewWriter(&t.buf)
	for _, dir := range []struct {
		name string
		mode fs.FileMode
	}{
		{"bin", 0o755}, {"dev", 0o755}, {"etc", 0o755}, {"home", 0o755}, {"proc", 0o755}, {"root", 0o700}, {"sbin", 0o755},
		{"sys", 0o755}, {"tmp", 0o1777}, {"usr", 0o755}, {"usr/bin", 0o755}, {"usr/sbin", 0o755}, {"var", 0o755}, {"var/www", 0o755},
	} {
		t.add(tar.Header{Typeflag: tar.TypeDir, Name: dir.name + "/", Mode: int64(dir.mode)}, nil)
	}
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: binaryPath, Mode: 0o755}, binary)
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, []byte(passwd))
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/group", Mode: 0o644}, []byte(group))
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/nsswitch.conf", Mode: 0o644}, []byte(names))
	for _, link := range links {
		t.add(tar.Header{Typeflag: tar.TypeLink, Name: link, Linkname: binaryPath, Mode: 0o755}, nil)
	}
	return t.close()
}

// archive writes a tar and keeps the first error.
type archive struct {
	buf bytes.Buffer
	w   *tar.Writer
	err error
}

func (a *archive) add(h tar.Header, content []byte) {
	if a.err != nil {
		return
	}
	h.Size = int64(len(content))
	h.ModTime = time.Unix(0, 0)
	h.Format = tar.FormatPAX
	if a.err = a.w.WriteHeader(&h); a.err == nil {
		_, a.err = a.w.Write(content)
	}
}

func (a *archive) close() ([]byte, error) {
	if a.err == nil {
		a.err = a.w.Close()
	}
	if a.err != nil {
		return nil, fmt.Errorf("writing the layer: %w", a.err)
	}
	return a.buf.Bytes(), nil
}

func assemble(content []byte) (v1.Image, error) {
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("compressing the layer: %w", err)
	}
	image, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return nil, fmt.Errorf("adding the layer: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image's configuration: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config.Cmd = []string{"sh"}
	config.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	return mutate.ConfigFile(image, config)
}
