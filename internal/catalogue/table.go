package catalogue

import (
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"kip.elotl.co/internal/selection"
)

// tableText is made by hack/catalogue: a line "region date", then lines
// "type price", the price in USD per hour for Linux On-demand.
//
//go:embed prices.txt
var tableText string

// table is a price list of one region.
type table struct {
	region  string
	date    time.Time
	perHour map[string]float64
}

// parseTable reads a table. An error names the line.
func parseTable(text string) (*table, error) {
	t := &table{perHour: map[string]float64{}}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		name, value, _ := strings.Cut(line, " ")
		var err error
		if i == 0 {
			t.region = name
			t.date, err = time.Parse(time.DateOnly, value)
		} else {
			err = t.add(name, value)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d of the price table: %w", i+1, err)
		}
	}
	return t, nil
}

func (t *table) add(name, value string) error {
	perHour, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return err
	}
	if !(perHour > 0 && perHour <= math.MaxFloat32) || name == "" {
		return fmt.Errorf("%q is not a type and its price", name+" "+value)
	}
	if _, twice := t.perHour[name]; twice {
		return fmt.Errorf("%s is there twice", name)
	}
	t.perHour[name] = perHour
	return nil
}

// price is the table's. For another region than the table's it is scaled, and
// an estimate; without a source where the table has none.
func (t *table) price(region, instanceType string) selection.Price {
	perHour, ok := t.perHour[instanceType]
	if !ok {
		return selection.Price{}
	}
	out := selection.Price{PerHour: perHour, Source: selection.SourceTable, AsOf: t.date}
	if region != t.region {
		out.PerHour *= regionFactor(region) / regionFactor(t.region)
		out.Source = selection.SourceEstimate
	}
	return out
}
