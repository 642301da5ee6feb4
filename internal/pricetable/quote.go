package pricetable

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/admission"
	"kip.elotl.co/internal/cellspec"
	"kip.elotl.co/internal/demand"
	"kip.elotl.co/internal/selection"
	"kip.elotl.co/internal/virtualnode"
)

// Quote is what Kip would make of a workload's pod. Money is in USD.
type Quote struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// CellClassName is the class that counts.
	CellClassName string  `json:"cellClassName"`
	Counted       Counted `json:"counted"`
	// Offers are what will do, in the order in which they are tried.
	Offers []Offer `json:"offers"`
	// Omitted is how many more offers there are.
	Omitted int `json:"omitted,omitempty"`
	// Rejected are the types turned down, by name; RejectedTypes is how many.
	Rejected      []Rejected `json:"rejected,omitempty"`
	RejectedTypes int        `json:"rejectedTypes"`
	// Problem is why there are no offers.
	Problem *Problem `json:"problem,omitempty"`
}

// Counted is what was taken from pod and class to choose by.
type Counted struct {
	// Resources as the scheduler counts them: cpu, memory, nvidia.com/gpu and
	// aws.amazon.com/neuron.
	Resources corev1.ResourceList `json:"resources,omitempty"`
	// InstanceType is a type or a pattern; the class's default where ByDefault.
	InstanceType string                 `json:"instanceType,omitempty"`
	ByDefault    bool                   `json:"byDefault,omitempty"`
	LaunchType   v1beta1.LaunchType     `json:"launchType"`
	Terms        []v1beta1.OfferingTerm `json:"offeringTerms,omitempty"`
	VolumeGiB    int32                  `json:"volumeGiB"`
	// PublicIPv4: the cell gets a public address; where PrivateIPOnly is absent,
	// only in subnets that give one.
	PublicIPv4    bool  `json:"publicIPv4"`
	PrivateIPOnly *bool `json:"privateIPOnly,omitempty"`
	// MaxPricePerHour and MaxPriceFactor are the class's.
	MaxPricePerHour string `json:"maxPricePerHour,omitempty"`
	MaxPriceFactor  string `json:"maxPriceFactor,omitempty"`
}

// Offer is an offering that will do. The price is made of the same parts as
// that of a Cell; without a source the instance's price is not known.
type Offer struct {
	InstanceType string             `json:"instanceType"`
	Zone         string             `json:"zone"`
	LaunchType   v1beta1.LaunchType `json:"launchType"`
	VCPUs        int64              `json:"vcpus"`
	// Memory is what EC2 says that the type has, UsableMemory what of it a pod
	// can use.
	Memory       *resource.Quantity `json:"memory"`
	UsableMemory *resource.Quantity `json:"usableMemory"`
	Architecture string             `json:"architecture"`
	SubnetID     string             `json:"subnetID"`
	ImageID      string             `json:"imageID"`
	// CPUCredits is standard or unlimited for burstable types. In the latter
	// case the price includes CPU above the baseline.
	CPUCredits   string             `json:"cpuCredits,omitempty"`
	PricePerHour string             `json:"pricePerHour,omitempty"`
	Price        *v1beta1.CellPrice `json:"price,omitempty"`
}

// Rejected says why a type was turned down. The reason goes on where the name
// of the type leaves off.
type Rejected struct {
	InstanceType string         `json:"instanceType"`
	Step         selection.Step `json:"step"`
	Reason       string         `json:"reason"`
}

// Problem is why nothing would be launched.
type Problem struct {
	Step    selection.Step `json:"step"`
	Message string         `json:"message"`
}

// Market is what can be bought.
type Market struct {
	// IndexFor is what there is at the prices of a tenancy: default (also when
	// empty) or dedicated.
	IndexFor func(tenancy string) *selection.Index
	World    selection.World
	// Region is where; it counts for what volumes cost.
	Region string
}

