// Package selection decides which offerings (type × zone × market) can carry a
// cell and in which order to try them, and says of each other type why not. It
// is pure: what it needs to know of the cloud is in its arguments.
package selection

import (
	"time"

	"kip.elotl.co/api/v1beta1"
)

// Type is an instance type as far as selection looks at it.
type Type struct {
	Name string
	// Architectures has one member; none for what is neither of ours.
	Architectures Architectures
	// MilliCPU and Memory (bytes) are what a pod can use of the type;
	// NominalMemory is what EC2 says that it has.
	MilliCPU      int64
	Memory        int64
	NominalMemory int64
	// GPUs are NVIDIA's, Neurons AWS's accelerators.
	GPUs    int64
	Neurons int64
	// IPv4PerInterface is how many addresses its first interface can hold.
	IPv4PerInterface int32
	// BareMetal types take minutes longer to boot.
	BareMetal bool
	// Supports says what kinds of image the type boots.
	Supports BootSupport
	// Burst is nil for types that always give all of their CPU.
	Burst *Burst
}

// VCPUs is how many the type has, as quotas count them.
func (t *Type) VCPUs() int64 { return t.MilliCPU / 1000 }

// Burst is what is particular to a burstable type
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-credits-baseline-concepts.html).
type Burst struct {
	// BaselineMilliCPU is the CPU that it gives for good, over all of its vCPUs.
	BaselineMilliCPU int64
	// SurplusPerVCPUHour is what CPU above the baseline costs, in USD.
	SurplusPerVCPUHour float64
}

// BootSupport is what a type asks of an image.
type BootSupport struct {
	// HVM and Paravirtual are kinds of virtualization, UEFI and LegacyBIOS boot modes.
	HVM, Paravirtual, UEFI, LegacyBIOS bool
	// NeedsENA: the type has no network card but for images with the ENA driver.
	NeedsENA bool
}

// Architectures is a set of processor architectures.
type Architectures uint8

// The architectures.
const (
	AMD64 Architectures = 1 << iota
	ARM64
	allArchitectures = AMD64 | ARM64
)

// ArchitectureOf is the set of one architecture in Kubernetes' words; empty
// for one that no cell can have.
func ArchitectureOf(name string) Architectures {
	switch name {
	case "amd64":
		return AMD64
	case "arm64":
		return ARM64
	}
	return 0
}

// String joins the names.
func (a Architectures) String() string {
	switch a {
	case AMD64:
		return "amd64"
	case ARM64:
		return "arm64"
	case AMD64 | ARM64:
		return "amd64 and arm64"
	}
	return "neither amd64 nor arm64"
}

// Market is how an instance is bought.
type Market uint8

// The markets.
const (
	OnDemand Market = iota
	Spot
	markets
)

// LaunchType is the market in the API's words.
func (m Market) LaunchType() v1beta1.LaunchType {
	if m == Spot {
		return v1beta1.LaunchSpot
	}
	return v1beta1.LaunchOnDemand
}

// Price is what an instance costs for an hour, in USD, and who says so.
type Price struct {
	PerHour float64
	Source  PriceSource
	AsOf    time.Time
}

// PriceSource says where a price comes from; empty where there is no price.
type PriceSource string

// The sources.
const (
	// SourcePricingAPI is AWS's price list.
	SourcePricingAPI PriceSource = "PricingAPI"
	// SourceSpotHistory is EC2's DescribeSpotPriceHistory.
	SourceSpotHistory PriceSource = "SpotPriceHistory"
	// SourceTable is the table in the program, of its own region.
	SourceTable PriceSource = "Table"
	// SourceEstimate is that table, scaled to another region or market.
	SourceEstimate PriceSource = "Estimate"
	// SourceOverride is the user's own.
	SourceOverride PriceSource = "Override"
)

// Listing is an offering as the catalogue lists it. Without a price it is
// chosen only where its type is asked for by name.
type Listing struct {
	Type   string
	Zone   string
	Market Market
	Price  Price
}

// Image is a machine image that a class may boot.
type Image struct {
	ID           string
	Architecture Architectures // of one
	// Accelerator is v1beta1.AcceleratorNone, …Nvidia or …Neuron.
	Accelerator string
	// Paravirtual, else HVM; UEFI or LegacyBIOS where it boots in one way
	// only; ENA: it has the driver.
	Paravirtual, UEFI, LegacyBIOS, ENA bool
	// VolumeGiB is the size of its own root volume.
	VolumeGiB int32
}

// Subnet is where a class may launch.
type Subnet struct {
	ID   string
	Zone string
	// Free is how many addresses are left, as far as is known.
	Free int
	// Public: an instance gets a public address in it unless told otherwise.
	Public bool
}

// Class is what a CellClass allows.
type Class struct {
	// Allowed and Excluded are patterns in which * stands for any characters.
	Allowed, Excluded []string
	Architectures     Architectures
	// DefaultArchitecture is the only one of asks that name neither an
	// architecture nor a type; 0 is no limit.
	DefaultArchitecture Architectures
	Burstable           v1beta1.BurstableMode
	// MaxPerHour is the most that a cell may cost, in USD; 0 is no limit.
	MaxPerHour float64
	// MaxFactor is how many times as much as the cheapest offering of its
	// market that would do, if everything had capacity, an offering may cost;
	// 0 is no limit.
	MaxFactor float64
	Images    []Image
	Subnets   []Subnet
}

// Ask is what one cell needs.
type Ask struct {
	// Type is the name of a type, which overrides the resources, or a pattern
	// with *; any type will do when it is empty.
	Type string
	// MilliCPU, Memory (bytes), GPUs and Neurons are what the pod needs.
	MilliCPU int64
	Memory   int64
	GPUs     int64
	Neurons  int64
	// LaunchType is On-demand where it is empty.
	LaunchType v1beta1.LaunchType
	// Terms: one of them must hold; no terms always do.
	Terms []v1beta1.OfferingTerm
	// Zone is the only one that will do; any will where it is empty.
	Zone string
	// PrivateIPOnly says whether the cell does without a public address; nil:
	// the subnet decides.
	PrivateIPOnly *bool
	// VolumeGiB is the size that is asked for on purpose: the image's own volume
	// must fit in, with StorageGiB for the pod beside it. 0 is one that grows
	// with the image.
	VolumeGiB, StorageGiB int32
	// VolumePerHour is what the cell's volume costs wherever it is, and
	// AddressPerHour what a public address does, in USD.
	VolumePerHour, AddressPerHour float64
}

// Offering is one way to launch a cell.
type Offering struct {
	InstanceType string
	Zone         string
	SubnetID     string
	Market       Market
	// VCPUs is how many the type has.
	VCPUs        int64
	ImageID      string
	Architecture Architectures
	// CPUCredits is standard or unlimited for a burstable type, else empty.
	CPUCredits string
	// Price is the listing's.
	Price Price
	// PerHour is what the cell costs in all. Just the known part when Price has
	// no source.
	PerHour float64
	// InstancePerHour, with CPU above the baseline, VolumePerHour and
	// AddressPerHour are the parts of PerHour. The last is 0 in a subnet in
	// which the cell gets no public address.
	InstancePerHour, VolumePerHour, AddressPerHour float64
}

// Credit modes of burstable types, in EC2's words.
const (
	CreditsStandard  = "standard"
	CreditsUnlimited = "unlimited"
)
