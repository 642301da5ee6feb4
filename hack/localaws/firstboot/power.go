package firstboot

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// shutdownGrace is how long processes may take to end after SIGTERM. Pause
// containers and shims never do.
const shutdownGrace = 2 * time.Second

// sigRTMin is the first real-time signal that the C library leaves free.
const sigRTMin = 34

// powerSignals ask the first process to power off: SIGTERM, what systemd takes
// for halt, power off and reboot, and what other first processes take. There
// is nothing to come back after a reboot, so it is a power off too.
func powerSignals() []os.Signal {
	return []os.Signal{
		unix.SIGTERM, unix.SIGINT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPWR,
		syscall.Signal(sigRTMin + 3), syscall.Signal(sigRTMin + 4), syscall.Signal(sigRTMin + 5),
	}
}

// powerOff ends all other processes, kindly first. Whoever still runs when
// this process ends is killed with its namespace.
func powerOff(procs *processes, children <-chan os.Signal, grace time.Duration) {
	_ = unix.Kill(-1, unix.SIGTERM)
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	for procs.reap() {
		select {
		case <-children:
		case <-deadline.C:
			return
		}
	}
}
