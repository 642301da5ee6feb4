package world

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The state directory holds one file per reservation, one with the tags of
// everything that belongs to no instance, one with the routes, one with the
// security groups, and one with what has outlived its instance. Files are replaced by rename; there is no fsync, because
// the emulator need not survive the machine it runs on.
const (
	reservationDir = "reservations"
	tagsFile       = "tags.json"
)

// saved is the form of a reservation on disk.
type saved struct {
	ID          string
	Token       string
	Fingerprint string
	Instances   []*Instance
}

// save writes a reservation as it is now. Saves of one reservation follow each
// other, and each takes the state after it got its turn: the last one written
// is the newest.
func (w *World) save(r *reservation) error {
	r.save.Lock()
	defer r.save.Unlock()
	w.mu.RLock()
	_, kept := w.reservations[r.ID]
	out := saved{ID: r.ID, Token: r.Token, Fingerprint: r.Fingerprint}
	for _, id := range r.instances {
		if s := w.slots[id]; s != nil {
			out.Instances = append(out.Instances, s.instance)
		}
	}
	w.mu.RUnlock()
	if !kept {
		return remove(w.reservationPath(r.ID))
	}
	return writeJSON(w.reservationPath(r.ID), out)
}

func (w *World) saveLogged(r *reservation) {
	if err := w.save(r); err != nil {
		w.Log.Error(err, "state not saved", "reservation", r.ID)
	}
}

func (w *World) reservationPath(id string) string {
	return filepath.Join(w.Dir, reservationDir, id+".json")
}

func (w *World) saveTags() error {
	w.filesSave.Lock()
	defer w.filesSave.Unlock()
	w.mu.RLock()
	tags := maps.Clone(w.tags)
	w.mu.RUnlock()
	return writeJSON(filepath.Join(w.Dir, tagsFile), tags)
}

// load reads the state directory, making it when it is not there.
func (w *World) load() error {
	dir := filepath.Join(w.Dir, reservationDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := readJSON(filepath.Join(w.Dir, tagsFile), &w.tags); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := readJSON(filepath.Join(w.Dir, routesFile), &w.routes); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := w.loadLeft(); err != nil {
		return err
	}
	// Groups that were deleted must not come back from the catalog.
	var groups map[string]Group
	if err := readJSON(filepath.Join(w.Dir, groupsFile), &groups); err == nil {
		w.groups = groups
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !strings.HasSuffix(e.Name(), ".json") {
			// What a crash left between write and rename.
			if err := remove(path); err != nil {
				return err
			}
			continue
		}
		var in saved
		if err := readJSON(path, &in); err != nil {
			return err
		}
		w.adopt(in)
	}
	return nil
}

// adopt takes a reservation as it was saved. Before anything runs, so without
// the lock.
func (w *World) adopt(in saved) {
	r := &reservation{ID: in.ID, Token: in.Token, Fingerprint: in.Fingerprint}
	w.reservations[r.ID] = r
	if r.Token != "" {
		w.tokens[r.Token] = r
	}
	for _, i := range in.Instances {
		r.instances = append(r.instances, i.ID)
		w.slots[i.ID] = newSlot(i)
		w.seq = max(w.seq, i.Seq)
		for _, a := range i.PrivateIPs {
			w.used[a] = i.ID
		}
		if i.PublicIP.IsValid() {
			w.used[i.PublicIP] = i.ID
		}
	}
}

// forgetExpired drops reservations whose instances are no longer listed. The
// caller holds w.mu and saves what is returned.
func (w *World) forgetExpired() []*reservation {
	now := w.Clock.Now()
	var gone []*reservation
	for id, r := range w.reservations {
		if slices.ContainsFunc(r.instances, func(i string) bool { return !w.expired(w.slots[i].instance, now) }) {
			continue
		}
		for _, i := range r.instances {
			delete(w.slots, i)
		}
		if w.tokens[r.Token] == r {
			delete(w.tokens, r.Token)
		}
		delete(w.reservations, id)
		gone = append(gone, r)
	}
	return gone
}

func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", filepath.Base(path), err)
	}
	if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
