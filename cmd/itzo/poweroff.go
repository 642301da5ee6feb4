package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kip.elotl.co/internal/agent/host"
)

// powerOffFile, beside the credentials and then in the state directory, says for
// how long the operator may be silent before the cell powers itself off.
const powerOffFile = "power_off_after"

// importPowerOff copies what the cell's bootstrap brought to where it stays, once:
// a reboot may clear the former. It answers how long that is; 0: for ever.
func importPowerOff(from, stateDir string) (time.Duration, error) {
	kept := filepath.Join(stateDir, powerOffFile)
	content, err := os.ReadFile(kept)
	if errors.Is(err, fs.ErrNotExist) {
		content, err = os.ReadFile(filepath.Join(from, powerOffFile))
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		if err == nil {
			err = host.WriteFile(kept, content, 0o600)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("importing %s: %w", powerOffFile, err)
	}
	after, err := time.ParseDuration(strings.TrimSpace(string(content)))
	if err != nil || after < 0 {
		return 0, fmt.Errorf("%s: %q must be a duration such as 24h, or 0", powerOffFile, content)
	}
	return after, nil
}
