// Package hollow boots instances that are nothing but Kip's agent with a fake
// container runtime, inside the emulator's process. Each listens on its own
// address, with the certificates of its own user data, so to the operator it
// is a cell like any other; how long containers run and how they end says the
// pod's annotation fake.ScriptAnnotation.
//
// It needs no root when the addresses are inside 127.0.0.0/8.
package hollow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"go.yaml.in/yaml/v3"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/firstboot/userdata"
	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/internal/podsupport"
)

// Port is the agent's.
const Port = 6421

// certDir is where user data puts what the agent serves with.
const certDir = "/tmp/itzo/"

// version is what hollow agents call themselves.
const version = "v2.0.0-hollow"

// Config is what a back end needs.
type Config struct {
	// BootTime passes between the start of a machine and the moment its agent
	// listens.
	BootTime time.Duration
	// Verbosity is the level of the agents' messages that consoles show.
	Verbosity int
	// Parameters gives the document that an instance finds in the Parameter
	// Store, empty as long as there is none; needed by cells that are told to
	// look there.
	Parameters func(instanceID string) string
	// Uptime is for how long the machines have run, for agents that power them off
	// when nobody asks them; nil: in real time.
	Uptime func() time.Duration
}

// Backend is a boot.Backend.
type Backend struct{ config Config }

var _ boot.Backend = (*Backend)(nil)

// New makes a back end.
func New(config Config) *Backend { return &Backend{config: config} }

// Start brings up a machine. An agent that lacks certificates does not come
// up, as on a real cell; the console says why.
func (b *Backend) Start(ctx context.Context, spec boot.Spec) (boot.Machine, error) {
	if len(spec.PrivateIPs) == 0 {
		return nil, fmt.Errorf("instance %s has no address", spec.InstanceID)
	}
	// Listening now shows when something else has the address.
	l, err := listen(ctx, spec)
	if err != nil {
		return nil, err
	}
	m := newMachine()
	log := m.console.logger(b.config.Verbosity)
	guest := logr.NewContext(m.ctx, log)
	go func() {
		defer close(m.done)
		if err := b.run(guest, spec, l, m); err != nil && m.ctx.Err() == nil {
			log.Error(err, "the agent does not run")
		}
		// A machine whose agent has died is still a machine.
		<-m.ctx.Done()
	}()
	return m, nil
}

func listen(ctx context.Context, spec boot.Spec) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", netip.AddrPortFrom(spec.PrivateIPs[0], Port).String())
	if err != nil {
		return nil, fmt.Errorf("take the address of %s: %w", spec.InstanceID, err)
	}
	return l, nil
}

// run is the machine's guest: it returns when ctx ends or its agent fails. It
// closes the listener.
func (b *Backend) run(ctx context.Context, spec boot.Spec, l net.Listener, m *machine) error {
	log := logr.FromContextOrDiscard(ctx)
	log.Info("hollow cell boots", "instanceID", spec.InstanceID, "instanceType", spec.InstanceType, "address", l.Addr().String())
	if spec.Hangs {
		return hang(ctx, spec, l, m.console)
	}
	if b.config.BootTime > 0 {
		var err error
		if l, err = b.listenLater(ctx, spec, l); err != nil {
			return err
		}
	}
	first, silence, err := b.parameters(ctx, spec)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	credentials, err := agent.NewMemory(first)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	config := agent.Config{
		Version: version, Runtime: fake.NewRuntime(devices(spec)...), HostIP: spec.PrivateIPs[0], Check: fake.CheckScript,
		Notices: notices(spec), PowerOffAfter: silence, Power: b.newPower(m.cancel),
		Host: fake.NewHost(agent.Resources{
			MemoryBytes: int64(spec.MemoryMiB) << 20, CPUs: spec.VCPUs, StorageBytes: 8 << 30, BootID: spec.InstanceID + "-" + strconv.FormatInt(time.Now().UnixNano(), 36),
		}),
	}
	return m.serve(ctx, spec, l, config, credentials)
}

