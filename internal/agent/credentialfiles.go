package agent

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The names of the credentials' files, the same in every cell.
const (
	caFile          = "ca.crt"
	certificateFile = "server.crt"
	keyFile         = KeyFile
	// successorFile holds new credentials while they take the place of the
	// others: three files cannot be replaced in one step.
	successorFile = "successor.json"
)

const credentialsMode fs.FileMode = 0o600

// KeyFile is the name of the file with the private key.
const KeyFile = "server.key"

// CredentialFiles are the names of the files that Files reads.
func CredentialFiles() []string {
	return []string{caFile, certificateFile, keyFile}
}

// WriteFunc replaces a file in one step, and has it on disk when it returns.
type WriteFunc func(path string, content []byte, mode fs.FileMode) error

// Files are credentials in a directory. They are read again when a file has
// changed; as long as what is found then is not usable, the last ones stay.
type Files struct {
	dir   string
	write WriteFunc

	mu     sync.Mutex
	config *tls.Config
	stamps [3]stamp
}

type stamp struct {
	modified time.Time
	size     int64
}

// NewFiles reads the directory for the first time. It first completes a
// replacement that was under way when the last agent ended.
func NewFiles(dir string, write WriteFunc) (*Files, error) {
	f := &Files{dir: dir, write: write}
	if err := f.finish(); err != nil {
		return nil, err
	}
	if err := f.load(); err != nil {
		return nil, err
	}
	return f, nil
}

// Replace implements Renewable. The successor is written beside the present
// files before any of them changes, so that whoever finds it can go on.
func (f *Files) Replace(next PEM) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := checkSuccessor(f.config, next, time.Now()); err != nil {
		return err
	}
	record, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encoding credentials: %w", err)
	}
	if err := f.write(filepath.Join(f.dir, successorFile), record, credentialsMode); err != nil {
		return fmt.Errorf("writing credentials ahead: %w", err)
	}
	if err := f.finish(); err != nil {
		return err
	}
	return f.load()
}

// finish puts a successor that was written ahead in the place of the others.
func (f *Files) finish() error {
	path := filepath.Join(f.dir, successorFile)
	record, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading new credentials: %w", err)
	}
	var next PEM
	if json.Unmarshal(record, &next) != nil { // the error may quote a key
		return fmt.Errorf("reading new credentials: %s is not what an agent wrote", path)
	}
	for name, content := range map[string][]byte{caFile: next.CA, certificateFile: next.Certificate, keyFile: next.Key} {
		if err := f.write(filepath.Join(f.dir, name), content, credentialsMode); err != nil {
			return fmt.Errorf("writing new credentials: %w", err)
		}
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("ending the change of credentials: %w", err)
	}
	return nil
}

// TLS implements Credentials.
func (f *Files) TLS() (*tls.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if stamps, err := f.stat(); err == nil && stamps != f.stamps {
		// Half a renewal fails to load; the next connection finds the rest.
		_ = f.load()
	}
	return f.config, nil
}

func (f *Files) load() error {
	stamps, err := f.stat()
	if err != nil {
		return fmt.Errorf("looking for credentials: %w", err)
	}
	var content [3][]byte
	for i, name := range CredentialFiles() {
		if content[i], err = os.ReadFile(filepath.Join(f.dir, name)); err != nil {
			return fmt.Errorf("reading credentials: %w", err)
		}
	}
	config, err := PEM{CA: content[0], Certificate: content[1], Key: content[2]}.TLS()
	if err != nil {
		return err
	}
	f.config, f.stamps = config, stamps
	return nil
}

func (f *Files) stat() (stamps [3]stamp, err error) {
	for i, name := range CredentialFiles() {
		info, err := os.Stat(filepath.Join(f.dir, name))
		if err != nil {
			return stamps, err
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, nil
}
