package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/internal/itzo"
)

// Config is what an agent is made of.
type Config struct {
	// Version is the build's, as Info shows it.
	Version string
	Runtime Runtime
	Host    Host
	// Registries are those that the cell itself has access to; nil: none.
	Registries Registries
	// HostIP is the cell's address as the status shows it. When it is not valid,
	// the address at which the pod's request arrived is taken.
	HostIP netip.Addr
	// Check refuses pods that this cell cannot run, by field, before they are
	// accepted; nil refuses none.
	Check func(*corev1.Pod) field.ErrorList
	// Resync is how often to look at a runtime that tells events, in case one was
	// lost; 0: never.
	Resync time.Duration
	// PowerOffAfter is for how long the operator may be silent before the cell
	// powers itself off, by Power; 0: for ever.
	PowerOffAfter time.Duration
	Power         Power
	// Notices asks what the cloud has told of the cell's end; nil: nobody can be asked.
	Notices func(context.Context) (itzo.Notices, error)
}

// Agent runs one pod.
type Agent struct {
	config Config
	hub    *hub
	usage  *usage
	// wake makes the loop look again.
	wake chan struct{}
	// silence is nil where it may last for ever.
	silence *silence
	// work is the actions under way.
	work sync.WaitGroup

	// The loop's own.
	messages map[string]string
	active   time.Time

	mu sync.Mutex
	// credentials are what the agent serves with; nil before it does.
	credentials Credentials
	machine     *machine // nil as long as the cell has no pod
	// unsaved says that the machine's record has changed and nothing shows it.
	unsaved bool
	ended   []endedAction
	cancels map[cancelKey]context.CancelFunc
	info    itzo.RuntimeInfo
	// events says that the runtime tells of changes by itself.
	events bool
}

type endedAction struct {
	action action
	result result
}

// New makes an agent, which goes on with the pod that the Host remembers.
func New(config Config) (*Agent, error) {
	a := &Agent{
		config:   config,
		hub:      newHub(rand.Text()),
		usage:    newUsage(),
		wake:     make(chan struct{}, 1),
		messages: map[string]string{},
		cancels:  map[cancelKey]context.CancelFunc{},
	}
	if config.PowerOffAfter > 0 {
		kept, err := newSilence(config.PowerOffAfter, config.Power, config.Host.Resources().BootID)
		if err != nil {
			return nil, err
		}
		a.silence = kept
	}
	data, err := config.Host.Load()
	if err != nil {
		return nil, fmt.Errorf("loading the agent's state: %w", err)
	}
	if data == nil {
		return a, nil
	}
	rec, err := decodeRecord(data)
	if err != nil {
		return nil, err
	}
	a.machine = newMachine(rec)
	a.hub.publish(rec)
	return a, nil
}

// poke makes the loop look again.
func (a *Agent) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}