// devices are the cell's accelerators as a real agent names them.
func devices(spec boot.Spec) []agent.Device {
	var all []agent.Device
	for i := range spec.GPUs {
		all = append(all, agent.Device{Resource: podsupport.ResourceGPU, Name: fmt.Sprintf("%s=%d", podsupport.ResourceGPU, i)})
	}
	for i := range spec.Neurons {
		all = append(all, agent.Device{Resource: podsupport.ResourceNeuron, Name: fmt.Sprintf("/dev/neuron%d", i)})
	}
	return all
}

// listenLater plays a boot that takes its time: connections are refused until
// it is over.
func (b *Backend) listenLater(ctx context.Context, spec boot.Spec, l net.Listener) (net.Listener, error) {
	if err := l.Close(); err != nil {
		return nil, fmt.Errorf("release the address of %s: %w", spec.InstanceID, err)
	}
	t := time.NewTimer(b.config.BootTime)
	defer t.Stop()
	select {
	case <-t.C:
		return listen(ctx, spec)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lookAgain is how often a machine looks whether its parameters are there.
const lookAgain = 20 * time.Millisecond

// parameters finds what an agent serves with, and for how long nobody need ask
// it: in the cell's user data, or in the Parameter Store where that says so.
func (b *Backend) parameters(ctx context.Context, spec boot.Spec) (agent.PEM, time.Duration, error) {
	// Problems of other parts are not the agent's.
	parsed, err := userdata.Parse(spec.UserData)
	found := map[string][]byte{}
	for _, f := range parsed.Files {
		found[f.Path] = f.Content
	}
	if _, elsewhere := found[certDir+"parameter_store"]; elsewhere && b.config.Parameters != nil {
		if err := b.fetch(ctx, spec.InstanceID, found); err != nil {
			return agent.PEM{}, 0, err
		}
	}
	credentials, err := certificates(found, err)
	if err != nil {
		return credentials, 0, err
	}
	silence, err := silenceAllowed(found)
	return credentials, silence, err
}

// fetch waits for the instance's parameters.
func (b *Backend) fetch(ctx context.Context, instanceID string, into map[string][]byte) error {
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	for {
		if document := b.config.Parameters(instanceID); document != "" {
			var parameters map[string]string
			if err := yaml.Unmarshal([]byte(document), &parameters); err != nil {
				return fmt.Errorf("reading the parameters of %s: %w", instanceID, err)
			}
			for name, value := range parameters {
				into[certDir+name] = []byte(value)
			}
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// certificates are among what a cell was told; unreadable is why that may not
// be all.
func certificates(found map[string][]byte, unreadable error) (agent.PEM, error) {
	out := agent.PEM{CA: found[certDir+"ca.crt"], Certificate: found[certDir+"server.crt"], Key: found[certDir+"server.key"]}
	if out.CA == nil || out.Certificate == nil || out.Key == nil {
		return out, errors.Join(fmt.Errorf("the user data does not write all of %sca.crt, server.crt and server.key", certDir), unreadable)
	}
	return out, nil
}

// Recover answers ErrGone: hollow machines die with the process they live in.
func (b *Backend) Recover(context.Context, boot.Spec) (boot.Machine, error) { return nil, boot.ErrGone }

// machine is a hollow cell.
type machine struct {
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}
	console *console

	mu sync.Mutex
	// kill ends the agent; nil while none runs.
	kill func()
}

func newMachine() *machine {
	m := &machine{done: make(chan struct{}), console: &console{}}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

func (m *machine) Done() <-chan struct{} { return m.done }

func (m *machine) Stop(ctx context.Context) error {
	m.cancel()
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the agent's end: %w", ctx.Err())
	}
}

func (m *machine) Console() []byte { return m.console.bytes() }

// consoleSize is how much of a console is kept, as EC2 does.
const consoleSize = 64 << 10

// console keeps the end of what was written to it.
type console struct {
	mu   sync.Mutex
	text []byte
}

func (c *console) logger(verbosity int) logr.Logger {
	return funcr.New(func(prefix, args string) { c.print(prefix + args + "\n") }, funcr.Options{LogTimestamp: true, Verbosity: verbosity})
}

func (c *console) print(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, text...)
	if extra := len(c.text) - consoleSize; extra > 0 {
		c.text = append([]byte(nil), c.text[extra:]...)
	}
}

func (c *console) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte(nil), c.text...)
}
