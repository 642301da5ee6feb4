package devcluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"kip.elotl.co/hack/devcluster/freebind"
	"kip.elotl.co/hack/proc"
	"kip.elotl.co/hack/proc/atomicfile"
)

// choosePorts fixes the ports: as configured, else as last time, unless the component does not run and somebody else took its port.
func (c *Cluster) choosePorts(ctx context.Context) error {
	ports, err := readPorts(c.path("ports.json"))
	if err != nil {
		return err
	}
	for _, p := range []struct {
		component string
		wanted    int
		port      *int
	}{
		{APIServer, c.cfg.Ports.APIServer, &ports.APIServer},
		{Etcd, c.cfg.Ports.EtcdClient, &ports.EtcdClient},
		{Etcd, c.cfg.Ports.EtcdPeer, &ports.EtcdPeer},
		{ControllerManager, c.cfg.Ports.ControllerManager, &ports.ControllerManager},
		{Scheduler, c.cfg.Ports.Scheduler, &ports.Scheduler},
	} {
		if *p.port, err = c.choosePort(ctx, p.component, p.wanted, *p.port); err != nil {
			return err
		}
	}
	c.ports = ports
	data, err := json.MarshalIndent(ports, "", "  ")
	if err != nil {
		return err
	}
	_, err = atomicfile.Write(c.path("ports.json"), append(data, '\n'), 0o600)
	return err
}

func (c *Cluster) choosePort(ctx context.Context, component string, wanted, last int) (int, error) {
	if wanted != 0 {
		return wanted, nil
	}
	_, alive, err := proc.Alive(c.cfg.Dir, component)
	if err != nil {
		return 0, err
	}
	if !alive {
		// Waits until a component that was just killed has let go of its port.
		if err := proc.Stop(ctx, c.cfg.Dir, component, stopGrace); err != nil {
			return 0, err
		}
	}
	if last != 0 && (alive || freebind.Free(ctx, last, c.ips...)) {
		return last, nil
	}
	port, err := freebind.Port(ctx, c.ips...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", component, err)
	}
	return port, nil
}

// readPorts returns zeros when nothing is remembered.
func readPorts(path string) (Ports, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Ports{}, nil
	}
	if err != nil {
		return Ports{}, err
	}
	ports, err := parsePorts(data)
	if err != nil {
		return Ports{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return ports, nil
}

func parsePorts(data []byte) (Ports, error) {
	// uint16 refuses what is no port.
	var raw struct{ APIServer, EtcdClient, EtcdPeer, ControllerManager, Scheduler uint16 }
	if err := json.Unmarshal(data, &raw); err != nil {
		return Ports{}, err
	}
	return Ports{
		APIServer: int(raw.APIServer), EtcdClient: int(raw.EtcdClient), EtcdPeer: int(raw.EtcdPeer),
		ControllerManager: int(raw.ControllerManager), Scheduler: int(raw.Scheduler),
	}, nil
}
