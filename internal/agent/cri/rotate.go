package cri

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kip.elotl.co/internal/agent"
)

// The kubelet's defaults and names: <n>.log is the current file, <n>.log.<time> the
// one before, and older ones are compressed.
const (
	defaultLogMaxSize  = 10 << 20
	defaultLogMaxFiles = 5

	rotatedTime = "20060102-150405"
	compressed  = ".gz"
	temporary   = ".tmp"
)

// RotateLog implements agent.Runtime.
func (r *Runtime) RotateLog(ctx context.Context, container agent.ContainerID, id string) error {
	path := r.logPath(container)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		// Someone took it away.
		if err := r.reopenLog(ctx, id); err != nil {
			return err
		}
		return r.followers.rotated(path)
	}
	if err != nil || info.Size() < cmp.Or(r.config.LogMaxSize, defaultLogMaxSize) {
		return err
	}
	rotated := path + "." + time.Now().Format(rotatedTime)
	for _, name := range []string{rotated, rotated + compressed} {
		if _, err := os.Lstat(name); err == nil {
			return nil // the last time was less than a second ago
		}
	}
	// Two more come: the one that is rotated now, and its successor.
	if err := tidyLogs(path, max(cmp.Or(r.config.LogMaxFiles, defaultLogMaxFiles)-2, 0)); err != nil {
		return err
	}
	r.logs.Lock()
	defer r.logs.Unlock()
	if err := os.Rename(path, rotated); err != nil {
		return err
	}
	if err := r.reopenLog(ctx, id); err != nil {
		// The runtime goes on with the file that it has.
		return errors.Join(err, os.Rename(rotated, path))
	}
	return r.followers.rotated(path)
}

func (r *Runtime) reopenLog(ctx context.Context, id string) error {
	ctx, runtime, _, err := r.services(ctx)
	if err != nil {
		return err
	}
	if err := runtime.ReopenContainerLog(ctx, id); err != nil {
		return fmt.Errorf("beginning a new log file: %w", plain(err))
	}
	return nil
}

// tidyLogs compresses what was rotated and keeps the newest files of it. What was
// left where that was broken off goes.
func tidyLogs(path string, keep int) error {
	found, err := rotatedLogs(path)
	if err != nil {
		return err
	}
	var whole []string
	for _, log := range found {
		if strings.HasSuffix(log, temporary) || slices.Contains(found, log+compressed) {
			if err := os.Remove(log); err != nil {
				return err
			}
			continue
		}
		whole = append(whole, log)
	}
	for i, log := range whole {
		switch {
		case i < len(whole)-keep:
			err = os.Remove(log)
		case !strings.HasSuffix(log, compressed):
			err = compressLog(log)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rotatedLogs are the former files of a log, oldest first.
func rotatedLogs(path string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var rotated []string
	for _, entry := range entries { // in the order of their names
		if strings.HasPrefix(entry.Name(), filepath.Base(path)+".") {
			rotated = append(rotated, filepath.Join(filepath.Dir(path), entry.Name()))
		}
	}
	return rotated, nil
}

func compressLog(path string) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	made := path + temporary
	to, err := os.OpenFile(made, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer to.Close()
	writer := gzip.NewWriter(to)
	if _, err := io.Copy(writer, from); err != nil {
		return errors.Join(fmt.Errorf("compressing %s: %w", path, err), os.Remove(made))
	}
	if err := errors.Join(writer.Close(), to.Close()); err != nil {
		return errors.Join(fmt.Errorf("compressing %s: %w", path, err), os.Remove(made))
	}
	if err := os.Rename(made, path+compressed); err != nil {
		return err
	}
	return os.Remove(path)
}

// removeLogs takes away what a removed container has logged.
func removeLogs(path string) error {
	if path == "" {
		return nil
	}
	rotated, err := rotatedLogs(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, log := range append(rotated, path) {
		if removed := os.Remove(log); !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}
	return err
}

// logOf asks the runtime where a container logs to; empty when it does not say.
func logOf(status *runtimeapi.ContainerStatusResponse, err error) string {
	if err != nil {
		return ""
	}
	return status.GetStatus().GetLogPath()
}
