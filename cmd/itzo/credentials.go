package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/host"
)

// importCredentials copies what the cell's bootstrap brought to where it stays:
// a reboot may clear the former. Once all files are there, they are never
// replaced from the bootstrap again, which may be older by then.
func importCredentials(from, to string) error {
	if complete(to) {
		return nil
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fmt.Errorf("importing credentials: %w", err)
	}
	for _, name := range agent.CredentialFiles() {
		content, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return fmt.Errorf("importing credentials: %w", err)
		}
		if err := host.WriteFile(filepath.Join(to, name), content, 0o600); err != nil {
			return fmt.Errorf("importing credentials: %w", err)
		}
	}
	return nil
}

func complete(dir string) bool {
	for _, name := range agent.CredentialFiles() {
		if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}
