package cell

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/cellspec"
	"kip.elotl.co/internal/selection"
)

// problem is why nothing can be launched for now. Zero retry: not before the
// Cell or its class changes.
type problem struct {
	reason, message string
	retry           time.Duration
}

// problemOf retries after the time that the caller says.
func problemOf(p *cellspec.Problem, retry time.Duration) *problem {
	return &problem{p.Reason, p.Message, retry}
}

// choice is the offering to launch, and those that would be next.
type choice struct {
	selection.Offering
	runnersUp []selection.Offering
}

// offeringsShown is how many offerings are looked for: the one to launch and
// three to show beside it.
const offeringsShown = 4

// choose picks the cheapest offering that is to be had, and claims it.
func (c *Controller) choose(s *scope) (*choice, *problem) {
	if p := classProblem(s); p != nil {
		return nil, p
	}
	index := c.Catalogue.IndexFor(s.class.Spec.AWS.Tenancy)
	if index == nil {
		return nil, &problem{v1beta1.ReasonCatalogueNotReady, c.Catalogue.NotReady(), catalogueRetry}
	}
	spec, rules, world := &s.cell.Spec, c.rules.of(index, s.class), c.world(s.class)
	ask := cellspec.Ask(spec, s.class, c.Catalogue.Region)
	others, avoids := avoiding(world, s.cell)
	for {
		found := selection.Select(rules, &ask, others, offeringsShown)
		if len(found) == 0 && avoids { // where one did not come up another may
			others, avoids = elsewhere{World: world}, false
			continue
		}
		if len(found) == 0 && cellspec.DefaultGivesWay(spec, &ask, rules, world) {
			ask.Type = "" // the pod does not want the default type: another may do
			continue
		}
		if len(found) == 0 {
			return nil, c.noOffering(s, rules, &ask)
		}
		// What cannot be claimed is dry, so it is not selected again.
		if world.Claim(found[0], s.cell.UID) {
			return &choice{found[0], found[1:]}, nil
		}
	}
}

// noOffering says what came nearest to what the Cell asks for.
func (c *Controller) noOffering(s *scope, rules *selection.Rules, ask *selection.Ask) *problem {
	p := cellspec.NoOffering(&s.cell.Spec, s.class, ask, rules, c.world(s.class))
	if p.Step == selection.StepCapacity {
		return c.noCapacity(s, p.Message)
	}
	return problemOf(p, typeRetry)
}

// noCapacity says of what there is none: of volumes, where none of the class's
// zones has any of its type; else of what would do.
func (c *Controller) noCapacity(s *scope, message string) *problem {
	reason, world := v1beta1.ReasonNoVolumes, c.world(s.class)
	var without []string
	for _, subnet := range s.class.Status.Subnets {
		switch zone := s.cell.Spec.Zone; {
		case zone != "" && zone != subnet.Zone:
		case !world.NoVolumes(subnet.Zone):
			reason = v1beta1.ReasonNoCapacity
		case !slices.Contains(without, subnet.Zone):
			without = append(without, subnet.Zone)
		}
	}
	if len(without) > 0 {
		message += fmt.Sprintf("; no root volume of type %s (spec.aws.rootVolume.type) is to be had in %s, for now",
			cmp.Or(s.class.Spec.AWS.RootVolume.Type, catalogue.DefaultVolumeType), strings.Join(without, ", "))
	}
	return &problem{reason, message + lastRefusal(s.cell), noCapacityRetry}
}

// lastRefusal repeats what the cloud said last, which may name a quota.
func lastRefusal(cell *v1beta1.Cell) string {
	n := len(cell.Status.Attempts)
	if n == 0 || cell.Status.Attempts[n-1].Message == "" {
		return ""
	}
	last := &cell.Status.Attempts[n-1]
	return fmt.Sprintf("; the last of %d attempts, %s in %s: %s", last.Number, last.InstanceType, last.SubnetID, last.Message)
}

// freeAddresses is how many addresses a subnet of the class was last seen to have.
func freeAddresses(class *v1beta1.CellClass, subnet string) int {
	if class == nil {
		return 0
	}
	for _, s := range class.Status.Subnets {
		if s.ID == subnet {
			return int(s.FreeAddresses)
		}
	}
	return 0
}
