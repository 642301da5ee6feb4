package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"kip.elotl.co/hack/localaws/boot"
)

// agentName is the agent's command, as proc_pid_comm(5) has it.
const agentName = "itzo"

var _ boot.AgentKiller = (*Machine)(nil)

// KillAgent implements boot.AgentKiller. Of several agents all are killed.
func (m *Machine) KillAgent(context.Context) error {
	agents, err := agentsWith(m.cell.rec.Process.PID)
	if err != nil {
		return err
	}
	if len(agents) == 0 {
		return fmt.Errorf("no process %s runs in the cell", agentName)
	}
	var errs []error
	for _, agent := range agents {
		errs = append(errs, agent.kill())
	}
	return errors.Join(errs...)
}

// kill ends the process if it still runs.
func (p process) kill() error {
	pidfd, err := p.open()
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pidfd.Close()
	return wrap(fmt.Sprintf("killing process %d", p.PID), kill(pidfd))
}

// agentsWith are the agents among the processes that share the PID namespace of
// one: containers have namespaces of their own, unless their pod asked for the cell's.
func agentsWith(pid int) ([]process, error) {
	namespace, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/pid")
	if err != nil {
		return nil, fmt.Errorf("finding the cell's processes: %w", err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("finding the cell's processes: %w", err)
	}
	var found []process
	for _, entry := range entries {
		number, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		name, _ := os.ReadFile("/proc/" + entry.Name() + "/comm") // it may have ended
		if its, _ := os.Readlink("/proc/" + entry.Name() + "/ns/pid"); its != namespace || strings.TrimSpace(string(name)) != agentName {
			continue
		}
		if p, err := identify(number); err == nil {
			found = append(found, p)
		}
	}
	return found, nil
}
