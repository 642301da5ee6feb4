package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

const (
	// blockSize is what stat counts in, in bytes.
	blockSize = 512
	// maxDepth bounds the directories that are open at once while one is measured.
	maxDepth = 500
	// readAtOnce is how many entries of a directory are read at once.
	readAtOnce = 1000
)

// VolumeUsage implements agent.Host.
func (h *Host) VolumeUsage(ctx context.Context, volume *corev1.Volume) (statsapi.FsStats, error) {
	dir := h.packageDir(volume.Name)
	if volume.EmptyDir != nil {
		dir = filepath.Join(h.dir, volumesDir, volume.Name)
	}
	stats, err := fileSystem(dir)
	if err != nil {
		return statsapi.FsStats{}, err
	}
	used, err := measure(ctx, dir)
	if err != nil {
		return statsapi.FsStats{}, err
	}
	stats.UsedBytes, stats.InodesUsed = &used.bytes, &used.inodes
	return stats, nil
}

// fileSystem says what there is in all of the file system that a path is in.
func fileSystem(path string) (statsapi.FsStats, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return statsapi.FsStats{}, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	size := uint64(stat.Bsize)
	available, capacity := stat.Bavail*size, stat.Blocks*size
	return statsapi.FsStats{Time: metav1.Now(), AvailableBytes: &available, CapacityBytes: &capacity,
		Inodes: &stat.Files, InodesFree: &stat.Ffree}, nil
}

// held is what a directory holds.
type held struct{ bytes, inodes uint64 }

// measuring adds up a directory. Containers write to it meanwhile: links in it are
// not followed, and what is gone again does not count.
type measuring struct {
	held
	device uint64
	// linked are the files seen that have several names.
	linked map[uint64]bool
}

// measure adds up the blocks of all that is in a directory and on its device, as
// du does.
func measure(ctx context.Context, dir string) (held, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return held{}, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	root := os.NewFile(uintptr(fd), dir)
	defer root.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return held{}, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	m := &measuring{device: stat.Dev, linked: map[uint64]bool{}}
	m.add(&stat)
	if err := m.directory(ctx, root, 0); err != nil {
		return held{}, fmt.Errorf("measuring %s: %w", dir, err)
	}
	return m.held, nil
}

func (m *measuring) add(stat *unix.Stat_t) {
	m.bytes += uint64(stat.Blocks) * blockSize
	m.inodes++
}

func (m *measuring) directory(ctx context.Context, dir *os.File, depth int) error {
	for {
		names, err := dir.Readdirnames(readAtOnce)
		for _, name := range names {
			if err := m.entry(ctx, dir, name, depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (m *measuring) entry(ctx context.Context, dir *os.File, name string, depth int) error {
	var stat unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil || stat.Dev != m.device {
		return nil
	}
	isDir := stat.Mode&unix.S_IFMT == unix.S_IFDIR
	if !isDir && stat.Nlink > 1 {
		if m.linked[stat.Ino] {
			return nil
		}
		m.linked[stat.Ino] = true
	}
	m.add(&stat)
	if !isDir {
		return nil
	}
	if depth >= maxDepth {
		return fmt.Errorf("directories in it are nested more than %d deep", maxDepth)
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return err
	}
	if err != nil {
		return nil
	}
	sub := os.NewFile(uintptr(fd), name)
	defer sub.Close()
	return m.directory(ctx, sub, depth+1)
}
