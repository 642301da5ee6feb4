// Package boot is the port between the EC2 emulator and what an instance
// really is: a sandbox with its own containers, or a hollow cell.
package boot

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// Spec is what a back end needs to bring one instance up. It holds what EC2
// and the instance metadata service would tell the guest.
type Spec struct {
	InstanceID   string
	InstanceType string
	ImageID      string
	Architecture string // x86_64 or arm64, as EC2 spells it
	Region       string
	Zone         string
	VCPUs        int
	MemoryMiB    int
	// GPUs and Neurons are the type's accelerators that the image has the driver for.
	GPUs, Neurons int
	// PrivateIPs are the addresses of the primary interface, the primary one
	// first. Only that one is to be configured in the guest.
	PrivateIPs []netip.Addr
	SubnetCIDR netip.Prefix
	MAC        string
	// UserData is what the guest reads from the metadata service: decoded
	// from base64, not decompressed, at most 16,384 bytes.
	UserData           []byte
	InstanceProfileARN string
	Metadata           MetadataOptions
	// Hangs: the guest never gets to the end of its boot.
	Hangs bool
	// Notices is asked whenever the guest is; nil: it is told nothing.
	Notices func() Notices `json:"-"`
	// MetadataDelay is how long an answer of the metadata service takes now; nil:
	// no time.
	MetadataDelay func() time.Duration `json:"-"`
}

// AwaitMetadata waits for as long as an answer of the metadata service takes.
func (s Spec) AwaitMetadata(ctx context.Context) error {
	if s.MetadataDelay == nil {
		return nil
	}
	delay := s.MetadataDelay()
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// MetadataOptions are RunInstances' MetadataOptions after defaulting.
type MetadataOptions struct {
	Disabled       bool
	TokensRequired bool
	HopLimit       int
}

// Backend boots instances.
type Backend interface {
	// Start brings the instance up and returns once its first process runs;
	// what the guest does from there on is its own matter. When it fails
	// nothing of the instance is left. ctx bounds Start only: it is cancelled
	// when the instance is terminated meanwhile, and in any case once Start has
	// returned; the machine lives on.
	Start(ctx context.Context, spec Spec) (Machine, error)
	// Recover attaches again to a machine that an earlier process of the
	// emulator started. It answers ErrGone when nothing of it runs, after
	// removing what is left of it.
	Recover(ctx context.Context, spec Spec) (Machine, error)
}

// Machine is one running instance.
type Machine interface {
	// Done is closed when the guest has ended, by Stop or on its own.
	Done() <-chan struct{}
	// Stop ends the guest and returns when no process, mount, interface,
	// route or cgroup of it remains. Calling it again is harmless.
	Stop(ctx context.Context) error
	// Console is the end of what the guest wrote to its console, at most 64 KiB.
	Console() []byte
}

// AgentKiller is a Machine whose agent can be killed.
type AgentKiller interface {
	// KillAgent ends the agent as SIGKILL does. What starts agents on the machine
	// starts another.
	KillAgent(ctx context.Context) error
}

// ErrGone is Recover's answer for a machine of which nothing runs any more.
var ErrGone = errors.New("machine is gone")
