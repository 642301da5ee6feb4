package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/host"
)

// importedFile holds the digest of the key that was imported, by which that is
// known again where it was brought.
const importedFile = "imported"

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
	sum, err := digest(filepath.Join(from, agent.KeyFile))
	if err != nil {
		return fmt.Errorf("importing credentials: %w", err)
	}
	if err := host.WriteFile(filepath.Join(to, importedFile), []byte(sum), 0o600); err != nil {
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

func digest(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}
