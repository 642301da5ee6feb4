// Package journal records every call an emulated cloud was asked to do, as
// JSON lines in a file and in memory for questions.
package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// memory is how many of the newest entries are kept for questions; the file
// has more. rotateAt is the size at which the file is moved to <file>.1.
const (
	memory   = 50_000
	rotateAt = 128 << 20
)

// Entry is one call.
type Entry struct {
	// Seq numbers the calls from 1, without gaps, across restarts.
	Seq       int64         `json:"seq"`
	Time      time.Time     `json:"time"`
	Took      time.Duration `json:"tookNanoseconds"`
	RequestID string        `json:"requestID"`
	Action    string        `json:"action"`
	// Caller is the role and the instance whose session made the call; "" for
	// the account's own keys.
	Caller string `json:"caller,omitempty"`
	// Params are the call's parameters, without user data: that is there as
	// UserData.Size (bytes, decoded) and UserData.SHA256.
	Params map[string]string `json:"params,omitempty"`
	// Code is the error code answered; "" for success.
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	// Created are the instances that exist because of this call and did not
	// before: a repeated launch that was recognised creates none.
	Created []string `json:"created,omitempty"`
	// Fault names what was done wrong on purpose.
	Fault string `json:"fault,omitempty"`
}

// Journal is safe for concurrent use.
type Journal struct {
	mu      sync.Mutex
	path    string
	file    *os.File
	size    int64
	entries []Entry
	seq     int64
}

// Open continues the journal in the file at path, which is made when it is not
// there. A last line cut short by a crash is dropped.
func Open(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{path: path, file: f}
	if err := j.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read journal %s: %w", path, err), f.Close())
	}
	return j, nil
}

func (j *Journal) load() error {
	r := bufio.NewReaderSize(j.file, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("after entry %d: %w", j.seq, err)
		}
		j.size += int64(len(line))
		j.remember(e)
	}
	if err := j.file.Truncate(j.size); err != nil {
		return err
	}
	_, err := j.file.Seek(j.size, io.SeekStart)
	return err
}

func (j *Journal) remember(e Entry) {
	j.seq = e.Seq
	j.entries = append(j.entries, e)
	if len(j.entries) > 2*memory {
		j.entries = slices.Clone(j.entries[len(j.entries)-memory:])
	}
}

// Add numbers the entry and records it.
func (j *Journal) Add(e Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Seq = j.seq + 1
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode journal entry: %w", err)
	}
	j.remember(e)
	if err := j.rotate(); err != nil {
		return err
	}
	n, err := j.file.Write(append(line, '\n'))
	j.size += int64(n)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func (j *Journal) rotate() error {
	if j.size < rotateAt {
		return nil
	}
	if err := os.Rename(j.path, j.path+".1"); err != nil {
		return fmt.Errorf("rotate journal: %w", err)
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("rotate journal: %w", err)
	}
	err = j.file.Close()
	j.file, j.size = f, 0
	return err
}

// Since returns the remembered entries numbered above seq, of one action when
// action is not empty, oldest first.
func (j *Journal) Since(seq int64, action string) []Entry {
	j.mu.Lock()
	entries := j.entries
	j.mu.Unlock()
	out := []Entry{}
	for _, e := range entries {
		if e.Seq > seq && (action == "" || e.Action == action) {
			out = append(out, e)
		}
	}
	return out
}

// Close closes the file.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file.Close()
}
