package proc

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"kip.elotl.co/hack/proc/atomicfile"
)

// record is what is remembered of a started process, in proc/NAME.json.
type record struct {
	PID int `json:"pid"`
	// StartTime is when the process started, in clock ticks since boot (field 22 of /proc/PID/stat).
	StartTime uint64 `json:"startTime"`
	// Since is the same by the wall clock, a moment earlier.
	Since time.Time `json:"since"`
	// BootID is the kernel's random identifier of this boot: start times of another boot mean nothing.
	BootID string `json:"bootID"`
	// Fingerprint is the SHA-256 of everything that, when changed, makes the process start anew.
	Fingerprint string     `json:"fingerprint"`
	Executable  executable `json:"executable"`
	// LogOffset is the size in bytes that the log file had when the process was started.
	LogOffset int64 `json:"logOffset"`
}

// executable remembers the content of a file by what changes when the file does, so that large ones are not read at every start.
type executable struct {
	Inode   uint64 `json:"inode"`
	Size    int64  `json:"size"`
	ModTime int64  `json:"modTime"` // nanoseconds since 1970
	SHA256  string `json:"sha256"`
}

func recordPath(dir, name string) string { return filepath.Join(dir, "proc", name+".json") }
func pidPath(dir, name string) string    { return filepath.Join(dir, "pid", name) }

// readRecord returns the zero record, which is never alive, when there is none. A damaged one is an error, as its process may still run.
func readRecord(dir, name string) (record, error) {
	data, err := os.ReadFile(recordPath(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, fmt.Errorf("reading the record of %s: %w", name, err)
	}
	rec, err := parseRecord(data)
	if err != nil {
		return record{}, fmt.Errorf("reading %s: %w", recordPath(dir, name), err)
	}
	return rec, nil
}

// parseRecord refuses what could make a signal go astray: process IDs that kill(2) takes for groups, and init.
func parseRecord(data []byte) (record, error) {
	var rec record
	if err := json.Unmarshal(data, &rec); err != nil {
		return record{}, err
	}
	if rec.PID <= 1 || rec.StartTime == 0 || rec.BootID == "" {
		return record{}, fmt.Errorf("process %d, started at %d in boot %q, cannot be one of ours", rec.PID, rec.StartTime, rec.BootID)
	}
	return rec, nil
}

func (r *record) identify(pid int) error {
	st, err := readStat(pid)
	if err != nil {
		return err
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	r.PID, r.StartTime, r.BootID = pid, st.startTime, boot
	return nil
}

func (r *record) write(dir, name string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if _, err := atomicfile.Write(recordPath(dir, name), append(data, '\n'), 0o600); err != nil {
		return err
	}
	_, err = atomicfile.Write(pidPath(dir, name), []byte(strconv.Itoa(r.PID)+"\n"), 0o600)
	return err
}

func removeRecord(dir, name string) error {
	for _, path := range []string{pidPath(dir, name), recordPath(dir, name)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// fingerprint sums up the Spec and the files it names. known saves reading the executable when the file looks as it did.
func fingerprint(spec Spec, known executable) (string, executable, error) {
	exe, err := sumExecutable(spec.Path, known)
	if err != nil {
		return "", executable{}, err
	}
	h := sha256.New()
	for _, list := range [][]string{{spec.Path, spec.WorkDir, exe.SHA256, strconv.FormatBool(spec.DieWithParent)}, spec.Args, spec.Env} {
		sumStrings(h, list)
	}
	for _, path := range spec.Files {
		sum, err := sumFile(path)
		if err != nil {
			return "", executable{}, err
		}
		sumStrings(h, []string{path, sum})
	}
	return hex.EncodeToString(h.Sum(nil)), exe, nil
}

// sumStrings writes lengths too, so that no two lists sum up to the same.
func sumStrings(h hash.Hash, list []string) {
	fmt.Fprintf(h, "%d\n", len(list))
	for _, s := range list {
		fmt.Fprintf(h, "%d %s\n", len(s), s)
	}
}

func sumExecutable(path string, known executable) (executable, error) {
	info, err := os.Stat(path)
	if err != nil {
		return executable{}, err
	}
	exe := executable{Size: info.Size(), ModTime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		exe.Inode = st.Ino
	}
	exe.SHA256 = known.SHA256
	if exe == known {
		return exe, nil
	}
	exe.SHA256, err = sumFile(path)
	return exe, err
}

func sumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
