package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/aws"
	"kip.elotl.co/internal/agent/host"
)

const (
	// machineFile, in the state directory, says whose state it is.
	machineFile = "machine.json"
	// metadataPatience bounds the question for the instance's ID. Where there is
	// such a service it answers in milliseconds.
	metadataPatience = 2 * time.Second
	// hardwareID is the machine's own UUID, which on EC2 each instance has another
	// of.
	hardwareID = "/sys/class/dmi/id/product_uuid"
)

// machine is what tells one machine from another that boots from its image.
// What could not be found out is empty.
type machine struct {
	InstanceID string `json:"instanceID,omitempty"`
	HardwareID string `json:"hardwareID,omitempty"`
}

// thisMachine asks the instance's metadata and the firmware.
func thisMachine(ctx context.Context) machine {
	ctx, cancel := context.WithTimeout(ctx, metadataPatience)
	defer cancel()
	var m machine
	if id, err := aws.InstanceID(ctx, os.Getenv(metadataVariable)); err == nil {
		m.InstanceID = id
	}
	if id, err := os.ReadFile(hardwareID); err == nil {
		m.HardwareID = strings.TrimSpace(string(id))
	}
	return m
}

// another says whether two are sure to be different machines. An instance keeps
// its ID whatever its hardware.
func (m machine) another(than machine) bool {
	if m.InstanceID != "" && than.InstanceID != "" {
		return m.InstanceID != than.InstanceID
	}
	return m.HardwareID != "" && than.HardwareID != "" && m.HardwareID != than.HardwareID
}

// ownState makes sure that the state directory is this machine's: an image that
// was made of a running cell has that cell's key and pod. What is not known to be
// another's stays.
func ownState(ctx context.Context, o *options, now machine) error {
	path := filepath.Join(o.stateDir, machineFile)
	var kept machine
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("reading whose state the state directory has: %w", err)
	default:
		if err := json.Unmarshal(content, &kept); err != nil {
			// What is not known to be another's may be a pod that runs.
			logr.FromContextOrDiscard(ctx).Error(err, "Nothing tells whose state this is: it is taken for this machine's", "file", path)
			kept = machine{}
		}
	}
	next := now
	switch {
	case now.another(kept):
		logr.FromContextOrDiscard(ctx).Info("Starting afresh: the state here is that of another machine, of which this one's image was made",
			"stateDir", o.stateDir, "was", kept, "is", now)
		if err := forget(o); err != nil {
			return fmt.Errorf("removing the state of another machine: %w", err)
		}
	case now.InstanceID == "":
		next.InstanceID = kept.InstanceID
	}
	if next.HardwareID == "" {
		next.HardwareID = kept.HardwareID
	}
	if next == kept {
		return nil
	}
	if content, err = json.Marshal(next); err != nil {
		return fmt.Errorf("noting whose state the state directory has: %w", err)
	}
	if err := host.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("noting whose state the state directory has: %w", err)
	}
	return nil
}

// forget removes all state but the lock and whose it was, which go last: what is
// cut short is begun again.
func forget(o *options) error {
	if err := forgetBrought(o); err != nil {
		return err
	}
	return removeAll(o.stateDir, func(name string) bool { return name == lockFile || name == machineFile })
}

// forgetBrought removes what the other machine's bootstrap brought, where the
// image has that and this machine's has not taken its place yet. It has where
// the key is another one, or the word of a parameter store came after it.
func forgetBrought(o *options) error {
	key := filepath.Join(o.certDir, agent.KeyFile)
	info, err := os.Stat(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	imported, err := os.ReadFile(filepath.Join(o.pki(), importedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // by an older agent
	}
	if err != nil {
		return err
	}
	if sum, err := digest(key); err != nil || sum != string(imported) {
		return err
	}
	if store, err := os.Stat(filepath.Join(o.certDir, storeFile)); err == nil && store.ModTime().After(info.ModTime()) {
		return removeAll(o.certDir, func(name string) bool { return !slices.Contains(agent.CredentialFiles(), name) })
	}
	return removeAll(o.certDir, func(string) bool { return false })
}

func removeAll(dir string, stays func(name string) bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if stays(entry.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
