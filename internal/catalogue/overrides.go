package catalogue

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
)

// Overrides are prices of the user's own, such as a discount that was agreed on
// with AWS. The last one that matches counts.
type Overrides struct {
	rules []Override
	asOf  time.Time
}

// Override changes the prices of the types that match a pattern.
type Override struct {
	// InstanceType is a type, or a pattern in which * stands for any characters.
	InstanceType string `json:"instanceType"`
	// LaunchType is On-demand or Spot; both when empty.
	LaunchType v1beta1.LaunchType `json:"launchType,omitempty"`
	// PricePerHour in USD replaces the price; Percent changes it, -20 to four
	// fifths. One of them is set.
	PricePerHour *float64 `json:"pricePerHour,omitempty"`
	Percent      *float64 `json:"percent,omitempty"`
}

// ParseOverrides reads a YAML list of Override. An error names the entry and
// what is wrong with it; then nothing of the list counts.
func ParseOverrides(document []byte, asOf time.Time) (Overrides, error) {
	var rules []Override
	if err := yaml.UnmarshalStrict(document, &rules); err != nil {
		return Overrides{}, fmt.Errorf("not a list of price overrides: %w", err)
	}
	var problems []error
	for i, rule := range rules {
		if err := rule.check(); err != nil {
			problems = append(problems, fmt.Errorf("entry %d: %w", i+1, err))
		}
	}
	if len(problems) > 0 {
		return Overrides{}, errors.Join(problems...)
	}
	return Overrides{rules: rules, asOf: asOf}, nil
}

func (o Override) check() error {
	switch {
	case o.InstanceType == "" || strings.ContainsAny(o.InstanceType, "?[]\\ "):
		return fmt.Errorf("instanceType: %q is neither a type nor a pattern with *, such as m5.large or c5*", o.InstanceType)
	case o.LaunchType != "" && o.LaunchType != v1beta1.LaunchOnDemand && o.LaunchType != v1beta1.LaunchSpot:
		return fmt.Errorf("launchType: %q is neither %s nor %s", o.LaunchType, v1beta1.LaunchOnDemand, v1beta1.LaunchSpot)
	case (o.PricePerHour == nil) == (o.Percent == nil):
		return errors.New("one of pricePerHour and percent is required")
	case o.PricePerHour != nil && *o.PricePerHour < 0:
		return fmt.Errorf("pricePerHour: %g is negative", *o.PricePerHour)
	case o.Percent != nil && *o.Percent <= -100:
		return fmt.Errorf("percent: %g would make the price zero or less; it must be above -100", *o.Percent)
	}
	return nil
}

// apply gives the price that counts for an offering.
func (o Overrides) apply(instanceType string, market selection.Market, price selection.Price) selection.Price {
	for i := len(o.rules) - 1; i >= 0; i-- {
		rule := &o.rules[i]
		if rule.LaunchType != "" && rule.LaunchType != market.LaunchType() {
			continue
		}
		if matched, _ := path.Match(rule.InstanceType, instanceType); !matched {
			continue
		}
		return rule.price(price, o.asOf)
	}
	return price
}

// price leaves a price that is not known unknown where there is only a
// percentage of it.
func (o *Override) price(from selection.Price, asOf time.Time) selection.Price {
	switch {
	case o.PricePerHour != nil:
		return selection.Price{PerHour: *o.PricePerHour, Source: selection.SourceOverride, AsOf: asOf}
	case from.Source == "":
		return from
	}
	return selection.Price{PerHour: from.PerHour * (1 + *o.Percent/100), Source: selection.SourceOverride, AsOf: asOf}
}
