// Package ssm is the emulated Systems Manager Parameter Store: its JSON
// protocol with the limits and errors that are documented
// (docs.aws.amazon.com/systems-manager/latest/APIReference).
package ssm

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
	"sync"
	"time"

	"k8s.io/utils/clock"

	"kip.elotl.co/hack/proc/atomicfile"
)

// The quotas of the Parameter Store (AWS General Reference, "AWS Systems
// Manager endpoints and quotas").
const (
	standardBytes   = 4096
	advancedBytes   = 8192
	standardMost    = 10_000
	versionsKept    = 100
	maxTags         = 50
	maxLevels       = 15
	maxNameBytes    = 1011
	namesPerCall    = 10
	pageByPath      = 10
	pageOfDescribe  = 50
	maxDescription  = 1024
	maxPatternBytes = 1024
)

// Types and tiers of parameters.
const (
	typeString       = "String"
	typeStringList   = "StringList"
	typeSecure       = "SecureString"
	tierStandard     = "Standard"
	tierAdvanced     = "Advanced"
	tierIntelligent  = "Intelligent-Tiering"
	dataText         = "text"
	defaultKey       = "alias/aws/ssm"
	reservedPrefix   = "/aws/"
	resourceTypeName = "Parameter"
)

// Config is what a Store needs.
type Config struct {
	Region, Account string
	// Public are AWS's own parameters, which all may read: values by name.
	Public map[string]string
	// Dir is where the state is kept.
	Dir   string
	Clock clock.PassiveClock
}

// Parameter is a parameter. A value is never changed once others can see it.
type Parameter struct {
	Name, Type, Tier, DataType string
	KeyID                      string // of SecureString
	Description, Pattern       string
	Tags                       map[string]string
	Versions                   []Version // oldest first
	public                     bool
}

// Version is a version of a parameter's value.
type Version struct {
	Number   int64
	Value    string
	Modified time.Time
	User     string // ARN
}

// Latest is the version that counts.
func (p Parameter) Latest() Version { return p.Versions[len(p.Versions)-1] }

// Store is safe for concurrent use.
type Store struct {
	Config

	mu         sync.Mutex
	parameters map[string]Parameter
}

const stateFile = "parameters.json"

// Open reads the state, or begins without any parameter.
func Open(c Config) (*Store, error) {
	s := &Store{Config: c, parameters: map[string]Parameter{}}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep parameters: %w", err)
	}
	data, err := os.ReadFile(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read parameters: %w", err)
	}
	if err := json.Unmarshal(data, &s.parameters); err != nil {
		return nil, fmt.Errorf("decode %s: %w", s.path(), err)
	}
	return s, nil
}

func (s *Store) path() string { return filepath.Join(s.Dir, stateFile) }

// save writes the state. The caller holds s.mu.
func (s *Store) save() error {
	data, err := json.Marshal(s.parameters)
	if err != nil {
		return fmt.Errorf("encode parameters: %w", err)
	}
	if _, err := atomicfile.Write(s.path(), data, 0o600); err != nil {
		return fmt.Errorf("save parameters: %w", err)
	}
	return nil
}

// List are the account's parameters in the order of their names.
func (s *Store) List() []Parameter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.parameters), func(a, b Parameter) int { return strings.Compare(a.Name, b.Name) })
}

// find is a parameter of the account, or a public one.
func (s *Store) find(name string) (Parameter, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.parameters[name]; ok {
		return p, true
	}
	value, ok := s.Public[name]
	return s.public(name, value), ok
}

func (s *Store) public(name, value string) Parameter {
	return Parameter{Name: name, Type: typeString, Tier: tierStandard, DataType: dataText, public: true, Versions: []Version{{Number: 1, Value: value}}}
}

// tagsOf are those of a parameter; none when it does not exist.
func (s *Store) tagsOf(name string) map[string]string {
	p, _ := s.find(name)
	return p.Tags
}

// arn names a parameter, or a path of them, which ends with a slash where the
// path does.
func (s *Store) arn(name string) string {
	account := s.Account
	if strings.HasPrefix(name, reservedPrefix) {
		account = ""
	}
	return "arn:aws:ssm:" + s.Region + ":" + account + ":parameter/" + strings.TrimPrefix(name, "/")
}
