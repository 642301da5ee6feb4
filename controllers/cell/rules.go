package cell

import (
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
)

// classRules keeps the rules of each class until the class or the catalogue changes.
type classRules struct {
	mu    sync.Mutex
	known map[types.UID]knownRules
}

type knownRules struct {
	index      *selection.Index
	generation int64
	// architecture, images and subnets are of the class's status.
	architecture string
	images       []v1beta1.ResolvedImage
	subnets      []v1beta1.ResolvedSubnet
	rules        *selection.Rules
}

func newClassRules() *classRules { return &classRules{known: map[types.UID]knownRules{}} }

func (r *classRules) of(index *selection.Index, class *v1beta1.CellClass) *selection.Rules {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.known[class.UID]
	if ok && known.index == index && known.generation == class.Generation && known.architecture == class.Status.Architecture &&
		equality.Semantic.DeepEqual(known.images, class.Status.Images) && equality.Semantic.DeepEqual(known.subnets, class.Status.Subnets) {
		return known.rules
	}
	known = knownRules{index, class.Generation, class.Status.Architecture, class.Status.Images, class.Status.Subnets,
		selection.NewRules(index, selection.ClassOf(class))}
	r.known[class.UID] = known
	return known.rules
}

func (r *classRules) forget(class types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, class)
}
