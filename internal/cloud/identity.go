package cloud

import (
	"context"
	"time"
)

// Parameters keeps small texts, and holds what others publish.
type Parameters interface {
	// Parameters reads parameters that are not secret, by name or ARN.
	// KindNotFound, naming the first one that does not exist in Error.Subject.
	Parameters(ctx context.Context, names []string) (map[string]string, error)
	// PutSecret stores an encrypted parameter. One of that name is deleted
	// first, so that nobody whom the tags let read it finds another value.
	PutSecret(ctx context.Context, secret Secret) error
	// SecretDelay is zero when PutSecret may be called now. Else so many calls
	// wait for the rate limit already that another would only hold up its
	// caller: it is when to ask again.
	SecretDelay() time.Duration
	// SecretsBelow lists all parameters below a path, such as
	// /kip/cells/i-0123456789abcdef0, without their values.
	SecretsBelow(ctx context.Context, path string) ([]SecretInfo, error)
	// DeleteSecrets deletes parameters; what does not exist is no error.
	DeleteSecrets(ctx context.Context, names []string) error
	// Secrets lists the parameters below a path, however deep, that carry all of
	// the tags, without their values.
	Secrets(ctx context.Context, path string, tags map[string]string) ([]SecretInfo, error)
}

// SecretInfo is what is told of a Secret without its value.
type SecretInfo struct {
	Name string
	// Version counts the writes since the parameter was made.
	Version  int64
	Modified time.Time
}

// Secret is an encrypted parameter.
type Secret struct {
	// Name is a path, such as /kip/cells/i-0123456789abcdef0/config.
	Name string
	// Value has at most 8192 bytes.
	Value string
	// KMSKeyID is the key's ID, ARN or alias; the account's own when empty.
	KMSKeyID string
	Tags     map[string]string
}

// Profiles describes instance profiles.
type Profiles interface {
	// InstanceProfile finds a profile by its name or ARN. KindNotFound when
	// there is none.
	InstanceProfile(ctx context.Context, nameOrARN string) (InstanceProfile, error)
}

// InstanceProfile is what gives an instance its role.
type InstanceProfile struct {
	Name, ARN string
	// RoleID is the unique ID of the role, such as AROAEXAMPLEID, and so the
	// first part of an instance's aws:userid; empty for a profile without one.
	RoleID string
}
