package pricetable

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"kip.elotl.co/api/v1beta1"
)

// Write prints a quote for people, ages as at now.
func (q *Quote) Write(w io.Writer, now time.Time) error {
	out := tabwriter.NewWriter(w, 0, 0, columnGap, ' ', 0)
	fmt.Fprintln(out, q.summary())
	if len(q.Offers) > 0 {
		q.writeOffers(out, now)
	}
	fmt.Fprintln(out, q.rest())
	if len(q.Rejected) > 0 {
		fmt.Fprintf(out, "\nTYPE\tSTEP\tREASON\n")
		for _, r := range q.Rejected {
			fmt.Fprintf(out, "%s\t%s\t%s\n", r.InstanceType, r.Step, r.Reason)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

// columnGap is how many blanks are between columns.
const columnGap = 3

func (q *Quote) writeOffers(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "\nTYPE\tZONE\tMARKET\tVCPUS\tMEMORY\tINSTANCE/H\tVOLUME/H\tIPV4/H\tTOTAL/H\tSOURCE\tAGE\n")
	for i := range q.Offers {
		o := &q.Offers[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", o.InstanceType, o.Zone, o.LaunchType, o.VCPUs, o.Memory, priceCells(o, now))
	}
	fmt.Fprintln(w)
}

// priceCells are an offer's prices, their source and age.
func priceCells(o *Offer, now time.Time) string {
	if o.Price == nil {
		return "unknown\t-\t-\tunknown\t-\t-"
	}
	address := o.Price.PublicIPv4
	if address == "" {
		address = "-"
	}
	age := duration.HumanDuration(max(0, now.Sub(o.Price.AsOf.Time)))
	return strings.Join([]string{o.Price.Instance, o.Price.Volume, address, o.PricePerHour, o.Price.Source, age}, "\t")
}

// summary says what was counted.
func (q *Quote) summary() string {
	c := &q.Counted
	name := q.Name
	if q.Namespace != "" {
		name = q.Namespace + "/" + name
	}
	parts := []string{"asks for " + asked(c), "class " + q.CellClassName, "launch type " + string(c.LaunchType)}
	if len(c.Terms) > 0 {
		parts = append(parts, "only where "+terms(c.Terms))
	}
	if c.MaxPricePerHour != "" {
		parts = append(parts, "at most "+c.MaxPricePerHour+" USD/h")
	}
	if c.MaxPriceFactor != "" {
		parts = append(parts, "at most "+c.MaxPriceFactor+" times the cheapest")
	}
	parts = append(parts, fmt.Sprintf("root volume %dGi", c.VolumeGiB))
	switch {
	case c.PublicIPv4 && c.PrivateIPOnly == nil:
		parts = append(parts, "public IPv4 address where the subnet gives one")
	case c.PublicIPv4:
		parts = append(parts, "public IPv4 address")
	}
	return fmt.Sprintf("%s %s: %s", q.Kind, name, strings.Join(parts, "; "))
}

// asked says which type or which resources.
func asked(c *Counted) string {
	amounts := amounts(c.Resources)
	switch {
	case c.ByDefault:
		return fmt.Sprintf("no resources, so the class's default type, %s", c.InstanceType)
	case c.InstanceType == "" && amounts == "":
		return "no resources, of any type"
	case c.InstanceType == "":
		return amounts
	case strings.Contains(c.InstanceType, "*") && amounts != "":
		return fmt.Sprintf("%s, of a type %s", amounts, c.InstanceType)
	case strings.Contains(c.InstanceType, "*"):
		return "a type " + c.InstanceType
	}
	return fmt.Sprintf("the type %s, whatever the resources", c.InstanceType)
}

func amounts(resources corev1.ResourceList) string {
	var out []string
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, v1beta1.ResourceGPU, v1beta1.ResourceNeuron} {
		if amount, ok := resources[name]; ok {
			out = append(out, fmt.Sprintf("%s %s", name, &amount))
		}
	}
	return strings.Join(out, ", ")
}

func terms(of []v1beta1.OfferingTerm) string {
	var alternatives []string
	for _, term := range of {
		var all []string
		for _, r := range term.Requirements {
			all = append(all, fmt.Sprintf("%s %s (%s)", r.Key, r.Operator, strings.Join(slices.Sorted(slices.Values(r.Values)), ", ")))
		}
		alternatives = append(alternatives, strings.Join(all, " and "))
	}
	return strings.Join(alternatives, ", or ")
}

// rest says what is not shown.
func (q *Quote) rest() string {
	if q.Problem != nil {
		return "Nothing would be launched: " + q.Problem.Message + "." + q.whyNot()
	}
	total := len(q.Offers) + q.Omitted
	shown := fmt.Sprintf("%d offerings will do, the first would be launched", total)
	if total == 1 {
		shown = "One offering will do"
	}
	if q.Omitted > 0 {
		shown += fmt.Sprintf("; %d more with --limit=0", q.Omitted)
	}
	return shown + "." + q.whyNot()
}

func (q *Quote) whyNot() string {
	switch {
	case q.RejectedTypes == 0:
		return ""
	case len(q.Rejected) > 0:
		return fmt.Sprintf(" %d types were turned down:", q.RejectedTypes)
	}
	return fmt.Sprintf(" %d types were turned down; --rejected says why.", q.RejectedTypes)
}
