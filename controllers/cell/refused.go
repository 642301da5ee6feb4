package cell

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/cellspec"
	"kip.elotl.co/internal/cloud"
)

// refused notes that the attempt's type does not take the class's configuration.
func (c *Controller) refused(s *scope, attempt *v1beta1.LaunchAttempt, err error) {
	code, message := "", err.Error()
	if answer := (*cloud.Error)(nil); errors.As(err, &answer) {
		code, message = answer.Code, answer.Error()
	}
	c.world(s.class).Refused(c.offeringOf(attempt), code, message, s.cell.UID)
}

// orRefused is what keeps a Cell from being launched: the class's
// configuration, where want of capacity means that types have refused that.
func (c *Controller) orRefused(s *scope, p *problem) *problem {
	if p.reason != v1beta1.ReasonNoCapacity && p.reason != v1beta1.ReasonNoVolumes {
		return p
	}
	refusal, any := c.world(s.class).Refusal()
	if !any || !c.concerns(s, refusal) {
		return p
	}
	spec := &s.class.Spec
	return &problem{
		reason: v1beta1.ReasonLaunchFailed,
		message: fmt.Sprintf("CellClass %q: no instance type that was tried (%s) takes the class's configuration: "+
			"spec.aws.tenancy (%s), spec.aws.rootVolume (%s) or the image (spec.bootImageSpec): %s",
			s.class.Name, strings.Join(refusal.Types, ", "), cmp.Or(spec.AWS.Tenancy, "default"),
			cmp.Or(spec.AWS.RootVolume.Type, catalogue.DefaultVolumeType), refusal.Message),
		retry: cmp.Or(refusal.Retry, noCapacityRetry),
	}
}

// concerns says whether it is by a refusal of its class's configuration that a
// Cell gets nothing: all types are left alone, or the one that it asks for, or
// the last that it tried.
func (c *Controller) concerns(s *scope, refusal catalogue.Refusal) bool {
	ask := cellspec.Ask(&s.cell.Spec, s.class, c.Catalogue.Region)
	attempts := s.cell.Status.Attempts
	return refusal.Retry > 0 || slices.Contains(refusal.Types, ask.Type) ||
		len(attempts) > 0 && attempts[len(attempts)-1].Code == refusal.Code
}
