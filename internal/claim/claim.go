// Package claim says which cells without a pod are what a pod asks for.
package claim

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellspec"
	"kip.elotl.co/internal/cloudinit"
	"kip.elotl.co/internal/selection"
)

// Matcher compares what pods ask for with cells that are there. It may be used
// by several goroutines.
type Matcher struct {
	// Objects reads the class's cloud-init document, from a cache.
	Objects client.Reader
	// Namespace is the operator's own.
	Namespace string
	// Index is what can be bought of a tenancy in the Region; nil before that is known.
	Index  func(tenancy string) *selection.Index
	Region string
}

// Fitting gives those of a class's cells without a pod that satisfy what a pod
// asks for (the Cell that would be made for it, with its podRef): first those
// that are reserved for its controller, then the others, the cheapest first. owner
// is the UID of the pod's controller, empty where it has none.
func (m *Matcher) Fitting(ctx context.Context, cells []v1beta1.Cell, wanted *v1beta1.CellSpec, class *v1beta1.CellClass, owner string) ([]v1beta1.Cell, error) {
	allowed := slices.DeleteFunc(slices.Clone(cells), func(cell v1beta1.Cell) bool { return !mayBeClaimed(&cell, class, owner) })
	if len(allowed) == 0 || cellspec.ClassProblem(class) != nil {
		return nil, nil
	}
	document, err := cloudinit.Read(ctx, m.Objects, m.Namespace, class)
	if missing := (*cloudinit.SourceError)(nil); errors.As(err, &missing) {
		return nil, nil // nor can one be launched
	}
	if err != nil {
		return nil, err
	}
	index := m.Index(class.Spec.AWS.Tenancy)
	if index == nil {
		return nil, nil
	}
	f := fitting{wanted: wanted, class: class, document: document, region: m.Region, rules: selection.NewRules(index, withoutLimits(class))}
	fit := slices.DeleteFunc(allowed, func(cell v1beta1.Cell) bool { return !f.fits(&cell) })
	slices.SortFunc(fit, cheaperFirst)
	return fit, nil
}

// mayBeClaimed says whether a cell is to be had by pods of a controller at all.
func mayBeClaimed(cell *v1beta1.Cell, class *v1beta1.CellClass, owner string) bool {
	switch {
	case cell.Spec.CellClassName != class.Name, cell.Spec.PodRef != nil, !cell.DeletionTimestamp.IsZero():
		return false
	case cell.Spec.ReservedFor != nil:
		return owner != "" && cell.Spec.ReservedFor.OwnerUID == owner && cell.Status.Phase != v1beta1.CellFailed
	case !meta.IsStatusConditionTrue(cell.Status.Conditions, v1beta1.ConditionReady):
		return false
	}
	return class.Spec.ClaimUserCells || cell.Labels[v1beta1.LabelStandby] != ""
}

// withoutLimits is the class without limits of price: what runs costs already.
func withoutLimits(class *v1beta1.CellClass) selection.Class {
	out := selection.ClassOf(class)
	out.MaxPerHour, out.MaxFactor = 0, 0
	return out
}