// Quote answers for a workload's pod in a class. The pod must have its
// namespace, which counts for privileges. The error says why Kip would refuse
// the pod whatever there is to buy, or that nothing is launched in the class.
func (m Market) Quote(w Workload, class *v1beta1.CellClass) (*Quote, error) {
	if p := cellspec.ClassProblem(class); p != nil {
		return nil, fmt.Errorf("%s: %s", p.Reason, p.Message)
	}
	spec, err := specOf(w.Pod, class, m.Region)
	if err != nil {
		return nil, err
	}
	index := m.IndexFor(class.Spec.AWS.Tenancy)
	rules := selection.NewRules(index, selection.ClassOf(class))
	ask := cellspec.Ask(&spec, class, m.Region)
	explained := selection.Explain(rules, &ask, m.World)
	if len(explained.Candidates) == 0 && cellspec.DefaultGivesWay(&spec, &ask, rules, m.World) {
		ask.Type = ""
		explained = selection.Explain(rules, &ask, m.World)
	}
	q := &Quote{
		Kind: w.Kind, Namespace: w.Pod.Namespace, Name: w.Pod.Name, CellClassName: class.Name,
		Counted: counted(&spec, class, &ask), Offers: []Offer{}, RejectedTypes: len(explained.Rejections),
	}
	for i := range explained.Candidates {
		q.Offers = append(q.Offers, m.offer(index, &explained.Candidates[i]))
	}
	for _, r := range explained.Rejections {
		q.Rejected = append(q.Rejected, Rejected{r.Type, r.Step, r.Reason})
	}
	if len(q.Offers) == 0 {
		p := cellspec.NoOffering(&spec, class, &ask, rules, m.World)
		q.Problem = &Problem{p.Step, admission.Blame(p.Message)}
	}
	return q, nil
}

// specOf is the spec of a pod's Cell. The error says all for which the operator
// would refuse the pod.
func specOf(pod *corev1.Pod, class *v1beta1.CellClass, region string) (v1beta1.CellSpec, error) {
	var reasons []error
	for _, r := range []*admission.Refusal{admission.Pod(pod, admission.ExpectedAgent()), admission.KnownAgents(pod, class), admission.Daemon(pod, class)} {
		if r != nil {
			reasons = append(reasons, errors.New(r.Message))
		}
	}
	spec, refusals := demand.Of(pod, class, virtualnode.Labels(class, virtualnode.Identity{Class: class.Name}, region))
	for _, r := range refusals {
		reasons = append(reasons, errors.New(r.Message))
	}
	return spec, errors.Join(reasons...)
}

func counted(spec *v1beta1.CellSpec, class *v1beta1.CellClass, ask *selection.Ask) Counted {
	c := Counted{
		Resources: spec.Resources, InstanceType: ask.Type, ByDefault: cellspec.ByDefault(spec, ask),
		LaunchType: ask.LaunchType, Terms: spec.OfferingTerms,
		VolumeGiB: cellspec.CountedVolume(spec, class).GiB, PrivateIPOnly: ask.PrivateIPOnly,
		MaxPricePerHour: class.Spec.MaxPricePerHour, MaxPriceFactor: class.Spec.MaxPriceFactor,
	}
	if c.LaunchType == "" {
		c.LaunchType = v1beta1.LaunchOnDemand
	}
	if c.PublicIPv4 = slices.ContainsFunc(class.Status.Subnets, func(s v1beta1.ResolvedSubnet) bool { return s.Public }); c.PrivateIPOnly != nil {
		c.PublicIPv4 = !*c.PrivateIPOnly
	}
	return c
}

func (m Market) offer(index *selection.Index, o *selection.Offering) Offer {
	kind, _ := index.Type(o.InstanceType)
	out := Offer{
		InstanceType: o.InstanceType, Zone: o.Zone, LaunchType: o.Market.LaunchType(),
		VCPUs:        kind.MilliCPU / 1000,
		Memory:       resource.NewQuantity(kind.NominalMemory, resource.BinarySI),
		UsableMemory: resource.NewQuantity(kind.Memory, resource.BinarySI),
		Architecture: o.Architecture.String(), SubnetID: o.SubnetID, ImageID: o.ImageID, CPUCredits: o.CPUCredits,
	}
	out.PricePerHour, out.Price = cellspec.Price(o)
	return out
}

// Shorten leaves the first limit offers, all where it is 0, and the rejections
// only where they are wanted.
func (q *Quote) Shorten(limit int, rejected bool) {
	if limit > 0 && len(q.Offers) > limit {
		q.Omitted = len(q.Offers) - limit
		q.Offers = q.Offers[:limit]
	}
	if !rejected {
		q.Rejected = nil
	}
}
