package sandbox

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/boot/sandbox/enter"
)

// prepare makes the cell's directory with all that can be written before it
// runs.
func (b *Backend) prepare(c *cell, spec boot.Spec) error {
	for _, dir := range []string{rootDir, upperDir, workDir, dataDir} {
		if err := os.MkdirAll(filepath.Join(c.dir, dir), 0o700); err != nil {
			return fmt.Errorf("making the cell's directory: %w", err)
		}
	}
	l := &layer{lower: b.lower, upper: filepath.Join(c.dir, upperDir)}
	// The root of the writable layer is what the cell sees as its root.
	if err := os.Chmod(l.upper, 0o755); err != nil {
		return fmt.Errorf("making the cell's root readable: %w", err)
	}
	var keep []string
	if strings.HasPrefix(b.cniDir, "/opt/") {
		keep = append(keep, "opt")
	}
	if err := l.hide(append([]string{b.cfg.Dir}, b.cfg.Hide...), keep...); err != nil {
		return err
	}
	for _, e := range b.image(spec) {
		if err := l.add(e); err != nil {
			return err
		}
	}
	return nil
}

// entry is what the first process is told.
func (b *Backend) entry(c *cell, spec boot.Spec) enter.Config {
	return enter.Config{
		Root:        filepath.Join(c.dir, rootDir),
		Upper:       filepath.Join(c.dir, upperDir),
		Work:        filepath.Join(c.dir, workDir),
		Binds:       b.binds(c, spec),
		Hostname:    shortHostname(spec),
		Unified:     b.groups.Unified,
		Hierarchies: b.groups.Hierarchies,
		Devices:     devices(spec),
		Args:        []string{"cellinit"},
	}
}

func parseMAC(s string) (net.HardwareAddr, error) {
	if s == "" {
		return nil, nil
	}
	return net.ParseMAC(s)
}
