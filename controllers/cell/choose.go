package cell

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

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
	index := c.Catalogue.Index()
	if index == nil {
		return nil, &problem{v1beta1.ReasonCatalogueNotReady, "the instance types of this region are being looked up", catalogueRetry}
	}
	rules := c.rules.of(index, s.class)
	ask := selection.AskOf(&s.cell.Spec, s.class, c.extraPerHour(s))
	for {
		found := selection.Select(rules, &ask, c.capacity, offeringsShown)
		if len(found) == 0 && asksNothing(&s.cell.Spec) && len(ask.Terms) > 0 && ask.Type != "" {
			ask.Type = "" // the pod is particular about where it runs: another type may do
			continue
		}
		if len(found) == 0 {
			return nil, noOffering(s, rules, &ask, c.capacity)
		}
		if p := volumeProblem(s, found[0].ImageID); p != nil {
			return nil, p
		}
		if c.capacity.Claim(found[0]) {
			return &choice{found[0], found[1:]}, nil
		}
	}
}

func asksNothing(spec *v1beta1.CellSpec) bool {
	return spec.InstanceType == "" && len(spec.Resources) == 0
}

// noOffering says what came nearest to what the Cell asks for.
func noOffering(s *scope, rules *selection.Rules, ask *selection.Ask, world selection.World) *problem {
	step, message := selection.Nearest(rules, ask, world)
	if step == selection.StepCapacity {
		return &problem{v1beta1.ReasonNoCapacity, message, noCapacityRetry}
	}
	switch {
	case s.cell.Spec.InstanceType != "":
		return &problem{v1beta1.ReasonInvalidInstanceType, "spec.instanceType: " + message, typeRetry}
	case asksNothing(&s.cell.Spec):
		return &problem{v1beta1.ReasonInvalidInstanceType,
			fmt.Sprintf("CellClass %q: spec.defaultInstanceType: %s", s.class.Name, message), typeRetry}
	}
	return &problem{v1beta1.ReasonNoFittingType, message, typeRetry}
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

// extraPerHour is what the cell costs besides its instance, in USD.
func (c *Controller) extraPerHour(s *scope) float64 {
	volume := rootVolume(s, largestImage(s.class))
	extra := catalogue.VolumePerHour(c.Catalogue.Region, volume)
	if public(s) {
		extra += catalogue.PublicIPv4PerHour()
	}
	return extra
}

// public says whether the cell gets a public address.
func public(s *scope) bool {
	if private := privateIPOnly(s); private != nil {
		return !*private
	}
	for _, subnet := range s.class.Status.Subnets {
		if subnet.Public {
			return true
		}
	}
	return false
}

func largestImage(class *v1beta1.CellClass) int32 {
	var most int32
	for _, image := range class.Status.Images {
		most = max(most, image.MinVolumeGiB)
	}
	return most
}

// classRules keeps the rules of each class until the class or the catalogue changes.
type classRules struct {
	mu    sync.Mutex
	known map[types.UID]knownRules
}

type knownRules struct {
	index      *selection.Index
	generation int64
	images     []v1beta1.ResolvedImage
	subnets    []v1beta1.ResolvedSubnet
	rules      *selection.Rules
}

func newClassRules() *classRules { return &classRules{known: map[types.UID]knownRules{}} }

func (r *classRules) of(index *selection.Index, class *v1beta1.CellClass) *selection.Rules {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.known[class.UID]
	if ok && known.index == index && known.generation == class.Generation &&
		equality.Semantic.DeepEqual(known.images, class.Status.Images) && equality.Semantic.DeepEqual(known.subnets, class.Status.Subnets) {
		return known.rules
	}
	known = knownRules{index, class.Generation, class.Status.Images, class.Status.Subnets, selection.NewRules(index, selection.ClassOf(class))}
	r.known[class.UID] = known
	return known.rules
}

func (r *classRules) forget(class types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, class)
}
