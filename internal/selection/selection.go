// Package selection decides which offerings can carry a cell, and says of each
// other why not. It is pure: what it needs to know of the cloud is in its
// arguments.
package selection

import (
	"fmt"
	"slices"
	"strings"

	"kip.elotl.co/api/v1beta1"
)

// Type is an instance type as far as selection looks at it.
type Type struct {
	Name          string
	Architectures []string // amd64, arm64
	// IPv4PerInterface is how many addresses its first interface can hold.
	IPv4PerInterface int32
	// Zones offer it.
	Zones []string
}

// Offering is one way to launch a cell.
type Offering struct {
	InstanceType string
	Zone         string
	SubnetID     string
	LaunchType   v1beta1.LaunchType
	Image        v1beta1.ResolvedImage
}

// Key names the offering where only the market's pool matters: type, zone and
// launch type.
func (o Offering) Key() string {
	return strings.Join([]string{o.InstanceType, o.Zone, string(o.LaunchType)}, "/")
}

// The steps of the selection, in their order.
const (
	StepAddresses    = "addresses"
	StepArchitecture = "architecture"
	StepZone         = "zone"
	StepCapacity     = "capacity"
)

// Rejection says why a subnet, or the type as a whole, was turned down.
type Rejection struct {
	// Step names the step that turned it down.
	Step string
	// Subject is the subnet, empty when it is the type as a whole.
	Subject string
	Reason  string
}

// Result is the candidates in the order in which to try them, and what was
// turned down.
type Result struct {
	Candidates []Offering
	Rejections []Rejection
}

// Explain joins the reasons of all rejections for a person.
func (r Result) Explain() string {
	reasons := make([]string, 0, len(r.Rejections))
	for _, rejection := range r.Rejections {
		reasons = append(reasons, rejection.Reason)
	}
	return strings.Join(reasons, "; ")
}

// addressesPerCell: the agent's address and the pod's.
const addressesPerCell = 2

// Select finds the offerings of one type that a class allows, in the order of
// the class's subnets. Offerings for which dry says true are turned down.
func Select(instanceType Type, class v1beta1.CellClassStatus, dry func(Offering) bool) Result {
	var result Result
	reject := func(step, subject, format string, args ...any) {
		result.Rejections = append(result.Rejections, Rejection{step, subject, fmt.Sprintf(format, args...)})
	}
	if instanceType.IPv4PerInterface < addressesPerCell {
		reject(StepAddresses, "", "%s holds %d addresses on an interface, a cell needs %d",
			instanceType.Name, instanceType.IPv4PerInterface, addressesPerCell)
		return result
	}
	image := imageFor(instanceType, class.Images)
	if image == nil {
		reject(StepArchitecture, "", "%s is %s, for which bootImageSpec matched no image",
			instanceType.Name, strings.Join(instanceType.Architectures, " or "))
		return result
	}
	for _, subnet := range class.Subnets {
		offering := Offering{
			InstanceType: instanceType.Name,
			Zone:         subnet.Zone,
			SubnetID:     subnet.ID,
			LaunchType:   v1beta1.LaunchOnDemand,
			Image:        *image,
		}
		switch {
		case !slices.Contains(instanceType.Zones, subnet.Zone):
			reject(StepZone, subnet.ID, "%s is not offered in %s (%s)", instanceType.Name, subnet.Zone, subnet.ID)
		case dry(offering):
			reject(StepCapacity, subnet.ID, "%s had no capacity in %s (%s) a short while ago", instanceType.Name, subnet.Zone, subnet.ID)
		default:
			result.Candidates = append(result.Candidates, offering)
		}
	}
	return result
}

func imageFor(instanceType Type, images []v1beta1.ResolvedImage) *v1beta1.ResolvedImage {
	for i := range images {
		if slices.Contains(instanceType.Architectures, images[i].Architecture) {
			return &images[i]
		}
	}
	return nil
}
