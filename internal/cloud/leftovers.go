package cloud

import (
	"context"
	"net/netip"
	"time"
)

// Leftovers finds and ends what may be left of instances.
type Leftovers interface {
	// Leftovers lists what carries all of the tags: volumes and network
	// interfaces that are attached to nothing, all security groups. KindInvalid
	// without tags.
	Leftovers(ctx context.Context, kind LeftoverKind, tags map[string]string) ([]Leftover, error)
	// DeleteLeftover ends one: nil when there is none of that ID, an error when it
	// is in use.
	DeleteLeftover(ctx context.Context, kind LeftoverKind, id string) error
	// RoutesTo lists the routes that lead to the instances, in all tables. Those
	// to instances that have ended are not known as such.
	RoutesTo(ctx context.Context, instanceIDs []string) ([]Route, error)
	// DeleteRoute is that of Routes.
	DeleteRoute(ctx context.Context, tableID string, cidr netip.Prefix, instanceID string) error
}

// LeftoverKind is a kind of thing that can outlive its instance.
type LeftoverKind string

// The kinds.
const (
	LeftoverVolume    LeftoverKind = "volume"
	LeftoverInterface LeftoverKind = "interface"
	LeftoverGroup     LeftoverKind = "security-group"
)

// LeftoverKinds are all, in an order in which they can be deleted: a group is in
// use as long as an interface has it.
func LeftoverKinds() []LeftoverKind {
	return []LeftoverKind{LeftoverVolume, LeftoverInterface, LeftoverGroup}
}

// Leftover is one such thing.
type Leftover struct {
	ID string
	// Created is zero where the cloud does not tell: of volumes alone it does.
	Created time.Time
	Tags    map[string]string
}

// Route is an entry of a route table that leads to an instance.
type Route struct {
	TableID    string
	CIDR       netip.Prefix
	InstanceID string
}
