package selection

import (
	"cmp"
	"slices"
	"strings"
)

// Index is a catalogue made ready for selection. It does not change, so many
// may use it at once.
type Index struct {
	types []Type // by name
	zones []string
	// listings of each market, the cheapest first; those without a price last.
	listings [markets][]listing
	// byType are the same in the same order, by the place of their type.
	byType [markets][][]listing
}

// listing is a Listing with places in the index instead of names.
type listing struct {
	kind   int32 // in Index.types
	zone   int32 // in Index.zones
	market Market
	price  Price
}

// priced says whether anybody knows the price.
func (l *listing) priced() bool { return l.price.Source != "" }

// NewIndex makes an Index. Listings of types that are not among types are left
// out. Of two types of the same name, or two listings of the same offering, the
// first counts.
func NewIndex(types []Type, listings []Listing) *Index {
	byName := func(a, b Type) int { return strings.Compare(a.Name, b.Name) }
	x := &Index{types: slices.Clone(types)}
	slices.SortStableFunc(x.types, byName)
	x.types = slices.CompactFunc(x.types, func(a, b Type) bool { return a.Name == b.Name })
	for _, l := range listings {
		if at, found := x.findZone(l.Zone); !found {
			x.zones = slices.Insert(x.zones, at, l.Zone)
		}
	}
	for _, l := range listings {
		kind, found := x.find(l.Type)
		if !found {
			continue
		}
		zone, _ := x.findZone(l.Zone)
		x.listings[l.Market] = append(x.listings[l.Market],
			listing{kind: int32(kind), zone: int32(zone), market: l.Market, price: l.Price})
	}
	for market := range x.listings {
		x.listings[market] = sortedListings(x.listings[market])
		x.byType[market] = make([][]listing, len(x.types))
		for _, l := range x.listings[market] {
			x.byType[market][l.kind] = append(x.byType[market][l.kind], l)
		}
	}
	return x
}

// sortedListings orders by price, type and zone and drops doubles.
func sortedListings(listings []listing) []listing {
	type place struct{ kind, zone int32 }
	seen := make(map[place]bool, len(listings))
	kept := listings[:0]
	for _, l := range listings {
		if p := (place{l.kind, l.zone}); !seen[p] {
			seen[p] = true
			kept = append(kept, l)
		}
	}
	slices.SortFunc(kept, func(a, b listing) int {
		return cmp.Or(
			falseFirst(!a.priced(), !b.priced()),
			cmp.Compare(a.price.PerHour, b.price.PerHour),
			cmp.Compare(a.kind, b.kind),
			cmp.Compare(a.zone, b.zone),
		)
	})
	return slices.Clip(kept)
}

// falseFirst orders truth values.
func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func (x *Index) find(name string) (place int, found bool) {
	return slices.BinarySearchFunc(x.types, name, func(t Type, name string) int { return strings.Compare(t.Name, name) })
}

func (x *Index) findZone(name string) (place int, found bool) {
	return slices.BinarySearch(x.zones, name)
}

// Type gives a type by its name.
func (x *Index) Type(name string) (Type, bool) {
	place, found := x.find(name)
	if !found {
		return Type{}, false
	}
	return x.types[place], true
}

// Types are all types, by name. They must not be changed.
func (x *Index) Types() []Type { return x.types }

// Zones are all zones with a listing, by name. They must not be changed.
func (x *Index) Zones() []string { return x.zones }
