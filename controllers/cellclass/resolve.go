package cellclass

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/bootstrap"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/cloudinit"
	"kip.elotl.co/internal/selection"
)

// finding is why a class cannot be used.
type finding struct {
	reason  string
	message string
	// passing: it will be otherwise soon, without anybody's doing.
	passing bool
}

func (f *finding) Error() string { return f.message }

func found(reason, format string, args ...any) error {
	return &finding{reason: reason, message: fmt.Sprintf(format, args...)}
}

// resolve looks the class up in the cloud when that is due, and says when to
// look again. What was found last stays as long as the cloud does not say
// otherwise.
func (c *Controller) resolve(ctx context.Context, class *v1beta1.CellClass) time.Duration {
	ready := meta.FindStatusCondition(class.Status.Conditions, v1beta1.ConditionReady)
	current := ready != nil && ready.ObservedGeneration == class.Generation
	if wait := c.resolved.fresh(class, c.Clock.Now()); wait > 0 && current {
		return wait
	}
	bounded, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	err := c.resolveSteps(bounded, class)
	condition := metav1.Condition{
		Type: v1beta1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonReady,
		Message: "cells can be made from this class", ObservedGeneration: class.Generation,
	}
	every := resolveEvery
	if err != nil {
		every = retryEvery
		if !definite(err) && current && ready.Status == metav1.ConditionTrue {
			return c.resolved.keep(class, c.Clock.Now(), every)
		}
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, reasonOf(err), err.Error()
	}
	meta.SetStatusCondition(&class.Status.Conditions, condition)
	if f := (*finding)(nil); errors.As(err, &f) && f.passing {
		return every // an event says when it has passed
	}
	return c.resolved.keep(class, c.Clock.Now(), every)
}

// definite says whether the cloud's answer was one that waiting does not change.
func definite(err error) bool {
	if f := (*finding)(nil); errors.As(err, &f) {
		return !f.passing
	}
	kind := cloud.KindOf(err)
	return kind != cloud.KindTransient && kind != cloud.KindThrottled
}

func reasonOf(err error) string {
	if f := (*finding)(nil); errors.As(err, &f) {
		return f.reason
	}
	switch cloud.KindOf(err) {
	case cloud.KindUnauthorized:
		return v1beta1.ReasonNotAuthorized
	case cloud.KindThrottled:
		return v1beta1.ReasonThrottled
	}
	return v1beta1.ReasonCloudError
}

func (c *Controller) resolveSteps(ctx context.Context, class *v1beta1.CellClass) error {
	if err := c.checkCloudInit(ctx, class); err != nil {
		return err
	}
	if err := checkParameters(class); err != nil {
		return err
	}
	if class.Spec.Itzo.URL == "" && !c.ServesAgent {
		return found(v1beta1.ReasonNoAgent, "spec.itzo.url: missing, and this operator serves no agent of its own (flag --agent-dir)")
	}
	if c.Catalogue.Index() == nil {
		return &finding{reason: v1beta1.ReasonCatalogueNotReady, message: c.Catalogue.NotReady(), passing: true}
	}
	for _, step := range []func(context.Context, *v1beta1.CellClass) error{
		c.resolveSubnets, c.resolveGroups, c.resolveImages, c.checkTypes, c.resolveProfile,
	} {
		if err := step(ctx, class); err != nil {
			return err
		}
	}
	return nil
}

// checkCloudInit looks whether a cell can be booted with the user's document.
func (c *Controller) checkCloudInit(ctx context.Context, class *v1beta1.CellClass) error {
	text, err := cloudinit.Read(ctx, c.Client, c.Namespace, class)
	if missing := (*cloudinit.SourceError)(nil); errors.As(err, &missing) {
		return found(v1beta1.ReasonCloudInitNotFound, "%v", missing)
	}
	if err != nil {
		return err
	}
	if err := bootstrap.Validate(text); err != nil {
		text := err.Error()
		if document := (*bootstrap.DocumentError)(nil); errors.As(err, &document) {
			text = cloudinit.Field(c.Namespace, class) + ": " + document.Text()
		}
		return found(v1beta1.ReasonInvalidCloudInit, "%s", text)
	}
	return nil
}

