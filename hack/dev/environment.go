// Package dev brings up the whole local environment and takes it down: a control plane, the EC2 emulator with cells that are sandboxes on a
// network of their own, a registry, and the operator as the ServiceAccount that it is everywhere.
//
// Several environments live side by side, each with its own directory, name and subnet. All that one keeps is in its directory:
//
//	kubeconfig   access as cluster administrator
//	registry     host:port of the registry, for the host and for cells
//	aws.env      what makes an AWS client talk to the emulator, for "source" and for "env"
//	log/, pid/   of every part, see package proc
//
// The rest is its own affair.
package dev

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"

	"kip.elotl.co/hack/devcluster"
	"kip.elotl.co/hack/fabric"
)

// Names of the parts beside those of package devcluster, as in log/ and pid/.
const (
	Operator = "operator"
	// SecondOperator is the operator's other replica, where there are two.
	SecondOperator = "operator-2"
	AWS            = "localaws"
	Registry       = "registry"
)

// What the operator is in the cluster.
const (
	Namespace      = "kip-system"
	ServiceAccount = "kip"
	// ClassName is the CellClass that Up applies.
	ClassName = "default"
)

// Region is the emulated AWS region.
const Region = "us-east-1"

// Environment says what to bring up. The same Dir means the same environment.
type Environment struct {
	// Root is the root directory of this repository.
	Root string
	// Dir holds the state. It must be on a disk file system.
	Dir string
	// BinDir is where executables are built; environments may share it.
	BinDir string
	// Name tells environments apart on the machine: the fabric, and the control groups of cells, are called kip-<Name>. At most 11
	// characters; without a Subnet at most 6, to which Up appends a hash of Dir.
	Name string
	// Subnet is the emulated VPC, /16 to /26, used by nobody else on the machine; inside 127.0.0.0/8 when Hollow. This machine has its
	// first address. When it is not given, Up takes a free one that follows from Dir, and keeps it until Down.
	Subnet netip.Prefix
	// Hollow cells simulate their containers. They need no root.
	Hollow bool
	// NodeMonitorGrace is how long after its last sign of life a node becomes NotReady; 0: 50 s.
	NodeMonitorGrace time.Duration
	// PendingDelay is how long an instance stays pending at least.
	PendingDelay time.Duration
	// APIServerArgs are further arguments of kube-apiserver.
	APIServerArgs []string
	// AWSLimits is the operator's --aws-limits; none when empty, as the emulator has none unless told to.
	AWSLimits string
	// OperatorTags are the build tags of the operator, OperatorVariables what it finds in its environment besides, as KEY=value: for tests.
	OperatorTags      string
	OperatorVariables []string
	// Replicas is how many operators run, at most MaxReplicas: one leads. 0: as many as there are, or 1.
	Replicas int
	// DieWithParent has the kernel end all processes, though not the cells, with the caller's: for tests.
	DieWithParent bool
}

// Kubeconfig is the path of the administrator's kubeconfig.
func (e Environment) Kubeconfig() string { return e.path("kubeconfig") }

// OperatorKubeconfig is the path of the kubeconfig that the operator uses.
func (e Environment) OperatorKubeconfig() string { return e.path("operator.kubeconfig") }

// Endpoints are where parts serve, as host:port.
type Endpoints struct {
	// Registry is reached at this address by the host and by cells.
	Registry string
	// AWS is on 127.0.0.1.
	AWS string
	// Operators are those of the operator's replicas.
	Operators []OperatorEndpoints
}

// OperatorEndpoints are where a replica of the operator serves, as host:port.
type OperatorEndpoints struct {
	// Metrics and Health are on a loopback address of its own.
	Metrics, Health string
	// Kubelet is where it serves the kubelet API of the virtual nodes, as long as it leads.
	Kubelet string
	// Agents is where it serves its own agent to cells.
	Agents string
}

// Endpoints are those of the environment as it was last brought up.
func (e Environment) Endpoints() (Endpoints, error) {
	e, err := e.located()
	if err != nil {
		return Endpoints{}, err
	}
	p, err := e.readPorts()
	if err != nil {
		return Endpoints{}, err
	}
	at := func(ip netip.Addr, port uint16) string { return net.JoinHostPort(ip.String(), strconv.Itoa(int(port))) }
	endpoints := Endpoints{Registry: at(e.address(), p.Registry), AWS: at(loopback(0), p.AWS)}
	for n := range e.operators() {
		endpoints.Operators = append(endpoints.Operators, OperatorEndpoints{
			Metrics: at(loopback(n), p.Metrics), Health: at(loopback(n), p.Health),
			Kubelet: at(e.replicaAddress(n), p.Kubelet), Agents: at(e.replicaAddress(n), p.Agents),
		})
	}
	return endpoints, nil
}

