package dev

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kip.elotl.co/hack/fabric"
	"kip.elotl.co/hack/proc"
)

// part is one process of the environment and how to learn that it serves.
type part struct {
	name       string
	executable string
	args, env  []string
	// health answers 200 over plain HTTP once the part serves.
	health string
}

func (e Environment) spec(p part) proc.Spec {
	return proc.Spec{
		Name: p.name, Dir: e.Dir, Path: e.bin(p.executable), Args: p.args, DieWithParent: e.DieWithParent,
		Env: append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, p.env...),
	}
}

// run starts the part, unless it runs as it should, and waits until it serves.
func (e Environment) run(ctx context.Context, p part) error {
	if _, err := proc.Start(ctx, e.spec(p)); err != nil {
		return err
	}
	return proc.WaitReady(ctx, e.Dir, p.name, func(ctx context.Context) error { return getOK(ctx, p.health) })
}

func getOK(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return fmt.Errorf("%s answers %s: %s", url, response.Status, body)
	}
	return nil
}

// listen lists host:port for every address of the machine that a part with that port is to serve on.
func (e Environment) listen(endpoint string) (string, error) {
	_, port, err := net.SplitHostPort(endpoint)
	if err != nil {
		return "", err
	}
	var out []string
	for _, ip := range e.addresses() {
		out = append(out, net.JoinHostPort(ip.String(), port))
	}
	return strings.Join(out, ","), nil
}

// ECRHost is a name by which cells pull from the registry as if it were ECR's; of
// it private/busybox is there. Role kip-cell-ecr may.
const ECRHost = "123456789012.dkr.ecr." + Region + ".amazonaws.com"

// ECRPassword is what ECR's tokens hold here, and private repositories ask for.
const ECRPassword = "local-registry"

func (e Environment) registryPart(at Endpoints) (part, error) {
	listen, err := e.listen(at.Registry)
	if err != nil {
		return part{}, err
	}
	busybox := busyboxPath
	if e.Hollow && !static(busyboxPath)() {
		busybox = "" // hollow cells pull nothing
	}
	return part{
		name: Registry, executable: "registry", health: "http://" + at.Registry + "/healthz",
		args: []string{"--listen=" + listen, "--dir=" + e.path("images"), "--agents=" + e.path(agentsDir), "--busybox=" + busybox,
			"--private-password=" + ECRPassword},
	}, nil
}

func (e Environment) awsPart(at Endpoints) (part, error) {
	listen, err := e.listen(at.AWS)
	if err != nil {
		return part{}, err
	}
	if e.Hollow {
		listen += "," + e.holding().String() // so that no other environment takes the subnet
	}
	p := part{name: AWS, executable: "localaws", health: "http://" + at.AWS + "/_localaws/healthz", args: []string{
		"--listen=" + listen, "--state-dir=" + e.path("localaws"), "--region=" + Region, "--subnet=" + e.Subnet.String(),
		"--pending-delay=" + e.PendingDelay.String(), "--role=kip-cell=" + filepath.Join(e.Root, "config", "iam", "cells.json"),
		"--role=kip-cell-ecr=" + filepath.Join(e.Root, "config", "iam", "cells-ecr.json"), "--registry-password=" + ECRPassword,
	}}
	if e.Hollow {
		p.args = append(p.args, "--boot=hollow")
		return p, nil
	}
	// Cells outlive the emulator, so that a new one of it does not end them; Down does.
	p.args = append(p.args, "--boot=sandbox", "--keep-instances", "--fabric="+e.fabric().Name, "--cellinit="+e.bin("cellinit"),
		"--registry="+at.Registry, "--hide="+e.Root+","+e.Dir)
	_, port, err := net.SplitHostPort(at.AWS)
	if err != nil {
		return part{}, err
	}
	p.args = append(p.args, "--registry-alias="+ECRHost+"="+at.Registry,
		"--cell-environment=AWS_ENDPOINT_URL_ECR=http://"+net.JoinHostPort(e.address().String(), port))
	if own := e.bin("containerd2"); program(filepath.Join(own, "containerd"))() {
		p.args = append(p.args, "--containerd=kip-cell-al2023-*="+own, "--containerd=kip-cell-gpu-*="+own)
	}
	return p, nil
}

// operatorPart is a replica of the operator.
func (e Environment) operatorPart(name string, at OperatorEndpoints) (part, error) {
	variables, err := e.AWSVariables()
	if err != nil {
		return part{}, err
	}
	address, kubeletPort, err := net.SplitHostPort(at.Kubelet)
	if err != nil {
		return part{}, err
	}
	return part{
		name: name, executable: e.operator(), env: append(variables, e.OperatorVariables...), health: "http://" + at.Health + "/healthz",
		args: []string{
			"--kubeconfig=" + e.OperatorKubeconfig(), "--namespace=" + Namespace, "--node-address=" + address,
			"--kubelet-bind-address=" + address, "--kubelet-port=" + kubeletPort, // of its own, as environments live side by side
			"--metrics-bind-address=" + at.Metrics, "--health-probe-bind-address=" + at.Health,
			"--agent-dir=" + e.path(ownAgentDir), "--agent-bind-address=" + at.Agents,
			"--aws-limits=" + cmp.Or(e.AWSLimits, "none"),
		},
	}, nil
}

// makeFabric makes the network of the cells. When it was lost, the emulator that served on it has to start anew.
func (e Environment) makeFabric(ctx context.Context) error {
	if os.Getuid() != 0 {
		return errors.New("real cells need root (their own namespaces, mounts and network): run as root, or set HOLLOW=1 for simulated ones")
	}
	if _, err := fabric.Open(e.fabric()); err != nil {
		if err := proc.Stop(ctx, e.Dir, AWS, 0); err != nil {
			return err
		}
	}
	_, err := fabric.Up(e.fabric())
	return err
}
