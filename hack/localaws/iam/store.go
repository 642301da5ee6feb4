// Package iam holds the emulated account's roles and instance profiles, judges
// what a role may do, and speaks IAM's and STS's query protocols.
package iam

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/policy"
	"kip.elotl.co/hack/proc/atomicfile"
)

// Config is what a Store needs.
type Config struct {
	Account string
	// Profiles are the names of instance profiles that are there from the
	// start, each with a role of its name.
	Profiles []string
	// Dir is where the state is kept.
	Dir   string
	Clock clock.PassiveClock
}

// Role is a role. Values are never changed once others can see them.
type Role struct {
	Name, ID, Path string
	Trust          string // the document that says who may assume it
	Created        time.Time
	// Policies are the inline policy documents by name.
	Policies map[string]string
}

// Profile is an instance profile, with at most one role.
type Profile struct {
	Name, ID, Path string
	Created        time.Time
	Role           string // "" for none
}

// Store is safe for concurrent use.
type Store struct {
	Config
	key []byte // of sessions

	mu       sync.Mutex
	roles    map[string]Role
	profiles map[string]Profile
	parsed   map[string]policy.Policy // by document
}

// state is the form on disk.
type state struct {
	Key      []byte
	Roles    map[string]Role
	Profiles map[string]Profile
}

const stateFile = "iam.json"

// trustEC2 lets instances have a role.
const trustEC2 = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// Open reads the state, or makes it where there is none.
func Open(c Config) (*Store, error) {
	s := &Store{Config: c, parsed: map[string]policy.Policy{}}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep roles: %w", err)
	}
	data, err := os.ReadFile(s.path())
	var in state
	switch {
	case errors.Is(err, fs.ErrNotExist):
		in = s.first()
	case err != nil:
		return nil, fmt.Errorf("read roles: %w", err)
	default:
		if err := json.Unmarshal(data, &in); err != nil {
			return nil, fmt.Errorf("decode %s: %w", s.path(), err)
		}
	}
	s.key, s.roles, s.profiles = in.Key, in.Roles, in.Profiles
	s.mu.Lock()
	defer s.mu.Unlock()
	return s, s.save()
}

// first is the state before any call.
func (s *Store) first() state {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	out := state{Key: key, Roles: map[string]Role{}, Profiles: map[string]Profile{}}
	now := s.Clock.Now().UTC().Truncate(time.Second)
	for _, name := range s.Profiles {
		out.Roles[name] = Role{Name: name, ID: uniqueID("AROA", name), Path: "/", Trust: trustEC2, Created: now, Policies: map[string]string{}}
		out.Profiles[name] = Profile{Name: name, ID: uniqueID("AIPA", name), Path: "/", Created: now, Role: name}
	}
	return out
}

// uniqueID is an ID as IAM writes them, such as AROADBQP57FF2AEXAMPLE: 21
// characters that follow from seed, or are random without one.
func uniqueID(prefix, seed string) string {
	if seed == "" {
		seed = rand.Text()
	}
	sum := sha256.Sum256([]byte(prefix + seed))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

func (s *Store) path() string { return filepath.Join(s.Dir, stateFile) }

// save writes the state. The caller holds s.mu.
func (s *Store) save() error {
	data, err := json.Marshal(state{s.key, s.roles, s.profiles})
	if err != nil {
		return fmt.Errorf("encode roles: %w", err)
	}
	if _, err := atomicfile.Write(s.path(), data, 0o600); err != nil {
		return fmt.Errorf("save roles: %w", err)
	}
	return nil
}

// change does something to roles and profiles, and saves when it worked.
func (s *Store) change(do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := do(); err != nil {
		return err
	}
	return s.save()
}

// name is what names of roles, profiles and policies are made of.
var name = regexp.MustCompile(`^[\w+=,.@-]+$`)

// The longest names.
const (
	maxRoleName    = 64
	maxProfileName = 128
	maxPolicyName  = 128
)

func checkName(field, value string, most int) error {
	if !name.MatchString(value) || len(value) > most {
		return awserr.New("ValidationError", "The specified value for %s is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-, and at most %d of them", field, most)
	}
	return nil
}

func noRole(name string) error {
	return awserr.New("NoSuchEntity", "The role with name %s cannot be found.", name)
}

func noProfile(name string) error {
	return awserr.New("NoSuchEntity", "Instance Profile %s cannot be found.", name)
}

// Role finds a role by its name.
func (s *Store) Role(name string) (Role, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.roles[name]
	if !ok {
		return Role{}, noRole(name)
	}
	return r, nil
}

// Profile finds an instance profile by its name.
func (s *Store) Profile(name string) (Profile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.profiles[name]
	if !ok {
		return Profile{}, noProfile(name)
	}
	return p, nil
}

// List are all instance profiles in the order of their names.
func (s *Store) List() []Profile {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.profiles), func(a, b Profile) int { return strings.Compare(a.Name, b.Name) })
}

// Roles are all roles in the order of their names.
func (s *Store) Roles() []Role {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.roles), func(a, b Role) int { return strings.Compare(a.Name, b.Name) })
}

// RoleOf is the role that an instance with a profile has; false for none.
func (s *Store) RoleOf(profile string) (Role, bool) {
	p, err := s.Profile(profile)
	if err != nil || p.Role == "" {
		return Role{}, false
	}
	r, err := s.Role(p.Role)
	return r, err == nil
}

// RoleARN is the ARN of a role.
func (s *Store) RoleARN(r Role) string {
	return "arn:aws:iam::" + s.Account + ":role" + r.Path + r.Name
}

// ProfileARN is the ARN of an instance profile.
func (s *Store) ProfileARN(p Profile) string {
	return "arn:aws:iam::" + s.Account + ":instance-profile" + p.Path + p.Name
}

// ByARN finds an instance profile by its ARN.
func (s *Store) ByARN(arn string) (Profile, bool) {
	p, err := s.Profile(arn[strings.LastIndex(arn, "/")+1:])
	return p, err == nil && s.ProfileARN(p) == arn
}
