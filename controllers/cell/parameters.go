package cell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/bootstrap"
	"kip.elotl.co/internal/cloud"
)

// Tags of a cell's parameters. Policies let an instance read only what carries
// its own aws:userid.
const (
	tagUserID       = "AWSUserID"
	tagControllerID = "KipControllerID"
	tagNametag      = "KipNametag"
)

// parametersPath is where an instance finds its parameters.
func parametersPath(instanceID string) string { return "/kip/cells/" + instanceID }

// parameters keeps what the cell fetches when it boots in Parameter Store until
// its agent answers.
func (c *Controller) parameters(ctx context.Context, s *scope) (outcome, error) {
	attempt := openAttempt(s.cell)
	if attempt == nil || !attempt.ParameterStore || s.cell.Status.InstanceID == "" {
		return proceed(), nil
	}
	uid := s.cell.UID
	if isReady(s.cell) {
		if c.stores.state(uid) == storeEmpty {
			return proceed(), nil
		}
		if err := c.Cloud.DeleteSecrets(ctx, parametersPath(s.cell.Status.InstanceID)); err != nil {
			return outcome{}, fmt.Errorf("deleting the cell's parameters: %w", err)
		}
		c.stores.note(uid, storeEmpty)
		return proceed(), nil
	}
	if wait := c.stores.due(uid); wait > 0 {
		return outcome{after: wait}, nil
	}
	if wait := c.Cloud.SecretDelay(); wait > 0 {
		return outcome{after: wait}, nil // the worker is left to others, such as those that end
	}
	err := c.putParameters(ctx, s, attempt)
	if answer := (*cloud.Error)(nil); errors.As(err, &answer) {
		notReady(s.cell, reasonOf(err), err.Error())
	}
	if tooLong := (*bootstrap.ParameterSizeError)(nil); errors.As(err, &tooLong) {
		notReady(s.cell, v1beta1.ReasonParametersTooLarge, fmt.Sprintf("CellClass %q: spec.cellConfig: %v", s.class.Name, tooLong))
		return stop(), nil
	}
	if err != nil {
		return outcome{}, err
	}
	c.stores.note(uid, storeFilled)
	return outcome{after: storeAgain}, nil
}

// putParameters stores them, in place of what is there.
func (c *Controller) putParameters(ctx context.Context, s *scope, attempt *v1beta1.LaunchAttempt) error {
	if p := classProblem(s); p != nil {
		return fmt.Errorf("storing the cell's parameters: %s", p.message)
	}
	input, err := c.input(s, attempt)
	if err != nil {
		return err
	}
	parameters, err := bootstrap.Parameters(input)
	if err != nil {
		return err
	}
	role, err := c.roleID(ctx, s)
	if err != nil {
		return fmt.Errorf("storing the cell's parameters: %w", err)
	}
	instance := s.cell.Status.InstanceID
	tags := c.identityTags(s.cell)
	tags[tagUserID], tags[tagControllerID], tags[tagNametag] = role+":"+instance, c.ClusterID, s.class.Name
	for _, p := range slices.Backward(parameters) { // whoever finds the first chunk finds all
		secret := cloud.Secret{
			Name: parametersPath(instance) + "/" + p.Name, Value: p.Value,
			KMSKeyID: s.class.Spec.AWS.ParameterStore.KMSKeyID, Tags: tags,
		}
		if err := c.Cloud.PutSecret(ctx, secret); err != nil {
			return fmt.Errorf("storing the cell's parameters: %w", err)
		}
	}
	return nil
}

// roleID is that of the role that the instance has.
func (c *Controller) roleID(ctx context.Context, s *scope) (string, error) {
	if s.cell.Spec.InstanceProfile == "" && s.class.Status.InstanceProfile != nil {
		return s.class.Status.InstanceProfile.RoleID, nil
	}
	name := profile(s)
	if id, known := c.roles.get(name); known {
		return id, nil
	}
	found, err := c.Cloud.InstanceProfile(ctx, name)
	if err != nil {
		return "", err
	}
	if found.RoleID == "" {
		return "", &cloud.Error{Kind: cloud.KindInvalid, Subject: name, Message: fmt.Sprintf("spec.instanceProfile: %q has no role: add one to it", name)}
	}
	c.roles.put(name, found.RoleID)
	return found.RoleID, nil
}

// endParameters deletes what was stored for an instance of the Cell.
func (c *Controller) endParameters(ctx context.Context, cell *v1beta1.Cell, instanceID string) error {
	if instanceID == "" || !storesParameters(cell) || c.stores.state(cell.UID) == storeEmpty {
		return nil
	}
	if err := c.Cloud.DeleteSecrets(ctx, parametersPath(instanceID)); err != nil {
		return fmt.Errorf("deleting the parameters of instance %s: %w", instanceID, err)
	}
	return nil
}

func storesParameters(cell *v1beta1.Cell) bool {
	for i := range cell.Status.Attempts {
		if cell.Status.Attempts[i].ParameterStore {
			return true
		}
	}
	return false
}

type storeState int

const (
	storeUnknown storeState = iota // an earlier process may have filled it
	storeFilled
	storeEmpty
)

// stores remembers of each Cell what this process last did with its
// parameters, and when.
type stores struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	cells map[types.UID]storeNote
}

type storeNote struct {
	state storeState
	at    time.Time
}

func newStores(c clock.PassiveClock) *stores {
	return &stores{clock: c, cells: map[types.UID]storeNote{}}
}

func (s *stores) note(uid types.UID, state storeState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cells[uid] = storeNote{state, s.clock.Now()}
}

func (s *stores) state(uid types.UID) storeState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cells[uid].state
}

// due is how long filling it has time; zero: it is due. What somebody deleted
// before the cell read it is written again.
func (s *stores) due(uid types.UID) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.cells[uid]
	if last.state != storeFilled {
		return 0
	}
	return max(0, storeAgain-s.clock.Since(last.at))
}

func (s *stores) forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cells, uid)
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
