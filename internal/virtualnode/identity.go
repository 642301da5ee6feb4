package virtualnode

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
)

// Identity is what a node stands for.
type Identity struct {
	// Class is the name of a CellClass.
	Class string
	// Zone is the one zone of the node's cells; empty where the node stands for
	// all zones of its class.
	Zone string
}

const providerScheme = "kip://"

// Name is the name of the node. Two identities can have the same one: the node
// of class a in zone b, and that of class a-b.
func (i Identity) Name() string {
	if i.Zone == "" {
		return v1beta1.NodeName(i.Class)
	}
	return v1beta1.NodeName(i.Class) + "-" + i.Zone
}

// ProviderID is the provider ID of the node, by which it is known as ours: it
// cannot be changed.
func (i Identity) ProviderID() string {
	if i.Zone == "" {
		return providerScheme + i.Class
	}
	return providerScheme + i.Class + "/" + i.Zone
}

// Identities are those of the nodes that a class is to have: with nodePerZone
// none before its zones are known.
func Identities(class *v1beta1.CellClass) []Identity {
	if !class.Spec.NodePerZone {
		return []Identity{{Class: class.Name}}
	}
	var ids []Identity
	for _, zone := range Zones(class) {
		ids = append(ids, Identity{Class: class.Name, Zone: zone})
	}
	return ids
}

// IdentityOf is what a node stands for; false for a node that is not Kip's. It
// goes by what nobody can change, so it is right also while somebody has edited
// the node's labels.
func IdentityOf(node *corev1.Node) (Identity, bool) {
	rest, ours := strings.CutPrefix(node.Spec.ProviderID, providerScheme)
	class, zone, zoned := strings.Cut(rest, "/")
	id := Identity{Class: class, Zone: zone}
	if !ours || class == "" || zoned && zone == "" || node.Name != id.Name() {
		return Identity{}, false
	}
	return id, true
}
