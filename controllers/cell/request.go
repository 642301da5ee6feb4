package cell

import (
	"context"
	"fmt"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/bootstrap"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

// problem is why nothing can be launched for now. Zero retry: not before the
// Cell or its class changes.
type problem struct {
	reason, message string
	retry           time.Duration
}

// chooseOffering picks the offering to try next.
func (c *Controller) chooseOffering(ctx context.Context, s *scope) (selection.Offering, *problem, error) {
	if p := classProblem(s); p != nil {
		return selection.Offering{}, p, nil
	}
	name, path := s.cell.Spec.InstanceType, "spec.instanceType"
	if name == "" {
		name, path = s.class.Spec.DefaultInstanceType, fmt.Sprintf("CellClass %q: spec.defaultInstanceType", s.class.Name)
	}
	instanceType, err := c.Cloud.InstanceType(ctx, name)
	if cloud.IsNotFound(err) {
		return selection.Offering{}, &problem{v1beta1.ReasonInvalidInstanceType,
			fmt.Sprintf("%s: %q is not an instance type of this region", path, name), typeRetry}, nil
	}
	if err != nil {
		return selection.Offering{}, nil, fmt.Errorf("looking up instance type %q: %w", name, err)
	}
	result := selection.Select(selectionType(instanceType), s.class.Status, c.dry.has)
	if len(result.Candidates) == 0 {
		return selection.Offering{}, noCandidate(path, result), nil
	}
	return result.Candidates[0], nil, nil
}

func noCandidate(path string, result selection.Result) *problem {
	for _, rejection := range result.Rejections {
		if rejection.Step == selection.StepCapacity {
			return &problem{v1beta1.ReasonNoCapacity, result.Explain(), noCapacityRetry}
		}
	}
	return &problem{v1beta1.ReasonInvalidInstanceType, path + ": " + result.Explain(), typeRetry}
}

func classProblem(s *scope) *problem {
	if s.class == nil {
		return &problem{reason: v1beta1.ReasonClassNotFound,
			message: fmt.Sprintf("spec.cellClassName: CellClass %q does not exist", s.cell.Spec.CellClassName)}
	}
	if !s.class.DeletionTimestamp.IsZero() {
		return &problem{reason: v1beta1.ReasonClassNotReady,
			message: fmt.Sprintf("CellClass %q is being deleted", s.class.Name)}
	}
	ready := meta.FindStatusCondition(s.class.Status.Conditions, v1beta1.ConditionReady)
	if ready == nil || ready.ObservedGeneration != s.class.Generation {
		return &problem{reason: v1beta1.ReasonClassNotReady,
			message: fmt.Sprintf("CellClass %q is being looked up in the cloud", s.class.Name)}
	}
	if ready.Status != metav1.ConditionTrue {
		return &problem{reason: ready.Reason, message: fmt.Sprintf("CellClass %q: %s", s.class.Name, ready.Message)}
	}
	return nil
}

func selectionType(t cloud.InstanceType) selection.Type {
	architectures := make([]string, 0, len(t.Architectures))
	for _, a := range t.Architectures {
		architectures = append(architectures, string(a))
	}
	return selection.Type{Name: t.Name, Architectures: architectures, IPv4PerInterface: t.IPv4PerInterface, Zones: t.Zones}
}

// request renders the launch call of an attempt from the class as it is now.
// An error means that it cannot be rendered, not that it was refused.
func (c *Controller) request(s *scope, attempt *v1beta1.LaunchAttempt) (cloud.LaunchRequest, error) {
	if p := classProblem(s); p != nil {
		return cloud.LaunchRequest{}, fmt.Errorf("%s", p.message)
	}
	image := imageByID(s.class, attempt.ImageID)
	if image == nil {
		return cloud.LaunchRequest{}, fmt.Errorf("CellClass %q no longer uses image %s", s.class.Name, attempt.ImageID)
	}
	certificate, key, err := c.Authority.CellCertificate(cellagent.ID(s.cell, attempt))
	if err != nil {
		return cloud.LaunchRequest{}, fmt.Errorf("issuing the cell's certificate: %w", err)
	}
	input := bootstrap.Input{
		CloudInit:     s.class.Spec.CloudInit,
		CACertificate: c.Authority.CertificatePEM(),
		Certificate:   certificate,
		Key:           key,
	}
	input.Agent.URL, input.Agent.Version = s.class.Spec.Itzo.URL, s.class.Spec.Itzo.Version
	userData, err := bootstrap.UserData(input)
	if err != nil {
		return cloud.LaunchRequest{}, err
	}
	request := cloud.LaunchRequest{
		ClientToken:    clientToken(s.cell, attempt.Number),
		InstanceType:   attempt.InstanceType,
		ImageID:        attempt.ImageID,
		SubnetID:       attempt.SubnetID,
		SecurityGroups: s.class.Spec.ExtraSecurityGroups,
		UserData:       userData,
		RootDevice:     image.RootDevice,
		VolumeGiB:      max(volumeGiB(s), image.MinVolumeGiB),
		Tags:           c.tags(s, attempt),
	}
	if private := s.class.Spec.PrivateIPOnly; private != nil {
		public := !*private
		request.AssociatePublicIP = &public
	}
	return request, nil
}

func imageByID(class *v1beta1.CellClass, id string) *v1beta1.ResolvedImage {
	for i := range class.Status.Images {
		if class.Status.Images[i].ID == id {
			return &class.Status.Images[i]
		}
	}
	return nil
}

// volumeGiB is the root volume's size, rounded up.
func volumeGiB(s *scope) int32 {
	size := s.cell.Spec.VolumeSize
	if size == nil {
		size = s.class.Spec.DefaultVolumeSize
	}
	if size == nil {
		return 0
	}
	const gib = 1 << 30
	return int32(min((size.Value()+gib-1)/gib, math.MaxInt32))
}
