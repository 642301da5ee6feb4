package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"kip.elotl.co/hack/dev"
	"kip.elotl.co/hack/proc/atomicfile"
)

// operatorUser is whom the API server knows the operator as, also when it acts as one of its nodes.
const operatorUser = "system:serviceaccount:" + dev.Namespace + ":" + dev.ServiceAccount

// auditPolicy records what the operator changes.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - level: Metadata
    users: ["` + operatorUser + `"]
    verbs: [create, update, patch, delete, deletecollection]
  - level: None
`

// auditLog is the API server's log of the operator's writes.
type auditLog struct{ path string }

// prepare writes the policy into dir and returns the API server's arguments.
func (l auditLog) prepare(dir string) ([]string, error) {
	policy := filepath.Join(dir, "audit-policy.yaml")
	if _, err := atomicfile.Write(policy, []byte(auditPolicy), 0o644); err != nil {
		return nil, err
	}
	if err := os.Remove(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return []string{"--audit-policy-file=" + policy, "--audit-log-path=" + l.path}, nil
}

// size is how long the log is now, in bytes.
func (l auditLog) size() (int64, error) {
	info, err := os.Stat(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// writes counts, by verb and resource such as "patch pods/status", what was written since the log had that size. Leases are left out: they
// are renewed however many cells there are.
func (l auditLog) writes(since int64) (map[string]int, error) {
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(since, io.SeekStart); err != nil {
		return nil, err
	}
	return countWrites(f)
}

// auditEvent is the part of audit.k8s.io/v1's Event that is looked at.
type auditEvent struct {
	Verb      string `json:"verb"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
	} `json:"objectRef"`
}

func countWrites(r io.Reader) (map[string]int, error) {
	counts := map[string]int{}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return counts, nil // what follows the last newline is still being written
		}
		if err != nil {
			return nil, err
		}
		var e auditEvent
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("reading the audit log: %w", err)
		}
		what := e.ObjectRef.Resource
		if e.ObjectRef.Subresource != "" {
			what += "/" + e.ObjectRef.Subresource
		}
		if !slices.Contains([]string{"leases", "tokenreviews", "subjectaccessreviews"}, what) {
			counts[e.Verb+" "+what]++
		}
	}
}
