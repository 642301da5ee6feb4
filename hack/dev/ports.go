package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"kip.elotl.co/hack/devcluster/freebind"
	"kip.elotl.co/hack/proc"
	"kip.elotl.co/hack/proc/atomicfile"
)

// ports are TCP ports of the parts beside the control plane, which has its own.
type ports struct {
	Registry uint16 `json:"registry"`
	AWS      uint16 `json:"aws"`
	Metrics  uint16 `json:"metrics"`
	Health   uint16 `json:"health"`
	Kubelet  uint16 `json:"kubelet"`
	Agents   uint16 `json:"agents"`
}

const portsFile = "ports.json"

func (e Environment) readPorts() (ports, error) {
	data, err := os.ReadFile(e.path(portsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return ports{}, nil
	}
	var p ports
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return ports{}, fmt.Errorf("reading the ports: %w", err)
	}
	return p, nil
}

// choosePorts fixes the ports: as last time, unless the part does not run and somebody else took its port. The operator's replicas have the
// same ones, on addresses of their own.
func (e Environment) choosePorts(ctx context.Context) error {
	p, err := e.readPorts()
	if err != nil {
		return err
	}
	operators := e.operators()
	for _, one := range []struct {
		parts     []string
		addresses []net.IP
		port      *uint16
	}{
		{[]string{Registry}, e.addresses(), &p.Registry}, {[]string{AWS}, e.addresses(), &p.AWS},
		{operators, e.replicaAddresses(), &p.Metrics}, {operators, e.replicaAddresses(), &p.Health},
		{operators, e.replicaAddresses(), &p.Kubelet}, {operators, e.replicaAddresses(), &p.Agents},
	} {
		if *one.port, err = e.choosePort(ctx, one.parts, one.addresses, *one.port); err != nil {
			return fmt.Errorf("choosing a port for %s: %w", one.parts[0], err)
		}
	}
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	_, err = atomicfile.Write(e.path(portsFile), append(data, '\n'), 0o644)
	return err
}

func (e Environment) choosePort(ctx context.Context, parts []string, addresses []net.IP, last uint16) (uint16, error) {
	if last != 0 {
		for _, part := range parts {
			if _, alive, err := proc.Alive(e.Dir, part); err != nil || alive {
				return last, err
			}
		}
		if freebind.Free(ctx, int(last), addresses...) {
			return last, nil
		}
	}
	port, err := freebind.Port(ctx, addresses...)
	return uint16(port), err
}
