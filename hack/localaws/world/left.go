package world

import (
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
)

// leftFile holds what has outlived its instance.
const leftFile = "left.json"

// Left are the remains of terminated instances: each has only those volumes
// that were to stay, and its interface, with the private addresses, where that
// was; InterfaceID is empty otherwise. TagsOf has their tags.
func (w *World) Left() []*Instance {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return slices.SortedFunc(maps.Values(w.left), func(a, b *Instance) int { return strings.Compare(a.ID, b.ID) })
}

// leave keeps what is to stay of an instance that ends, and says whether
// anything is. The caller holds w.mu.
func (w *World) leave(i *Instance) bool {
	left := i.clone()
	left.State = Terminated
	left.PublicIP = netip.Addr{}
	left.Volumes = slices.DeleteFunc(slices.Clone(i.Volumes), func(v Volume) bool { return v.DeleteOnTermination })
	if !i.KeepInterface {
		left.InterfaceID, left.PrivateIPs = "", nil
	}
	for _, v := range left.Volumes {
		w.tags[v.ID] = v.Tags
	}
	if left.InterfaceID != "" {
		w.tags[left.InterfaceID] = left.InterfaceTags
	}
	return w.keepLeft(left)
}

// keepLeft replaces the remains of an instance, or drops them when nothing is
// left. The caller holds w.mu.
func (w *World) keepLeft(left *Instance) bool {
	some := left.InterfaceID != "" || len(left.Volumes) > 0
	delete(w.left, left.ID)
	if some {
		w.left[left.ID] = left
	}
	return some
}

// isLeft says whether a volume or interface of that ID has outlived its
// instance. The caller holds w.mu.
func (w *World) isLeft(id string) bool {
	for _, left := range w.left {
		if left.InterfaceID == id || slices.ContainsFunc(left.Volumes, func(v Volume) bool { return v.ID == id }) {
			return true
		}
	}
	return false
}

// DeleteVolume ends a volume that no instance has.
func (w *World) DeleteVolume(id string) error {
	has := func(i *Instance) bool {
		return slices.ContainsFunc(i.Volumes, func(v Volume) bool { return v.ID == id })
	}
	return w.deleteLeft(id, has, "VolumeInUse", func(left *Instance) {
		left.Volumes = slices.DeleteFunc(slices.Clone(left.Volumes), func(v Volume) bool { return v.ID == id })
	})
}

// DeleteInterface ends a network interface that no instance has.
func (w *World) DeleteInterface(id string) error {
	has := func(i *Instance) bool { return i.InterfaceID == id }
	return w.deleteLeft(id, has, "InvalidParameterValue", func(left *Instance) {
		for _, a := range left.PrivateIPs {
			delete(w.used, a)
		}
		left.InterfaceID, left.PrivateIPs = "", nil
	})
}

// deleteLeft takes something out of the remains that have it; inUse is the code
// of the error where an instance has it still.
func (w *World) deleteLeft(id string, has func(*Instance) bool, inUse string, take func(*Instance)) error {
	w.mu.Lock()
	for _, s := range w.slots {
		if s.instance.State != Terminated && has(s.instance) {
			w.mu.Unlock()
			return awserr.New(inUse, "'%s' is currently attached to %s", id, s.id)
		}
	}
	for _, left := range w.left {
		if has(left) {
			next := left.clone()
			take(next)
			w.keepLeft(next)
			delete(w.tags, id)
			w.mu.Unlock()
			return w.saveLeft()
		}
	}
	w.mu.Unlock()
	return unknownResource(id)
}

// saveLeft writes the remains, and the tags, which may be theirs.
func (w *World) saveLeft() error {
	w.filesSave.Lock()
	w.mu.RLock()
	left := maps.Clone(w.left)
	w.mu.RUnlock()
	err := writeJSON(filepath.Join(w.Dir, leftFile), left)
	w.filesSave.Unlock()
	return errors.Join(err, w.saveTags())
}

// loadLeft reads them. Before anything runs, so without the lock.
func (w *World) loadLeft() error {
	if err := readJSON(filepath.Join(w.Dir, leftFile), &w.left); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, left := range w.left {
		for _, a := range left.PrivateIPs {
			w.used[a] = left.ID
		}
	}
	return nil
}
