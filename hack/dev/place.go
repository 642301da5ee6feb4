package dev

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"kip.elotl.co/hack/devcluster/freebind"
	"kip.elotl.co/hack/fabric"
	"kip.elotl.co/hack/proc"
	"kip.elotl.co/hack/proc/atomicfile"
)

// Subnets are taken from 100.65.0.0 to 100.127.255.255 for real cells, a /24 each, and from 127.16.0.0 to 127.207.255.255 for hollow ones, a
// /16 each. Tests of single packages use what is beside these ranges.
const (
	realSubnets   = (128 - 65) * 256
	hollowSubnets = 208 - 16
)

// candidate is the n-th subnet, counted around.
func candidate(isHollow bool, n int) netip.Prefix {
	if isHollow {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{127, byte(16 + n%hollowSubnets), 0, 0}), 16)
	}
	n %= realSubnets
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(65 + n/256), byte(n), 0}), 24)
}

// place fills in the subnet, when none is asked for, and makes the name the environment's own: as last time, or the first free one of those
// that begin where a hash of the directory says. So environments of several copies of the repository do not meet.
func (e Environment) place(ctx context.Context) (Environment, error) {
	if e.Subnet.IsValid() {
		return e, nil
	}
	if saved, ok, err := e.savedMode(); err != nil {
		return e, err
	} else if ok {
		e.Subnet, e.Name = saved.Subnet, saved.Name
		return e, nil
	}
	sum := sha256.Sum256([]byte(e.Dir))
	e.Name = fmt.Sprintf("%s-%x", e.Name, sum[:2])
	first, all := int(binary.BigEndian.Uint16(sum[2:])), realSubnets
	if e.Hollow {
		all = hollowSubnets
	}
	const tries = 500 // of looks at the machine's routes
	var taken error
	for n := range min(all, tries) {
		e.Subnet = candidate(e.Hollow, first+n)
		if taken = e.subnetTaken(ctx); taken == nil {
			return e, nil
		}
	}
	return e, fmt.Errorf("no subnet for the cells is free, choose one with --subnet; of the last that was looked at: %w", taken)
}

// holding is where the emulator of a hollow environment listens to be known to others as user of the subnet: the agents' port at the
// subnet's first address, which no cell gets.
func (e Environment) holding() netip.AddrPort {
	const agentPort = 6421
	return netip.AddrPortFrom(e.Subnet.Addr().Next(), agentPort)
}

// subnetTaken tells who else uses the subnet; nil when nobody does.
func (e Environment) subnetTaken(ctx context.Context) error {
	if !e.Hollow {
		return fabric.Taken(e.Subnet)
	}
	if at := e.holding(); !freebind.Free(ctx, int(at.Port()), at.Addr().AsSlice()) {
		return fmt.Errorf("subnet %s is taken: something listens on %s", e.Subnet, at)
	}
	return nil
}

// located fills in the subnet and the name of an environment that is up, or was and has not been taken down.
func (e Environment) located() (Environment, error) {
	if e.Subnet.IsValid() {
		return e, nil
	}
	saved, ok, err := e.savedMode()
	if err == nil && !ok {
		err = fmt.Errorf("no environment was brought up in %s", e.Dir)
	}
	e.Subnet, e.Name = saved.Subnet, saved.Name
	return e, err
}

// mode is what a running environment cannot change.
type mode struct {
	Hollow bool         `json:"hollow"`
	Subnet netip.Prefix `json:"subnet"`
	Name   string       `json:"name"`
}

func (e Environment) mode() mode { return mode{Hollow: e.Hollow, Subnet: e.Subnet, Name: e.Name} }

// savedMode is that of the environment that is up, or was and has not been taken down; ok is false when there is none.
func (e Environment) savedMode() (m mode, ok bool, err error) {
	data, err := os.ReadFile(e.path(modeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return mode{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		return mode{}, false, fmt.Errorf("reading what is up: %w", err)
	}
	return m, true, nil
}

const modeFile = "environment.json"

// String describes an environment to people.
func (m mode) String() string {
	kind := "real"
	if m.Hollow {
		kind = "hollow"
	}
	return fmt.Sprintf("an environment %q with %s cells in %s", m.Name, kind, m.Subnet)
}

// claim notes what comes up here, and refuses to turn what is up into something else.
func (e Environment) claim(ctx context.Context) error {
	up, ok, err := e.savedMode()
	if err != nil {
		return err
	}
	if ok && up != e.mode() {
		return fmt.Errorf("in %s there is %s: take it down first", e.Dir, up)
	}
	if err := e.refuseForeign(ctx, ok); err != nil {
		return err
	}
	data, err := json.Marshal(e.mode())
	if err != nil {
		return err
	}
	_, err = atomicfile.Write(e.path(modeFile), append(data, '\n'), 0o644)
	return err
}

// refuseForeign keeps away from the network of an environment that lives in another directory: cells of both would get the same addresses,
// and taking one down would end the other. What an environment of this directory has made, as mine says there is one, is its own.
func (e Environment) refuseForeign(ctx context.Context, mine bool) error {
	if e.Hollow {
		_, alive, err := proc.Alive(e.Dir, AWS)
		if err != nil || alive {
			return err
		}
		if err := e.subnetTaken(ctx); err != nil {
			return fmt.Errorf("%w, perhaps the emulator of another environment; take this one down, and the next gets another subnet", err)
		}
		return nil
	}
	if mine {
		return nil
	}
	if _, err := fabric.Open(e.fabric()); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return fmt.Errorf("there is a network %s already, which was not made from %s: another environment of the same name is up, "+
		"or its directory was removed before it was taken down (then: ip netns delete %[1]s; ip link delete %[1]s)", e.fabric().Name, e.Dir)
}
