package cell

import (
	"fmt"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/bootstrap"
	"kip.elotl.co/internal/cloud"
)

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
	current := ready != nil && ready.ObservedGeneration == s.class.Generation
	if current && ready.Status != metav1.ConditionTrue {
		return &problem{reason: ready.Reason, message: fmt.Sprintf("CellClass %q: %s", s.class.Name, ready.Message)}
	}
	// An operator that did not know of groups in the status may have been the last to look.
	if !current || len(s.class.Status.SecurityGroups) == 0 {
		return &problem{reason: v1beta1.ReasonClassNotReady,
			message: fmt.Sprintf("CellClass %q is being looked up in the cloud", s.class.Name)}
	}
	return nil
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
	input, err := c.input(s, attempt)
	if err != nil {
		return cloud.LaunchRequest{}, err
	}
	userData, err := bootstrap.UserData(input)
	if err != nil {
		return cloud.LaunchRequest{}, err
	}
	request := cloud.LaunchRequest{
		ClientToken:     clientToken(s.cell, attempt.Number),
		InstanceType:    attempt.InstanceType,
		ImageID:         attempt.ImageID,
		SubnetID:        attempt.SubnetID,
		SecurityGroups:  securityGroups(s),
		UserData:        userData,
		Market:          cloudMarket(attempt.LaunchType),
		CPUCredits:      attempt.CPUCredits,
		InstanceProfile: profile(s),
		PodMetadata:     s.cell.Spec.InstanceProfile != "",
		Tenancy:         s.class.Spec.AWS.Tenancy,
		RootDevice:      image.RootDevice,
		Volume:          rootVolume(s, image.MinVolumeGiB),
		Tags:            c.tags(s, attempt),
	}
	if private := privateIPOnly(s); private != nil {
		public := !*private
		request.AssociatePublicIP = &public
	}
	return request, nil
}

// securityGroups are the class's and the Cell's own, each once.
func securityGroups(s *scope) []string {
	groups := slices.Clone(s.class.Status.SecurityGroups)
	for _, id := range s.cell.Spec.SecurityGroups {
		if !slices.Contains(groups, id) {
			groups = append(groups, id)
		}
	}
	return groups
}

// privateIPOnly: a Cell may do without a public address, but not have one where
// its class gives none.
func privateIPOnly(s *scope) *bool {
	class := s.class.Spec.PrivateIPOnly
	if s.cell.Spec.PrivateIPOnly == nil || class != nil && *class {
		return class
	}
	return s.cell.Spec.PrivateIPOnly
}

// rootVolume is at least as large as the image's own.
func rootVolume(s *scope, imageGiB int32) cloud.Volume {
	spec := s.class.Spec.AWS.RootVolume
	volume := cloud.Volume{GiB: max(volumeGiB(s), imageGiB), Type: spec.Type, Encrypted: spec.Encrypted, KMSKeyID: spec.KMSKeyID}
	if spec.IOPS != nil {
		volume.IOPS = *spec.IOPS
	}
	if spec.Throughput != nil {
		volume.Throughput = *spec.Throughput
	}
	return volume
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
