package cell

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/bootstrap"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/crashpoint"
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
// its agent answers. What goes wrong here is tried again, and holds up nothing
// else: the cell may have read its parameters already.
func (c *Controller) parameters(ctx context.Context, s *scope) (outcome, error) {
	attempt := openAttempt(s.cell)
	if attempt == nil || attempt.ParameterRole == "" || s.cell.Status.InstanceID == "" {
		return proceed(), nil
	}
	uid, ready, began := s.cell.UID, isReady(s.cell), attempt.StartTime.Time
	if ready && c.stores.state(uid) == storeEmpty {
		return proceed(), nil
	}
	if wait := c.stores.due(uid); wait > 0 {
		s.storeErr = c.stores.failure(uid)
		return outcome{after: wait}, nil
	}
	if ready {
		err := c.emptyStore(ctx, s.cell, s.cell.Status.InstanceID)
		c.stores.note(uid, storeEmpty, began, err)
		c.sayLeft(s, err)
		return outcome{after: c.stores.due(uid)}, nil
	}
	if wait := c.Cloud.SecretDelay(); wait > 0 {
		return outcome{after: wait}, nil // the worker is left to others, such as those that end
	}
	s.storeErr = c.putParameters(ctx, s, attempt)
	c.stores.note(uid, storeFilled, began, s.storeErr)
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
	if unreadable := (*roleError)(nil); errors.As(s.storeErr, &unreadable) {
		reason = v1beta1.ReasonProfileNotFound
	}
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
	if err := c.checkRole(ctx, s, attempt); err != nil {
		return err
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
	tags := c.ownTags(s.cell)
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

// store writes all of them anew unless they are there just as this process has
// written them: what somebody has overwritten would keep the cell waiting for
// ever. What is there goes first, so that whoever finds the first chunk finds
// all, and none of another layout.
func (c *Controller) store(ctx context.Context, s *scope, secrets []cloud.Secret) error {
	uid, path, digest := s.cell.UID, parametersPath(s.cell.Status.InstanceID), digestOf(secrets)
	if c.stores.state(uid) != storeNew {
		there, err := c.Cloud.SecretsBelow(ctx, path)
		if err != nil || c.stores.holds(uid, digest, there) {
			return err
		}
		crashpoint.Reach(ctx, crashpoint.ParameterDeleteBefore, s.cell)
		err = c.Cloud.DeleteSecrets(ctx, namesOf(there))
		crashpoint.Reach(ctx, crashpoint.ParameterDeleteAfter, s.cell)
		if err != nil {
			return err
		}
	}
	for _, secret := range slices.Backward(secrets) {
		crashpoint.Reach(ctx, crashpoint.ParameterPutBefore, s.cell)
		err := c.Cloud.PutSecret(ctx, secret)
		crashpoint.Reach(ctx, crashpoint.ParameterPutAfter, s.cell)
		if err != nil {
			return err
		}
	}
	// What cannot be listed, or is not as it was written, is written again when
	// it is looked at next.
	listed, err := c.Cloud.SecretsBelow(ctx, path)
	foreign := func(is cloud.SecretInfo) bool { return is.Version != 1 }
	if err == nil && len(listed) == len(secrets) && !slices.ContainsFunc(listed, foreign) {
		c.stores.wrote(uid, digest, listed)
	}
	return nil
}

func namesOf(secrets []cloud.SecretInfo) []string {
	names := make([]string, 0, len(secrets))
	for i := range secrets {
		names = append(names, secrets[i].Name)
	}
	return names
}

// digestOf is the same for the same names, values, keys and tags.
func digestOf(secrets []cloud.Secret) string {
	sum := sha256.New()
	for i := range secrets {
		fmt.Fprintf(sum, "%q %q %q %q\n", secrets[i].Name, secrets[i].Value, secrets[i].KMSKeyID, secrets[i].Tags) // maps are printed in order
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// emptyStore deletes all that was stored for an instance.
func (c *Controller) emptyStore(ctx context.Context, cell *v1beta1.Cell, instanceID string) error {
	there, err := c.Cloud.SecretsBelow(ctx, parametersPath(instanceID))
	if err != nil {
		return err
	}
	crashpoint.Reach(ctx, crashpoint.ParameterDeleteBefore, cell)
	err = c.Cloud.DeleteSecrets(ctx, namesOf(there))
	crashpoint.Reach(ctx, crashpoint.ParameterDeleteAfter, cell)
	return err
}

// endParameters deletes what was stored for an instance of the Cell.
func (c *Controller) endParameters(ctx context.Context, cell *v1beta1.Cell, instanceID string) error {
	if instanceID == "" || !storesParameters(cell) || c.stores.state(cell.UID) == storeEmpty {
		return nil
	}
	if err := c.emptyStore(ctx, cell, instanceID); err != nil {
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
