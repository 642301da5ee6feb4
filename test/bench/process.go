package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has used.
type usage struct {
	// RSS and Peak are resident memory, now and at most, in bytes.
	RSS, Peak int64
	// CPU is user and system time.
	CPU time.Duration
}

// tick is the unit of times in /proc: USER_HZ is 100 on every architecture that Go runs Linux on.
const tick = time.Second / 100

func usageOf(pid int) (usage, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return usage{}, err
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return usage{}, err
	}
	return parseUsage(stat, status)
}

// parseUsage reads the formats of proc_pid_stat(5) and proc_pid_status(5).
func parseUsage(stat, status []byte) (usage, error) {
	// The second field, the command in parentheses, may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return usage{}, fmt.Errorf("process status has %d fields after the command", len(fields))
	}
	var u usage
	for _, field := range [][]byte{fields[utime], fields[stime]} {
		ticks, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return usage{}, fmt.Errorf("reading the processor time: %w", err)
		}
		u.CPU += time.Duration(ticks) * tick
	}
	for line := range strings.Lines(string(status)) {
		for key, value := range map[string]*int64{"VmRSS:": &u.RSS, "VmHWM:": &u.Peak} {
			rest, ok := strings.CutPrefix(line, key)
			if !ok {
				continue
			}
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return usage{}, fmt.Errorf("reading the memory: %w", err)
			}
			*value = kib << 10
		}
	}
	return u, nil
}
