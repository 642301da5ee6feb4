package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"k8s.io/client-go/kubernetes"

	"kip.elotl.co/internal/virtualnode"
	"kip.elotl.co/internal/virtualnode/kubeletapi"
)

// aboutNodes is what the virtual nodes say of this operator.
func aboutNodes(kube kubernetes.Interface, region string, o options) (virtualnode.About, error) {
	server, err := kube.Discovery().ServerVersion()
	if err != nil {
		return virtualnode.About{}, fmt.Errorf("asking the API server for its version: %w", err)
	}
	kubelet, err := virtualnode.KubeletVersion(server.GitVersion, version)
	return virtualnode.About{
		Kubelet:        virtualnode.Endpoint{Address: o.nodeAddress, Port: int32(o.kubeletPort)},
		KubeletVersion: kubelet, Region: region,
	}, err
}

func newKubeletAPI(o options, parts kubeletapi.Options) (*kubeletapi.Server, error) {
	address, err := netip.ParseAddr(o.nodeAddress)
	if err != nil {
		return nil, fmt.Errorf("--node-address: %w", err)
	}
	parts.Address = address
	parts.Listen = net.JoinHostPort(o.kubeletAddr, strconv.Itoa(o.kubeletPort))
	return kubeletapi.New(parts)
}
