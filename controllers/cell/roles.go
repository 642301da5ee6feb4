package cell

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
)

// assignRole notes on an attempt the role whose instances may read what is
// stored for them, where certificates go through Parameter Store.
func (c *Controller) assignRole(ctx context.Context, s *scope, attempt *v1beta1.LaunchAttempt) error {
	if !s.class.Spec.UseCloudParameterStore {
		return nil
	}
	role, err := c.roleID(ctx, s)
	if err != nil {
		return fmt.Errorf("finding the role of instance profile %q: %w", attempt.InstanceProfile, err)
	}
	attempt.ParameterRole = role
	return nil
}

// roleID is that of the role that the instance will have.
func (c *Controller) roleID(ctx context.Context, s *scope) (string, error) {
	name := profile(s)
	if id, known := c.roles.get(name); known {
		return id, nil
	}
	if s.cell.Spec.InstanceProfile == "" && s.class.Status.InstanceProfile != nil {
		return s.class.Status.InstanceProfile.RoleID, nil
	}
	return c.askForRole(ctx, name)
}

// askForRole asks the cloud, whatever is remembered. KindNoRole where the
// profile has none.
func (c *Controller) askForRole(ctx context.Context, name string) (string, error) {
	found, err := c.Cloud.InstanceProfile(ctx, name)
	if err != nil {
		return "", err
	}
	if found.RoleID == "" {
		return "", &cloud.Error{Kind: cloud.KindNoRole, Action: "iam:GetInstanceProfile", Subject: name, Message: "it has no role"}
	}
	c.roles.put(name, found.RoleID)
	return found.RoleID, nil
}

// checkRole looks, for a cell that takes long to boot, which role its profile
// has now: one that was deleted and made anew has another ID, and what is stored
// for the old one nobody can read.
func (c *Controller) checkRole(ctx context.Context, s *scope, attempt *v1beta1.LaunchAttempt) error {
	name := cmp.Or(attempt.InstanceProfile, profile(s))
	if !c.slowToBoot(s.cell) || name == "" {
		return nil
	}
	role, err := c.askForRole(ctx, name)
	if p := profileProblem(name, err); p != nil {
		return &roleError{fmt.Sprintf("instance %s was launched with instance profile %q, so it cannot read its parameters: %s",
			s.cell.Status.InstanceID, name, p.message)}
	}
	if err != nil { // it is only in case that: what is stored may be right
		log.FromContext(ctx).Info("Cannot look whether an instance profile has another role", "profile", name, "reason", err.Error())
		return nil
	}
	if role == attempt.ParameterRole {
		return nil
	}
	text := fmt.Sprintf("instance profile %q has another role than when the instance was launched (ID %s, was %s), so it could not read its parameters: they are stored for this role now",
		name, role, attempt.ParameterRole)
	attempt.ParameterRole = role
	c.stores.remark(s.cell.UID, text)
	c.Events.Eventf(s.cell, nil, corev1.EventTypeWarning, v1beta1.ReasonRoleChanged, "Boot", "%s", text)
	return nil
}

// roleError says that a cell cannot read what is stored for it.
type roleError struct{ text string }

func (e *roleError) Error() string { return e.text }

// profileProblem is what is wrong with an instance profile of which the cloud
// has said err; nil where it is not that.
func profileProblem(name string, err error) *problem {
	p := &problem{reason: v1beta1.ReasonProfileNotFound, retry: profileRetry}
	switch {
	case err == nil:
		return nil
	case cloud.KindOf(err) == cloud.KindNoRole:
		p.message = fmt.Sprintf("instance profile %q has no role: add one to it", name)
	case cloud.IsNotFound(err):
		p.message = fmt.Sprintf("%q: no instance profile of this name or ARN", name)
	default:
		return nil
	}
	return p
}

// profileField is the field that names the cell's instance profile.
func profileField(s *scope) string {
	if s.cell.Spec.InstanceProfile != "" {
		return "spec.instanceProfile"
	}
	return fmt.Sprintf("CellClass %q: spec.defaultIAMPermissions", s.class.Name)
}

// roleIDs remembers the roles of instance profiles for a while.
type roleIDs struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	known map[string]knownRole
}

type knownRole struct {
	id string
	at time.Time
}

func newRoleIDs(c clock.PassiveClock) *roleIDs {
	return &roleIDs{clock: c, known: map[string]knownRole{}}
}

func (r *roleIDs) get(profile string) (id string, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	role, known := r.known[profile]
	if !known || r.clock.Since(role.at) > roleKnownFor {
		return "", false
	}
	return role.id, true
}

func (r *roleIDs) put(profile, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[profile] = knownRole{id, r.clock.Now()}
}
