package cell

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

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

// parameters keeps what the cell fetches when it boots in Parameter Store until
// its agent answers. What goes wrong here is tried again, and holds up nothing
// else: the cell may have read its parameters already.
func (c *Controller) parameters(ctx context.Context, s *scope) (outcome, error) {
	attempt := openAttempt(s.cell)
	if attempt == nil || attempt.ParameterRole == "" || s.cell.Status.InstanceID == "" {
		return proceed(), nil
	}
	uid, ready := s.cell.UID, isReady(s.cell)
	if ready && c.stores.state(uid) == storeEmpty {
		return proceed(), nil
	}
	if wait := c.stores.due(uid); wait > 0 {
		s.storeErr = c.stores.failure(uid)
		return outcome{after: wait}, nil
	}
	if ready {
		err := c.emptyStore(ctx, s.cell.Status.InstanceID)
		c.stores.note(uid, storeEmpty, err)
		c.sayLeft(s, err)
		return outcome{after: c.stores.due(uid)}, nil
	}
	if wait := c.Cloud.SecretDelay(); wait > 0 {
		return outcome{after: wait}, nil // the worker is left to others, such as those that end
	}
	s.storeErr = c.putParameters(ctx, s, attempt)
	c.stores.note(uid, storeFilled, s.storeErr)
	if s.storeErr != nil {
		log.FromContext(ctx).Info("Cannot store the cell's parameters yet", "reason", s.storeErr.Error())
	}
	return outcome{after: c.stores.due(uid)}, nil
}

// storeProblem is why the cell's parameters are not stored, nil when they are.
func storeProblem(s *scope) *problem {
	if s.storeErr == nil {
		return nil
	}
	reason, text := reasonOf(s.storeErr), s.storeErr.Error()
	if tooLong := (*bootstrap.ParameterSizeError)(nil); errors.As(s.storeErr, &tooLong) {
		reason, text = v1beta1.ReasonParametersTooLarge, fmt.Sprintf("CellClass %q: spec.cellConfig: %v", s.class.Name, tooLong)
	}
	return &problem{reason: reason, message: text}
}

// sayLeft makes an event of parameters that cannot be deleted.
func (c *Controller) sayLeft(s *scope, err error) {
	if err == nil {
		return
	}
	c.Events.Eventf(s.cell, nil, corev1.EventTypeWarning, v1beta1.ReasonParametersLeft, "Boot",
		"the parameters of instance %s stay in Parameter Store until they can be deleted: %v", s.cell.Status.InstanceID, err)
}

// putParameters stores them in place of what is there, and nothing else.
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
	secrets := c.secrets(s, attempt, parameters)
	if err := c.store(ctx, s, secrets); err != nil {
		return fmt.Errorf("storing the cell's parameters: %w", err)
	}
	return nil
}

func (c *Controller) secrets(s *scope, attempt *v1beta1.LaunchAttempt, parameters []bootstrap.Parameter) []cloud.Secret {
	instance := s.cell.Status.InstanceID
	tags := c.identityTags(s.cell)
	tags[tagUserID], tags[tagControllerID], tags[tagNametag] = attempt.ParameterRole+":"+instance, c.ClusterID, s.class.Name
	out := make([]cloud.Secret, 0, len(parameters))
	for _, p := range parameters {
		out = append(out, cloud.Secret{
			Name: parametersPath(instance) + "/" + p.Name, Value: p.Value,
			KMSKeyID: s.class.Spec.AWS.ParameterStore.KMSKeyID, Tags: tags,
		})
	}
	return out
}