func cheaperFirst(a, b v1beta1.Cell) int {
	reserved := func(cell *v1beta1.Cell) int {
		if cell.Spec.ReservedFor != nil {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(reserved(&a), reserved(&b)), cmp.Compare(price(&a), price(&b)), strings.Compare(a.Name, b.Name))
}

// price is in USD per hour; what is not known is dear.
func price(cell *v1beta1.Cell) float64 {
	perHour, err := strconv.ParseFloat(cell.Status.PricePerHour, 64)
	if err != nil {
		return math.Inf(1)
	}
	return perHour
}

// fitting is what one pod asks for.
type fitting struct {
	wanted   *v1beta1.CellSpec
	class    *v1beta1.CellClass
	document string
	region   string
	rules    *selection.Rules
}

// fits says whether a cell is what would have been made for the pod, or more.
func (f *fitting) fits(cell *v1beta1.Cell) bool {
	if cell.Spec.ReservedFor != nil && f.same(&cell.Spec) {
		return true
	}
	n := len(cell.Status.Attempts)
	if n == 0 || cell.Status.InstanceID == "" {
		return false
	}
	attempt := &cell.Status.Attempts[n-1]
	return len(cellspec.Drift(&cell.Spec, attempt, f.class, f.document)) == 0 &&
		f.setUpAlike(&cell.Spec) && f.reachedAlike(cell, attempt) && f.largeEnough(cell, attempt) && f.offered(cell, attempt)
}

// same: the cell was asked for in the pod's own words.
func (f *fitting) same(spec *v1beta1.CellSpec) bool {
	is, want := spec.DeepCopy(), f.wanted.DeepCopy()
	is.ReservedFor, is.PodRef, want.ReservedFor, want.PodRef = nil, nil, nil, nil
	return equality.Semantic.DeepEqual(is, want)
}

// setUpAlike: what is settled when a cell is launched, or becomes Ready, and does not
// follow from its offering.
func (f *fitting) setUpAlike(spec *v1beta1.CellSpec) bool {
	overlay := func(spec *v1beta1.CellSpec) bool { return spec.ImageOverlayRootfs == nil || *spec.ImageOverlayRootfs }
	return spec.InstanceProfile == f.wanted.InstanceProfile && sameSet(spec.Routes, f.wanted.Routes) &&
		equality.Semantic.DeepEqual(spec.HealthyTimeoutSeconds, f.wanted.HealthyTimeoutSeconds) &&
		overlay(spec) == overlay(f.wanted) && sameSet(f.groups(spec), f.groups(f.wanted))
}

func (f *fitting) groups(spec *v1beta1.CellSpec) []string {
	return slices.Concat(f.class.Status.SecurityGroups, spec.SecurityGroups)
}

func sameSet(a, b []string) bool {
	sorted := func(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
	return slices.Equal(sorted(a), sorted(b))
}

// reachedAlike: both have a public address, or none.
func (f *fitting) reachedAlike(cell *v1beta1.Cell, attempt *v1beta1.LaunchAttempt) bool {
	private := func(spec *v1beta1.CellSpec) bool {
		if says := cellspec.PrivateIPOnly(spec, f.class); says != nil {
			return *says
		}
		return !slices.ContainsFunc(f.class.Status.Subnets, func(s v1beta1.ResolvedSubnet) bool { return s.ID == attempt.SubnetID && s.Public })
	}
	return private(&cell.Spec) == private(f.wanted)
}

// largeEnough: the root volume is at least as large as the pod's would be.
func (f *fitting) largeEnough(cell *v1beta1.Cell, attempt *v1beta1.LaunchAttempt) bool {
	image := cellspec.Image(f.class, attempt.ImageID)
	if image == nil {
		return false
	}
	size := func(spec *v1beta1.CellSpec) int32 { return cellspec.RootVolume(spec, f.class, image.MinVolumeGiB).GiB }
	return size(&cell.Spec) >= size(f.wanted)
}

// offered: by the rules of selection, what the cell was launched as would do for
// the pod. A pod that asks for nothing is content with any type.
func (f *fitting) offered(cell *v1beta1.Cell, attempt *v1beta1.LaunchAttempt) bool {
	ask := cellspec.Ask(f.wanted, f.class, f.region)
	if cellspec.ByDefault(f.wanted, &ask) {
		ask.Type = ""
	}
	is := cell.Status.LaunchType
	if ask.LaunchType != is && ask.LaunchType != v1beta1.LaunchSpotPreferred {
		return false
	}
	ask.LaunchType, ask.VolumeGiB = is, 0 // its size is known
	ask.Terms = alsoIn(ask.Terms, cell.Status.InstanceType, cell.Status.Zone)
	found := selection.Select(f.rules, &ask, plenty{}, 1)
	if len(found) == 0 {
		return false
	}
	return found[0].CPUCredits != selection.CreditsUnlimited || attempt.CPUCredits == selection.CreditsUnlimited
}

// alsoIn narrows terms to one type in one zone.
func alsoIn(terms []v1beta1.OfferingTerm, kind, zone string) []v1beta1.OfferingTerm {
	only := []v1beta1.OfferingRequirement{
		{Key: corev1.LabelInstanceTypeStable, Operator: corev1.NodeSelectorOpIn, Values: []string{kind}},
		{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{zone}},
	}
	if len(terms) == 0 {
		return []v1beta1.OfferingTerm{{Requirements: only}}
	}
	narrowed := make([]v1beta1.OfferingTerm, len(terms))
	for i := range terms {
		narrowed[i].Requirements = slices.Concat(terms[i].Requirements, only)
	}
	return narrowed
}

// plenty is a world in which there is some of everything: what is asked about
// is there already.
type plenty struct{}

// Dry implements selection.World.
func (plenty) Dry(*selection.Type, string, selection.Market) bool { return false }

// Free implements selection.World.
func (plenty) Free(selection.Subnet) int { return 1 }
