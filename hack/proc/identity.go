package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// stat is the part of /proc/PID/stat that tells processes apart.
type stat struct {
	state     byte // R, S, D, Z (ended, not yet collected by its parent), …; of the first thread
	threads   int
	startTime uint64 // clock ticks since boot
}

func readStat(pid int) (stat, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(data)
}

// parseStat reads the format of proc_pid_stat(5). The second field, the command in parentheses, may hold anything, parentheses too.
func parseStat(data []byte) (stat, error) {
	end := bytes.LastIndexByte(data, ')')
	if end < 0 {
		return stat{}, fmt.Errorf("no command in process status %q", data)
	}
	const stateField, threadsField, startField = 3, 20, 22
	fields := bytes.Fields(data[end+1:])
	if len(fields) <= startField-stateField {
		return stat{}, fmt.Errorf("%d fields after the command in process status", len(fields))
	}
	start, err := strconv.ParseUint(string(fields[startField-stateField]), 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("start time in process status: %w", err)
	}
	threads, err := strconv.Atoi(string(fields[threadsField-stateField]))
	if err != nil {
		return stat{}, fmt.Errorf("number of threads in process status: %w", err)
	}
	return stat{state: fields[0][0], threads: threads, startTime: start}, nil
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}

// phase is how far a process is.
type phase int

const (
	ended phase = iota
	// ending: the first thread has ended, and others, which are about to, still hold the process's files and ports.
	ending
	running
)

// phase tells about the very process that was recorded.
func (r record) phase() phase {
	if r.PID == 0 {
		return ended
	}
	st, err := readStat(r.PID)
	if err != nil || st.startTime != r.StartTime {
		return ended
	}
	if boot, err := bootID(); err != nil || boot != r.BootID {
		return ended
	}
	return st.phase()
}

func (s stat) phase() phase {
	switch {
	case s.state != 'Z' && s.state != 'X':
		return running
	case s.threads > 1:
		return ending
	}
	return ended
}
