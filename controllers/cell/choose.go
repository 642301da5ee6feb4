package cell

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/selection"
)

// problem is why nothing can be launched for now. Zero retry: not before the
// Cell or its class changes.
type problem struct {
	reason, message string
	retry           time.Duration
}

// choice is the offering to launch, those that would be next, and what the
// cell costs besides its instance.
type choice struct {
	selection.Offering
	runnersUp []selection.Offering
	extras    extras
}

// extras are what a cell costs besides its instance, in USD per hour: at most,
// as only some of the class's subnets may give public addresses.
type extras struct{ volume, address float64 }

func (e extras) perHour() float64 { return e.volume + e.address }

// in is what they are in one of the class's subnets.
func (e extras) in(s *scope, subnet string) extras {
	if privateIPOnly(s) == nil && !slices.ContainsFunc(s.class.Status.Subnets, func(is v1beta1.ResolvedSubnet) bool { return is.ID == subnet && is.Public }) {
		e.address = 0
	}
	return e
}

// offeringsShown is how many offerings are looked for: the one to launch and
// three to show beside it.
const offeringsShown = 4

// choose picks the cheapest offering that is to be had, and claims it.
func (c *Controller) choose(s *scope) (*choice, *problem) {
	if p := classProblem(s); p != nil {
		return nil, p
	}
	index := c.Catalogue.Index()
	if index == nil {
		return nil, &problem{v1beta1.ReasonCatalogueNotReady, c.Catalogue.NotReady(), catalogueRetry}
	}
	rules, extra, world := c.rules.of(index, s.class), c.extrasOf(s), c.world(s.class)
	ask := selection.AskOf(&s.cell.Spec, s.class, extra.perHour())
	for {
		found := selection.Select(rules, &ask, world, offeringsShown)
		if len(found) == 0 && byDefault(s, &ask) && excluded(rules, &ask, world) {
			ask.Type = "" // the pod does not want the default type: another may do
			continue
		}
		if len(found) == 0 {
			return nil, c.noOffering(s, rules, &ask)
		}
		if p := volumeProblem(s, found[0].ImageID); p != nil {
			return nil, p
		}
		// What cannot be claimed is dry, so it is not selected again.
		if world.Claim(found[0], s.cell.UID) {
			return &choice{found[0], found[1:], extra}, nil
		}
	}
}

// excluded says whether what the pod says of zone, type and architecture rules
// out the type that is asked for, wherever it has capacity.
func excluded(rules *selection.Rules, ask *selection.Ask, world selection.World) bool {
	if len(ask.Terms) == 0 {
		return false
	}
	step, _ := selection.Nearest(rules, ask, world)
	return step == selection.StepAffinity || step == selection.StepZone
}

// byDefault says whether a type is asked for that only the class names.
func byDefault(s *scope, ask *selection.Ask) bool {
	return s.cell.Spec.InstanceType == "" && ask.Type != ""
}

// noOffering says what came nearest to what the Cell asks for.
func (c *Controller) noOffering(s *scope, rules *selection.Rules, ask *selection.Ask) *problem {
	step, message := selection.Nearest(rules, ask, c.world(s.class))
	named := s.cell.Spec.InstanceType
	switch {
	case step == selection.StepCapacity:
		return c.noCapacity(s, message)
	case byDefault(s, ask):
		return &problem{v1beta1.ReasonInvalidInstanceType,
			fmt.Sprintf("CellClass %q: spec.defaultInstanceType: %s", s.class.Name, message), typeRetry}
	case named != "" && (step == selection.StepRequested || !strings.Contains(named, "*")):
		return &problem{v1beta1.ReasonInvalidInstanceType, "spec.instanceType: " + message, typeRetry}
	}
	return &problem{v1beta1.ReasonNoFittingType, message, typeRetry}
}

// noCapacity says of what there is none: of volumes, where none of the class's
// zones has any of its type; else of what would do.
func (c *Controller) noCapacity(s *scope, message string) *problem {
	reason, world := v1beta1.ReasonNoVolumes, c.world(s.class)
	var without []string
	for _, subnet := range s.class.Status.Subnets {
		switch {
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

// volumeProblem is about a size that was asked for on purpose: one that the
// class gives by default grows with the image.
func volumeProblem(s *scope, imageID string) *problem {
	image := imageByID(s.class, imageID)
	if s.cell.Spec.VolumeSize == nil || image == nil || volumeGiB(s) >= image.MinVolumeGiB {
		return nil
	}
	return &problem{reason: v1beta1.ReasonInvalidVolumeSize,
		message: fmt.Sprintf("spec.volumeSize: %s is smaller than the root volume of image %s, %dGi",
			s.cell.Spec.VolumeSize, image.ID, image.MinVolumeGiB)}
}

// extrasOf takes the volume to be as large as the largest image needs it.
func (c *Controller) extrasOf(s *scope) extras {
	extra := extras{volume: catalogue.VolumePerHour(c.Catalogue.Region, rootVolume(s, largestImage(s.class)))}
	if public(s) {
		extra.address = catalogue.PublicIPv4PerHour()
	}
	return extra
}

// public says whether the cell may get a public address.
func public(s *scope) bool {
	if private := privateIPOnly(s); private != nil {
		return !*private
	}
	return slices.ContainsFunc(s.class.Status.Subnets, func(is v1beta1.ResolvedSubnet) bool { return is.Public })
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

func largestImage(class *v1beta1.CellClass) int32 {
	var most int32
	for _, image := range class.Status.Images {
		most = max(most, image.MinVolumeGiB)
	}
	return most
}
