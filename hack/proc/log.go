package proc

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxLog is the size in bytes above which a start turns the log file, keeping one older part.
const maxLog = 32 << 20

// LogPath is the file that gets the standard output and error of the process.
func LogPath(dir, name string) string { return filepath.Join(dir, "log", name) }

// openLog returns the log file, open for appending, and its present size.
func openLog(dir, name string) (*os.File, int64, error) {
	path := LogPath(dir, name)
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, 0, err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// LogTail returns the last lines that the process wrote since it was started, at most 64 KiB; empty when there is no log.
func LogTail(dir, name string, lines int) (string, error) {
	rec, err := readRecord(dir, name)
	if err != nil {
		return "", err
	}
	f, err := os.Open(LogPath(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	const most = 64 << 10
	from := max(rec.LogOffset, info.Size()-most)
	data, err := io.ReadAll(io.NewSectionReader(f, from, most))
	return string(lastLines(data, lines)), err
}

func lastLines(data []byte, n int) []byte {
	rest := bytes.TrimRight(data, "\n")
	end := len(rest)
	for ; n > 0 && end > 0; n-- {
		end = max(bytes.LastIndexByte(rest[:end], '\n'), 0)
	}
	return bytes.TrimLeft(rest[end:], "\n")
}
