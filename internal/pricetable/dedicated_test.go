package pricetable

import "context"

func (r *region) DedicatedPrices(context.Context) (map[string]float64, error) { return nil, nil }