// AWSVariables are the environment variables, as KEY=value, that make an AWS client talk to the emulator.
func (e Environment) AWSVariables() ([]string, error) {
	endpoints, err := e.Endpoints()
	if err != nil {
		return nil, err
	}
	return []string{
		"AWS_ENDPOINT_URL=http://" + endpoints.AWS,
		"AWS_REGION=" + Region,
		"AWS_ACCESS_KEY_ID=local",
		"AWS_SECRET_ACCESS_KEY=local",
		"AWS_EC2_METADATA_DISABLED=true",
	}, nil
}

// address is where cells find what runs on this machine: the first of the subnet, or that of the loopback interface for hollow cells, which
// live on it.
func (e Environment) address() netip.Addr {
	if e.Hollow {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return e.Subnet.Addr().Next()
}

// replicaAddress is where the API server and cells find the n-th replica of the operator, counted from 0.
func (e Environment) replicaAddress(n int) netip.Addr {
	switch {
	case e.Hollow:
		return loopback(n)
	case n == 0:
		return e.address()
	default:
		return e.address().Next().Next() // the machine's other one on the fabric
	}
}

// loopback is the n-th address of the loopback interface, counted from 0.
func loopback(n int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + n)}) }

// replicaAddresses are all addresses on which replicas of the operator serve.
func (e Environment) replicaAddresses() []net.IP {
	var ips []net.IP
	for n := range e.operators() {
		ips = append(ips, loopback(n).AsSlice())
		if !e.Hollow {
			ips = append(ips, e.replicaAddress(n).AsSlice())
		}
	}
	return ips
}

// addresses are 127.0.0.1 and address, without repetition.
func (e Environment) addresses() []net.IP {
	ips := []net.IP{net.IPv4(127, 0, 0, 1)}
	if !e.Hollow {
		ips = append(ips, e.address().AsSlice())
	}
	return ips
}

func (e Environment) fabric() fabric.Config {
	return fabric.Config{Name: "kip-" + e.Name, Subnet: e.Subnet}
}

// Fabric is the network of the cells, of an environment that is up with real ones.
func (e Environment) Fabric() (*fabric.Network, error) {
	e, err := e.located()
	if err != nil {
		return nil, err
	}
	return fabric.Open(e.fabric())
}

func (e Environment) path(names ...string) string {
	return filepath.Join(append([]string{e.Dir}, names...)...)
}

func (e Environment) bin(name string) string { return filepath.Join(e.BinDir, name) }

// cellsDir is where localaws keeps sandboxes, below its state directory.
func (e Environment) cellsDir() string { return e.path("localaws", "sandbox", "cells") }

func (e Environment) complete() (Environment, error) {
	for _, dir := range []*string{&e.Root, &e.Dir, &e.BinDir} {
		if *dir == "" {
			return e, errors.New("the root of the repository, a state directory and one for executables are needed")
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return e, fmt.Errorf("making %q absolute: %w", *dir, err)
		}
		*dir = abs
	}
	if e.Name == "" {
		return e, errors.New("a name is needed")
	}
	if e.Replicas < 0 || e.Replicas > MaxReplicas {
		return e, fmt.Errorf("%d replicas of the operator: at most %d have addresses", e.Replicas, MaxReplicas)
	}
	if e.Hollow && e.Subnet.IsValid() && !e.Subnet.Addr().IsLoopback() {
		return e, fmt.Errorf("subnet %s: hollow cells need one inside 127.0.0.0/8", e.Subnet)
	}
	return e, nil
}

func (e Environment) clusterConfig() devcluster.Config {
	cfg := devcluster.Config{
		Dir: e.Dir, BinDir: e.BinDir, BindAddresses: e.addresses(), NodeMonitorGrace: e.NodeMonitorGrace, DieWithParent: e.DieWithParent,
	}
	if len(e.APIServerArgs) > 0 {
		cfg.ExtraArgs = map[string][]string{devcluster.APIServer: e.APIServerArgs}
	}
	return cfg
}
