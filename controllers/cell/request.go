package cell

import (
	"fmt"
	"slices"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/bootstrap"
	"kip.elotl.co/internal/cellspec"
	"kip.elotl.co/internal/cloud"
)

func classProblem(s *scope) *problem {
	if s.class == nil {
		return &problem{reason: v1beta1.ReasonClassNotFound,
			message: fmt.Sprintf("spec.cellClassName: CellClass %q does not exist", s.cell.Spec.CellClassName)}
	}
	if p := cellspec.ClassProblem(s.class); p != nil {
		return problemOf(p, 0)
	}
	return nil
}

// request renders the launch call of an attempt from the class as it is now.
// An error means that it cannot be rendered, not that it was refused.
func (c *Controller) request(s *scope, attempt *v1beta1.LaunchAttempt) (cloud.LaunchRequest, error) {
	if p := classProblem(s); p != nil {
		return cloud.LaunchRequest{}, fmt.Errorf("%s", p.message)
	}
	image := cellspec.Image(s.class, attempt.ImageID)
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
	if input.ParameterStore { // what it cannot be told later it is not launched for
		if _, err := bootstrap.Parameters(input); err != nil {
			return cloud.LaunchRequest{}, err
		}
	}
	request := cloud.LaunchRequest{
		ClientToken:     clientToken(s.cell, attempt.Number),
		InstanceType:    attempt.InstanceType,
		ImageID:         attempt.ImageID,
		SubnetID:        attempt.SubnetID,
		SecurityGroups:  securityGroups(s),
		UserData:        userData,
		Market:          cloudMarket(attempt.LaunchType),
		SpotMaxPrice:    attempt.SpotMaxPrice,
		CPUCredits:      attempt.CPUCredits,
		InstanceProfile: attempt.InstanceProfile,
		PodMetadata:     s.cell.Spec.InstanceProfile != "",
		Tenancy:         s.class.Spec.AWS.Tenancy,
		RootDevice:      image.RootDevice,
		Volume:          cellspec.RootVolume(&s.cell.Spec, s.class, image.MinVolumeGiB),
		Tags:            c.tags(s, attempt),
	}
	if private := cellspec.PrivateIPOnly(&s.cell.Spec, s.class); private != nil {
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
