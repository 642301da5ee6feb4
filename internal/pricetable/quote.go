package pricetable

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
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
	PublicIPv4   bool                   `json:"publicIPv4"`
	// MaxPricePerHour is the class's.
	MaxPricePerHour string `json:"maxPricePerHour,omitempty"`
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
	Index *selection.Index
	World selection.World
	// Region is where; it counts for what volumes cost.
	Region string
}

// Quote answers for a workload's pod in a class. The pod must have its
// namespace, which counts for privileges. The error says why Kip would refuse
// the pod whatever there is to buy, or that the class is not ready.
func (m Market) Quote(w Workload, class *v1beta1.CellClass) (*Quote, error) {
	if err := checkReady(class); err != nil {
		return nil, err
	}
	spec, refusals := demand.Of(w.Pod, class, virtualnode.Labels(class))
	if len(refusals) > 0 {
		return nil, refused(refusals)
	}
	extra := extrasOf(&spec, class, m.Region)
	ask := selection.AskOf(&spec, class, extra.perHour())
	rules := selection.NewRules(m.Index, selection.ClassOf(class))
	explained, ask := m.explain(rules, ask, &spec)
	if len(explained.Candidates) > 0 {
		if err := checkVolume(&spec, class, explained.Candidates[0].ImageID); err != nil {
			return nil, err
		}
	}
	q := &Quote{
		Kind: w.Kind, Namespace: w.Pod.Namespace, Name: w.Pod.Name, CellClassName: class.Name,
		Counted: counted(&spec, class, &ask, extra), Offers: []Offer{}, RejectedTypes: len(explained.Rejections),
	}
	for _, o := range explained.Candidates {
		q.Offers = append(q.Offers, m.offer(o, extra))
	}
	for _, r := range explained.Rejections {
		q.Rejected = append(q.Rejected, Rejected{r.Type, r.Step, r.Reason})
	}
	if len(q.Offers) == 0 {
		step, message := selection.Nearest(rules, &ask, m.World)
		q.Problem = &Problem{step, blame(step, message, &q.Counted)}
	}
	return q, nil
}

func refused(refusals []demand.Refusal) error {
	reasons := make([]error, 0, len(refusals))
	for _, r := range refusals {
		reasons = append(reasons, errors.New(r.Message))
	}
	return errors.Join(reasons...)
}

// explain takes another type than the class's default for a pod that asks for
// nothing but is particular about where it runs, as the operator does.
func (m Market) explain(rules *selection.Rules, ask selection.Ask, spec *v1beta1.CellSpec) (selection.Explanation, selection.Ask) {
	explained := selection.Explain(rules, &ask, m.World)
	if len(explained.Candidates) == 0 && byDefault(spec, &ask) && len(ask.Terms) > 0 {
		ask.Type = ""
		return selection.Explain(rules, &ask, m.World), ask
	}
	return explained, ask
}

// byDefault says whether a type is asked for that only the class names.
func byDefault(spec *v1beta1.CellSpec, ask *selection.Ask) bool {
	return spec.InstanceType == "" && ask.Type != ""
}

// blame says whose wish the type was, where that is what cannot be had.
func blame(step selection.Step, message string, c *Counted) string {
	switch {
	case c.ByDefault:
		return "the class's spec.defaultInstanceType: " + message
	case c.InstanceType != "" && (step == selection.StepRequested || !strings.Contains(c.InstanceType, "*")):
		return fmt.Sprintf("annotation %s: %s", v1beta1.AnnotationInstanceType, message)
	}
	return message
}

func counted(spec *v1beta1.CellSpec, class *v1beta1.CellClass, ask *selection.Ask, extra extras) Counted {
	c := Counted{
		Resources: spec.Resources, InstanceType: ask.Type, ByDefault: byDefault(spec, ask),
		LaunchType: ask.LaunchType, Terms: spec.OfferingTerms,
		VolumeGiB: extra.volume.GiB, PublicIPv4: extra.public, MaxPricePerHour: class.Spec.MaxPricePerHour,
	}
	if c.LaunchType == "" {
		c.LaunchType = v1beta1.LaunchOnDemand
	}
	return c
}

func (m Market) offer(o selection.Offering, extra extras) Offer {
	kind, _ := m.Index.Type(o.InstanceType)
	out := Offer{
		InstanceType: o.InstanceType, Zone: o.Zone, LaunchType: o.Market.LaunchType(),
		VCPUs:        kind.MilliCPU / 1000,
		Memory:       resource.NewQuantity(kind.NominalMemory, resource.BinarySI),
		UsableMemory: resource.NewQuantity(kind.Memory, resource.BinarySI),
		Architecture: o.Architecture.String(), SubnetID: o.SubnetID, ImageID: o.ImageID, CPUCredits: o.CPUCredits,
	}
	if o.Price.Source == "" {
		return out
	}
	out.PricePerHour = selection.FormatPrice(o.PerHour)
	out.Price = &v1beta1.CellPrice{
		Instance: selection.FormatPrice(o.InstancePerHour),
		Volume:   selection.FormatPrice(extra.volumePerHour),
		Source:   string(o.Price.Source), AsOf: metav1.NewTime(o.Price.AsOf),
	}
	if extra.public {
		out.Price.PublicIPv4 = selection.FormatPrice(catalogue.PublicIPv4PerHour())
	}
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
