package main

import (
	"context"
	"fmt"
	"math"
	"net/netip"

	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"kip.elotl.co/internal/lastlogs"
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
		Kubelet: virtualnode.Endpoint{Address: o.nodeAddress}, KubeletVersion: kubelet, Region: region,
	}, err
}

// kubelet is what the operator does in the place of the nodes' kubelets.
type kubelet struct {
	about   virtualnode.About
	ports   *virtualnode.Ports
	serving *virtualnode.ServingState
	logs    *lastlogs.Store
	server  *kubeletapi.Server
}

// newKubelet makes it of the parts of the kubelet API that are given, and the
// others.
func newKubelet(mgr ctrl.Manager, region string, o options, parts kubeletapi.Options) (*kubelet, error) {
	about, err := aboutNodes(parts.Kube, region, o)
	if err != nil {
		return nil, err
	}
	k := &kubelet{about: about, serving: virtualnode.NewServingState(), logs: lastlogs.New(o.logLimits)}
	// Runs on the leader.
	begin := func(context.Context) error {
		k.logs.Begin(parts.Clock.Now())
		return nil
	}
	if err := mgr.Add(manager.RunnableFunc(begin)); err != nil {
		return nil, fmt.Errorf("adding the last logs: %w", err)
	}
	if parts.Address, err = netip.ParseAddr(o.nodeAddress); err != nil {
		return nil, fmt.Errorf("--node-address: %w", err)
	}
	if o.kubeletPort < 1 || o.kubeletPort > math.MaxUint16 {
		return nil, fmt.Errorf("--kubelet-port: %d is no port: 1 to %d are", o.kubeletPort, math.MaxUint16)
	}
	if o.kubeletPorts < 1 || o.kubeletPorts > math.MaxUint16 {
		return nil, fmt.Errorf("--kubelet-ports: want 1 to %d, have %d", math.MaxUint16, o.kubeletPorts)
	}
	k.ports = virtualnode.NewPorts(o.kubeletAddr, int32(o.kubeletPort), int32(o.kubeletPorts))
	parts.Ports = k.ports
	parts.Kept, parts.Signer, parts.Tell = k.logs, o.signer, k.serving.Set
	k.server, err = kubeletapi.New(parts)
	return k, err
}
