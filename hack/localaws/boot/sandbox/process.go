package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is one process for certain: its number, and what tells it from a
// later one with the same number.
type process struct {
	PID int `json:"pid"`
	// StartTicks is when it started, in clock ticks since the boot BootID.
	StartTicks uint64 `json:"startTicks"`
	BootID     string `json:"bootID"`
}

// identify describes the process that has the number now.
func identify(pid int) (process, error) {
	ticks, _, err := readStat(pid)
	if err != nil {
		return process{}, fmt.Errorf("identifying process %d: %w", pid, err)
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return process{}, fmt.Errorf("identifying the boot: %w", err)
	}
	return process{PID: pid, StartTicks: ticks, BootID: strings.TrimSpace(string(id))}, nil
}

// readStat reads field 22 (start time) and field 3 (state) of proc_pid_stat(5).
func readStat(pid int) (ticks uint64, state byte, err error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, err
	}
	return parseStat(data)
}

func parseStat(data []byte) (ticks uint64, state byte, err error) {
	// The command's name, in parentheses, may hold anything.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 {
		return 0, 0, errors.New("too few fields in its status")
	}
	ticks, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return ticks, fields[0][0], err
}

// open returns a pollable descriptor of the process if it still runs; else an
// error that wraps os.ErrProcessDone.
func (p process) open() (*os.File, error) {
	if p.PID <= 1 {
		return nil, os.ErrProcessDone
	}
	fd, err := unix.PidfdOpen(p.PID, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, os.ErrProcessDone
	}
	if err != nil {
		return nil, fmt.Errorf("opening process %d: %w", p.PID, err)
	}
	// Looked at after opening: the descriptor cannot come to mean another.
	now, err := identify(p.PID)
	if _, state, statErr := readStat(p.PID); err != nil || now != p || statErr != nil || state == 'Z' {
		unix.Close(fd)
		return nil, os.ErrProcessDone
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// awaitExit returns when the process behind the descriptor has ended.
func awaitExit(pidfd *os.File) error {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || (err != nil && !errors.Is(err, unix.EINTR))
	})
}

// kill ends the process behind the descriptor, and with a cell's first
// process everything in the cell.
func kill(pidfd *os.File) error {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) }); err != nil {
		return err
	}
	if errors.Is(sent, unix.ESRCH) {
		return nil
	}
	return sent
}
