// Package sandbox boots instances as sandboxes on this machine: each has its
// own namespaces, an overlay over the host's root file system, a place on the
// fabric, control groups, and a containerd of its own.
//
// It needs root, a disk file system that overlays accept, and on the host
// containerd, runc and the CNI plugins, which the cells use.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"kip.elotl.co/hack/fabric"
	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/boot/sandbox/cgroups"
)

// Config says where cells live.
type Config struct {
	// Dir holds the cells' state and files, one directory each. It must be on
	// a disk file system (neither tmpfs nor an overlay), without commas,
	// colons and backslashes in its path. Nothing else may live in it.
	Dir string
	// Network is where cells are plugged in. Its name names their cgroups too.
	Network *fabric.Network
	// Init is the cellinit binary, linked statically.
	Init string
	// Registries are host:port of registries that speak plain HTTP.
	Registries []string
	// Aliases are further names of such registries, with their host:port.
	Aliases map[string]string
	// Environment is written to the cells' /etc/environment, which counts for
	// what their first boot starts.
	Environment map[string]string
	// SandboxImage is containerd's image of pod sandboxes; empty leaves its
	// default.
	SandboxImage string
	// Containerd are directories of the host by image ID: their containerd,
	// containerd-shim-runc-v2 and ctr, of version 2, are what cells of that image
	// have in place of the host's.
	Containerd map[string]string
	// Hide are further paths of the host that cells must not see. Hidden
	// anyway is all but the system itself, and Dir.
	Hide []string
}

// Backend is a boot.Backend.
type Backend struct {
	cfg    Config
	groups cgroups.Layout
	lower  string // the host's root file system
	cniDir string
}

var _ boot.Backend = (*Backend)(nil)

// New checks the host and the configuration.
func New(cfg Config) (*Backend, error) {
	for _, p := range []*string{&cfg.Dir, &cfg.Init} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return nil, fmt.Errorf("making %q absolute: %w", *p, err)
		}
		*p = abs
	}
	if info, err := os.Stat(cfg.Init); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the first process of cells, %s: not a file (%w)", cfg.Init, err)
	}
	if err := cfg.checkContainerd(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the cells' directory: %w", err)
	}
	groups, err := cgroups.Detect()
	if err != nil {
		return nil, err
	}
	cniDir, err := findCNI("/")
	if err != nil {
		return nil, err
	}
	return &Backend{cfg: cfg, groups: groups, lower: "/", cniDir: cniDir}, nil
}

// Names of what is in a cell's directory.
const (
	recordFile  = "cell.json"
	consoleFile = "console.log"
	rootDir     = "root"
	upperDir    = "upper"
	workDir     = "work"
	dataDir     = "containerd"
)

var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,62}$`)

// cell is what is known of one sandbox.
type cell struct {
	dir     string
	network *fabric.Network
	rec     record
}

func (b *Backend) cell(spec boot.Spec) (*cell, error) {
	if !validID.MatchString(spec.InstanceID) {
		return nil, fmt.Errorf("instance ID %q cannot name a sandbox", spec.InstanceID)
	}
	if len(spec.PrivateIPs) == 0 {
		return nil, fmt.Errorf("instance %s has no address", spec.InstanceID)
	}
	return &cell{dir: filepath.Join(b.cfg.Dir, spec.InstanceID), network: b.cfg.Network}, nil
}

// Start implements boot.Backend. What an earlier sandbox of the instance left
// is removed first.
func (b *Backend) Start(ctx context.Context, spec boot.Spec) (boot.Machine, error) {
	c, err := b.cell(spec)
	if err != nil {
		return nil, err
	}
	if err := c.clear(ctx); err != nil {
		return nil, fmt.Errorf("removing an earlier sandbox of %s: %w", spec.InstanceID, err)
	}
	c.rec = record{Primary: spec.PrivateIPs[0]}
	m, err := b.start(c, spec)
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("starting a sandbox for %s: %w", spec.InstanceID, err), c.end(ctx))
	}
	return m, nil
}

func (b *Backend) start(c *cell, spec boot.Spec) (*Machine, error) {
	if err := b.prepare(c, spec); err != nil {
		return nil, err
	}
	group, err := b.groups.Create(b.cfg.Network.Name(), spec.InstanceID, cgroups.Limits{MemoryMiB: spec.MemoryMiB, VCPUs: spec.VCPUs})
	if err != nil {
		return nil, err
	}
	c.rec.Group = group
	if err := c.save(); err != nil { // before anything can run in the groups
		return nil, err
	}
	p, err := spawn(b.cfg.Init, filepath.Join(c.dir, consoleFile))
	if err != nil {
		return nil, err
	}
	defer p.close()
	if err := b.settle(c, spec, p); err != nil {
		return nil, err
	}
	if err := p.release(b.entry(c, spec)); err != nil {
		return nil, err
	}
	return c.attach()
}

// settle gives the waiting process all that is around it.
func (b *Backend) settle(c *cell, spec boot.Spec, p *parent) error {
	var err error
	if c.rec.Process, err = identify(p.pid); err != nil {
		return err
	}
	if err := c.save(); err != nil {
		return err
	}
	if err := c.rec.Group.Add(p.pid); err != nil {
		return err
	}
	port := fabric.Port{Primary: spec.PrivateIPs[0], Secondary: spec.PrivateIPs[1:], PID: p.pid}
	if port.MAC, err = parseMAC(spec.MAC); err != nil {
		return err
	}
	return b.cfg.Network.Attach(port)
}

// Recover implements boot.Backend.
func (b *Backend) Recover(ctx context.Context, spec boot.Spec) (boot.Machine, error) {
	c, err := b.cell(spec)
	if err != nil {
		return nil, err
	}
	if err := c.load(); err != nil {
		return nil, err
	}
	m, err := c.attach()
	if !errors.Is(err, os.ErrProcessDone) {
		return m, err
	}
	if err := c.end(ctx); err != nil {
		return nil, fmt.Errorf("removing what is left of %s: %w", spec.InstanceID, err)
	}
	return nil, boot.ErrGone
}
