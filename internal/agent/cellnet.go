package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/podfields"
)

// annotationInstanceProfile names the instance profile that a pod's cell was
// launched with for its sake.
const annotationInstanceProfile = "pod.elotl.co/instance-profile"

// runSandbox makes the pod's sandbox, once the cell's network is fit for it.
func (a *Agent) runSandbox(ctx context.Context, j job) result {
	if r := a.checkAddress(j); r.err != nil {
		return r
	}
	if err := a.makeVolumes(j.pod); err != nil {
		return result{err: err, reason: reasonMount}
	}
	a.readyRegistries(ctx, j)
	if err := a.config.Host.GuardMetadata(metadataAccess(j.pod)); err != nil {
		return result{err: err}
	}
	spec, err := a.sandboxSpec(j, j.attempt)
	if err == nil {
		_, err = a.config.Runtime.RunSandbox(ctx, spec)
	}
	return result{err: err}
}

// checkAddress looks whether the pod's own address is free.
func (a *Agent) checkAddress(j job) result {
	if j.pod.Spec.HostNetwork {
		return result{}
	}
	device, err := a.config.Host.DeviceWithAddress(j.ip)
	if err != nil || device == "" {
		return result{err: err}
	}
	return result{reason: reasonAddressTaken, err: fmt.Errorf("the cell's operating system has configured the pod's address %s "+
		"on its own interface %s, where the pod's traffic would end: the image must leave an instance's secondary addresses alone", j.ip, device)}
}

// metadataAccess: no pod reaches the instance's metadata, which has the
// credentials of the cell's role, but one that named that role itself. A pod in
// the cell's network cannot be told from the cell, which is kept out with it.
func metadataAccess(pod *corev1.Pod) MetadataAccess {
	switch {
	case pod.Annotations[annotationInstanceProfile] != "":
		return MetadataForPods
	case pod.Spec.HostNetwork:
		return MetadataForNone
	}
	return MetadataForCell
}

// maxHostsFile bounds what is read of the cell's hosts file, in bytes.
const maxHostsFile = 1 << 20

// hostsFile is /etc/hosts of the pod's containers: in the cell's network that of
// the cell, with the pod's aliases, as the kubelet writes it.
func (a *Agent) hostsFile(j job) (string, error) {
	if !j.pod.Spec.HostNetwork {
		return podfields.HostsFile(j.pod, j.ip), nil
	}
	own, err := a.cellHosts()
	if err != nil {
		return "", fmt.Errorf("reading the cell's hosts file: %w", err)
	}
	return "# Kubernetes-managed hosts file (host network).\n" + own + podfields.HostAliases(j.pod), nil
}

// cellHosts is empty where the cell has no such file.
func (a *Agent) cellHosts() (string, error) {
	file, err := a.config.Host.OpenFile("/etc/hosts")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxHostsFile))
	return string(content), err
}