// store writes what is not there as this process has written it, for a cell that
// takes long all of it, and deletes
// what does not belong to it: another number of chunks.
func (c *Controller) store(ctx context.Context, s *scope, secrets []cloud.Secret) error {
	digest := digestOf(secrets)
	var wanted, leftover, there []string
	for i := range secrets {
		wanted = append(wanted, secrets[i].Name)
	}
	if c.stores.state(s.cell.UID) != storeNew {
		var err error
		if there, err = c.Cloud.SecretNames(ctx, parametersPath(s.cell.Status.InstanceID)); err != nil {
			return err
		}
	}
	for _, name := range there {
		if !slices.Contains(wanted, name) {
			leftover = append(leftover, name)
		}
	}
	if err := c.Cloud.DeleteSecrets(ctx, leftover); err != nil {
		return err
	}
	// What somebody has overwritten would keep the cell waiting for ever.
	known := c.stores.written(s.cell.UID) == digest && !c.slowToBoot(s.cell)
	for _, secret := range slices.Backward(secrets) { // whoever finds the first chunk finds all
		if known && slices.Contains(there, secret.Name) {
			continue
		}
		if err := c.Cloud.PutSecret(ctx, secret); err != nil {
			return err
		}
	}
	c.stores.wrote(s.cell.UID, digest)
	return nil
}

// digestOf is the same for the same names and values.
func digestOf(secrets []cloud.Secret) string {
	sum := sha256.New()
	for i := range secrets {
		fmt.Fprintf(sum, "%q %q %q\n", secrets[i].Name, secrets[i].Value, secrets[i].KMSKeyID)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// roleID is that of the role that the instance will have.
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
		return "", &cloud.Error{Kind: cloud.KindInvalid, Subject: name, Message: "it has no role: add one to it"}
	}
	c.roles.put(name, found.RoleID)
	return found.RoleID, nil
}

// emptyStore deletes all that was stored for an instance.
func (c *Controller) emptyStore(ctx context.Context, instanceID string) error {
	names, err := c.Cloud.SecretNames(ctx, parametersPath(instanceID))
	if err != nil {
		return err
	}
	return c.Cloud.DeleteSecrets(ctx, names)
}

// endParameters deletes what was stored for an instance of the Cell.
func (c *Controller) endParameters(ctx context.Context, cell *v1beta1.Cell, instanceID string) error {
	if instanceID == "" || !storesParameters(cell) || c.stores.state(cell.UID) == storeEmpty {
		return nil
	}
	if err := c.emptyStore(ctx, instanceID); err != nil {
		return fmt.Errorf("the parameters of instance %s stay in Parameter Store until they can be deleted: %w", instanceID, err)
	}
	return nil
}

func storesParameters(cell *v1beta1.Cell) bool {
	for i := range cell.Status.Attempts {
		if cell.Status.Attempts[i].ParameterRole != "" {
			return true
		}
	}
	return false
}

type storeState int

const (
	storeUnknown storeState = iota // an earlier process may have filled it
	storeNew                       // nobody can have
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
	state  storeState
	next   time.Time // when to look again
	err    error     // of the last try
	digest string    // of what was written
}

func newStores(c clock.PassiveClock) *stores {
	return &stores{clock: c, cells: map[types.UID]storeNote{}}
}

// note keeps what was tried, and when it is due again. What failed leaves the
// state as it was.
func (s *stores) note(uid types.UID, state storeState, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.cells[uid]
	is.next, is.err = s.clock.Now().Add(storeAgain), err
	if err != nil {
		is.next = s.clock.Now().Add(storeRetry)
	} else {
		is.state = state
	}
	s.cells[uid] = is
}

// fresh says that nothing can be stored for the Cell's instance yet.
func (s *stores) fresh(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cells[uid] = storeNote{state: storeNew}
}

func (s *stores) state(uid types.UID) storeState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cells[uid].state
}

// failure is why the last try failed, nil when it did not.
func (s *stores) failure(uid types.UID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cells[uid].err
}

func (s *stores) wrote(uid types.UID, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.cells[uid]
	is.digest = digest
	s.cells[uid] = is
}

func (s *stores) written(uid types.UID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cells[uid].digest
}

// due is how long the next look has time; zero: it is due.
func (s *stores) due(uid types.UID) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, s.cells[uid].next.Sub(s.clock.Now()))
}

// now makes the next look due.
func (s *stores) now(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.cells[uid]
	is.next = time.Time{}
	s.cells[uid] = is
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
