package catalogue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
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

// The most that an override may say: what is beyond is a slip of the pen.
const (
	maxPricePerHour = 100_000
	maxPercent      = 10_000
)

// ParseOverrides reads a YAML list of Override. An error names the entries, by
// their place from 1, the field and what is wrong with it; then nothing of the
// list counts.
func ParseOverrides(document []byte, asOf time.Time) (Overrides, error) {
	var entries []json.RawMessage
	if err := yaml.UnmarshalStrict(document, &entries); err != nil {
		return Overrides{}, fmt.Errorf("not a YAML list of price overrides: %w", err)
	}
	rules := make([]Override, len(entries))
	var problems []error
	for i, entry := range entries {
		if err := rules[i].read(entry); err != nil {
			problems = append(problems, fmt.Errorf("entry %d: %w", i+1, err))
		}
	}
	if len(problems) > 0 {
		return Overrides{}, errors.Join(problems...)
	}
	return Overrides{rules: rules, asOf: asOf}, nil
}

func (o *Override) read(entry json.RawMessage) error {
	decoder := json.NewDecoder(bytes.NewReader(entry))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(o)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		if wrong.Field == "" {
			return fmt.Errorf("must be a map with instanceType and a price, is a %s", wrong.Value)
		}
		return fmt.Errorf("%s: must be a %s, is a %s", wrong.Field, kindOf(wrong.Field), wrong.Value)
	}
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return o.check()
}

func kindOf(field string) string {
	if field == "pricePerHour" || field == "percent" {
		return "number"
	}
	return "string"
}

// same says whether two sets of overrides give the same prices.
func (o Overrides) same(other Overrides) bool {
	return slices.EqualFunc(o.rules, other.rules, func(a, b Override) bool { return reflect.DeepEqual(a, b) })
}

func (o *Override) check() error {
	switch {
	case o.InstanceType == "" || strings.Trim(o.InstanceType, "abcdefghijklmnopqrstuvwxyz0123456789.-*") != "":
		return fmt.Errorf("instanceType: %q is neither a type nor a pattern with *, such as m5.large or c5*", o.InstanceType)
	case o.LaunchType != "" && o.LaunchType != v1beta1.LaunchOnDemand && o.LaunchType != v1beta1.LaunchSpot:
		return fmt.Errorf("launchType: %q is neither %s nor %s", o.LaunchType, v1beta1.LaunchOnDemand, v1beta1.LaunchSpot)
	case (o.PricePerHour == nil) == (o.Percent == nil):
		return errors.New("one of pricePerHour and percent is required")
	case o.PricePerHour != nil && (*o.PricePerHour < 0 || *o.PricePerHour > maxPricePerHour):
		return fmt.Errorf("pricePerHour: %g is not between 0 and %d", *o.PricePerHour, maxPricePerHour)
	case o.Percent != nil && (*o.Percent <= -100 || *o.Percent > maxPercent):
		return fmt.Errorf("percent: %g is not above -100, which would make the price nothing, and at most %d", *o.Percent, maxPercent)
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