// checkParameters looks whether cells' parameters leave room for certificates,
// whose sizes only a Cell's own show.
func checkParameters(class *v1beta1.CellClass) error {
	if !class.Spec.UseCloudParameterStore {
		return nil
	}
	least := []byte("-")
	in := bootstrap.Input{
		CACertificate: least, Certificate: least, Key: least, ParameterStore: true, CellConfig: map[string]string{},
		Agent: bootstrap.Agent{URL: cmp.Or(class.Spec.Itzo.URL, "-"), Version: class.Spec.Itzo.Version},
	}
	for name, value := range class.Spec.CellConfig {
		in.CellConfig[name] = string(value)
	}
	_, err := bootstrap.Parameters(in)
	if size := (*bootstrap.ParameterSizeError)(nil); errors.As(err, &size) {
		return found(v1beta1.ReasonParametersTooLarge, "spec.cellConfig: %v, and more for the cell's certificates", size)
	}
	return err
}

// resolveProfile finds the class's instance profile, and the role whose ID a
// cell's parameters are tagged with.
func (c *Controller) resolveProfile(ctx context.Context, class *v1beta1.CellClass) error {
	name := class.Spec.DefaultIAMPermissions
	if name == "" {
		class.Status.InstanceProfile = nil
		return nil
	}
	profile, err := c.Cloud.InstanceProfile(ctx, name)
	switch {
	case cloud.IsNotFound(err):
		return found(v1beta1.ReasonProfileNotFound, "spec.defaultIAMPermissions: %q: no instance profile of this name or ARN", name)
	case err != nil:
		return fmt.Errorf("spec.defaultIAMPermissions: %w", err)
	case profile.RoleID == "":
		return found(v1beta1.ReasonProfileNotFound, "spec.defaultIAMPermissions: instance profile %q has no role: add one to it", name)
	}
	class.Status.InstanceProfile = &v1beta1.ResolvedProfile{ARN: profile.ARN, RoleID: profile.RoleID}
	return nil
}

func (c *Controller) resolveSubnets(ctx context.Context, class *v1beta1.CellClass) error {
	ids := class.Spec.AWS.Subnets
	subnets, err := c.Cloud.Subnets(ctx, ids)
	if cloud.IsNotFound(err) {
		path, id := pathOf("spec.aws.subnets", ids, err)
		return found(v1beta1.ReasonSubnetNotFound, "%s: subnet %q does not exist in this region", path, id)
	}
	if err != nil {
		return fmt.Errorf("spec.aws.subnets: %w", err)
	}
	resolved := make([]v1beta1.ResolvedSubnet, 0, len(subnets))
	for i, subnet := range subnets {
		if subnet.VPCID != subnets[0].VPCID {
			return found(v1beta1.ReasonInvalidSubnets, "spec.aws.subnets[%d]: %s is in %s, but %s is in %s; all must be in one VPC",
				i, subnet.ID, subnet.VPCID, subnets[0].ID, subnets[0].VPCID)
		}
		resolved = append(resolved, v1beta1.ResolvedSubnet{
			ID: subnet.ID, Zone: subnet.Zone, FreeAddresses: int32(subnet.FreeAddresses), Public: subnet.Public,
		})
	}
	class.Status.Subnets, class.Status.VPCID = resolved, subnets[0].VPCID
	return nil
}

func (c *Controller) resolveGroups(ctx context.Context, class *v1beta1.CellClass) error {
	ids := class.Spec.ExtraSecurityGroups
	if len(ids) == 0 {
		return c.resolveDefaultGroup(ctx, class)
	}
	groups, err := c.Cloud.SecurityGroups(ctx, ids)
	if cloud.IsNotFound(err) {
		path, id := pathOf("spec.extraSecurityGroups", ids, err)
		return found(v1beta1.ReasonGroupNotFound, "%s: security group %q does not exist in this region", path, id)
	}
	if err != nil {
		return fmt.Errorf("spec.extraSecurityGroups: %w", err)
	}
	for i, group := range groups {
		if group.VPCID != class.Status.VPCID {
			return found(v1beta1.ReasonGroupNotFound, "spec.extraSecurityGroups[%d]: %s is in %s, the subnets are in %s",
				i, group.ID, group.VPCID, class.Status.VPCID)
		}
	}
	class.Status.SecurityGroups = slices.Clone(ids)
	return nil
}

// resolveDefaultGroup finds the group that EC2 would take: it is named in each
// launch, so that a pod's groups come beside it and not in its place.
func (c *Controller) resolveDefaultGroup(ctx context.Context, class *v1beta1.CellClass) error {
	group, err := c.Cloud.DefaultSecurityGroup(ctx, class.Status.VPCID)
	if cloud.IsNotFound(err) {
		return found(v1beta1.ReasonGroupNotFound, "spec.extraSecurityGroups: none is named, and %s has no default group", class.Status.VPCID)
	}
	if err != nil {
		return fmt.Errorf("the default security group of %s: %w", class.Status.VPCID, err)
	}
	class.Status.SecurityGroups = []string{group.ID}
	return nil
}

// checkTypes looks whether the class leaves any type, and its default type.
func (c *Controller) checkTypes(_ context.Context, class *v1beta1.CellClass) error {
	index := c.Catalogue.Index() // there is one: resolveSteps has looked
	name := class.Spec.DefaultInstanceType
	described, known := index.Type(name)
	if !known {
		return found(v1beta1.ReasonInvalidInstanceType, "spec.defaultInstanceType: %q is not an instance type of this region", name)
	}
	rules := selection.NewRules(index, selection.ClassOf(class))
	if !rules.Any() {
		return noType(class)
	}
	class.Status.Architecture = rules.Architecture(&described).String()
	judgeDefaultType(class, rules)
	return nil
}

// judgeDefaultType says whether cells that name no type and need no resources
// can be made; others can, so it is no reason for the class not to be ready.
func judgeDefaultType(class *v1beta1.CellClass, rules *selection.Rules) {
	name := class.Spec.DefaultInstanceType
	why := rules.WhyNot(name)
	if why == "" {
		meta.RemoveStatusCondition(&class.Status.Conditions, v1beta1.ConditionDefaultType)
		return
	}
	meta.SetStatusCondition(&class.Status.Conditions, metav1.Condition{
		Type: v1beta1.ConditionDefaultType, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonInvalidInstanceType,
		Message:            fmt.Sprintf("spec.defaultInstanceType: %s %s: pods without resource requests get no cell", name, why),
		ObservedGeneration: class.Generation,
	})
}

// noType says why the class leaves no type.
func noType(class *v1beta1.CellClass) error {
	var images []string
	for _, image := range class.Status.Images {
		images = append(images, image.Architecture)
	}
	slices.Sort(images)
	images = slices.Compact(images)
	allowed := class.Spec.Architectures
	if len(allowed) > 0 && !slices.ContainsFunc(images, func(a string) bool { return slices.Contains(allowed, a) }) {
		return found(v1beta1.ReasonNoFittingType, "spec.bootImageSpec: there are images for %s only, and spec.architectures allows %s: add one of either",
			strings.Join(images, " and "), strings.Join(allowed, " and "))
	}
	return found(v1beta1.ReasonNoFittingType, "spec.instanceTypes, spec.architectures and spec.bootImageSpec together leave no instance type of this region")
}

// pathOf finds the list element that a KindNotFound is about.
func pathOf(list string, ids []string, err error) (path, id string) {
	e := (*cloud.Error)(nil)
	if errors.As(err, &e) {
		for i, id := range ids {
			if id == e.Subject {
				return fmt.Sprintf("%s[%d]", list, i), id
			}
		}
		return list, e.Subject
	}
	return list, ""
}

// resolutions remembers when each class was looked up last.
type resolutions struct {
	mu   *sync.Mutex
	last map[types.UID]resolution
}

type resolution struct {
	generation int64
	until      time.Time
}

func newResolutions() resolutions {
	return resolutions{mu: &sync.Mutex{}, last: map[types.UID]resolution{}}
}

// fresh is how long the last look-up of this generation holds; zero: not any more.
func (r resolutions) fresh(class *v1beta1.CellClass, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.last[class.UID]
	if last.generation != class.Generation {
		return 0
	}
	return max(0, last.until.Sub(now))
}

func (r resolutions) keep(class *v1beta1.CellClass, now time.Time, holds time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last[class.UID] = resolution{generation: class.Generation, until: now.Add(holds)}
	return holds
}

func (r resolutions) forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.last, uid)
}
