package garbage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/launchmark"
)

// The kinds of things that are collected, as metrics and events name them.
const (
	kindRoute     = "route"
	kindInstance  = "instance"
	kindParameter = "parameter"
)

// kinds are all, in the order in which they are ended: a route that leads to an
// ended instance is not known as its any more.
func kinds() []string {
	all := []string{kindRoute, kindInstance, kindParameter}
	for _, kind := range cloud.LeftoverKinds() {
		all = append(all, string(kind))
	}
	return all
}

// key names a thing.
type key struct{ kind, id string }

// String is as it stands in events.
func (k key) String() string { return k.kind + " " + k.id }

// orphan is a thing that no Cell owns.
type orphan struct {
	key
	// created is zero where the cloud does not say.
	created time.Time
	// class is the name of the class, where the tags tell.
	class string
	// why nobody owns it.
	why string
	// refuse is why it is not ended nevertheless.
	refuse string
	remove func(context.Context, Cloud) error
}

// noCells is why nothing is ended when all of it would be. What is read is then
// rather wrong than empty: the kind may just have been installed anew.
const noCells = "there is no Cell at all, so that the list of Cells may be wrong, and nothing is ended; " +
	"where it is right, end it yourself (kubectl kip uninstall --check lists all), or wait for the next Cell"

// orphans are those of what was found that the Cells do not own.
func (s *survey) orphans(cells cells) []orphan {
	lost := map[string]orphan{}
	var all []orphan
	for i := range s.instances {
		if o := s.instanceOrphan(&s.instances[i], cells); o != nil {
			lost[o.id] = *o
			all = append(all, *o)
		}
	}
	for _, route := range s.routes {
		if to, ok := lost[route.InstanceID]; ok {
			all = append(all, routeOrphan(route, to))
		}
	}
	for kind, found := range s.leftovers {
		for i := range found {
			if cells.byUID[found[i].Tags[v1beta1.TagCell]] == nil {
				all = append(all, leftoverOrphan(kind, &found[i]))
			}
		}
	}
	if len(cells.byUID) == 0 {
		for i := range all {
			all[i].refuse = noCells
		}
	}
	return append(all, s.parameterOrphans(cells)...)
}

// instanceOrphan is nil for an instance that a Cell has, or may come to have.
func (s *survey) instanceOrphan(instance *cloud.Instance, cells cells) *orphan {
	uid := instance.Tags[v1beta1.TagCell]
	cell, id := cells.byUID[uid], instance.ID
	if cells.instances[id] && (cell == nil || cell.Status.InstanceID != id) {
		return nil // another Cell's status names it, which that Cell's controller is to judge
	}
	if cell != nil && cell.Status.InstanceID == id {
		return nil
	}
	o := &orphan{
		key: key{kindInstance, id}, created: instance.LaunchTime, class: instance.Tags[v1beta1.TagClass],
		remove: func(ctx context.Context, c Cloud) error { return cloud.IgnoreNotFound(c.Terminate(ctx, id)) },
	}
	attempt, ours := launched(instance)
	switch {
	case !ours:
		o.why = fmt.Sprintf("its tags say that it is of the Cell with the UID %s", uid)
		o.refuse = "its client token shows that Kip has not launched it; take the tag " + v1beta1.TagCell + " off it, or end it yourself"
	case cell == nil:
		o.why = fmt.Sprintf("there is no Cell with the UID %s", uid)
	case cell.Status.InstanceID != "":
		o.why = fmt.Sprintf("Cell %s has another, %s", cell.Name, cell.Status.InstanceID)
		if !s.has(cell) {
			o.refuse = fmt.Sprintf("instance %s, which the status of Cell %s names, has ended or is not that Cell's: it goes with the Cell", cell.Status.InstanceID, cell.Name)
		}
	case givenUp(cell, attempt):
		o.why = fmt.Sprintf("Cell %s has given up attempt %d, which launched it", cell.Name, attempt)
	default:
		return nil
	}
	return o
}

// launched is the attempt that launched an instance of its Cell; false where
// its tags say so and Kip did not.
func launched(instance *cloud.Instance) (attempt int32, ours bool) {
	return launchmark.Attempt(cellUID(instance.Tags), instance.ClientToken, instance.Tags)
}

// has says whether the instance that the Cell's status names is its own, and
// has not begun to end.
func (s *survey) has(cell *v1beta1.Cell) bool {
	return slices.ContainsFunc(s.instances, func(i cloud.Instance) bool {
		_, ours := launched(&i)
		return ours && i.ID == cell.Status.InstanceID && cellUID(i.Tags) == cell.UID
	})
}

// givenUp says whether an attempt has ended. One of which nothing is known,
// because the status was lost, has not: its instance will be adopted.
func givenUp(cell *v1beta1.Cell, number int32) bool {
	attempts := cell.Status.Attempts
	if len(attempts) > 0 && number < attempts[0].Number {
		return true // only the last ones are kept
	}
	return slices.ContainsFunc(attempts, func(a v1beta1.LaunchAttempt) bool { return a.Number == number && a.EndTime != nil })
}

func routeOrphan(route cloud.Route, to orphan) orphan {
	return orphan{
		key: key{kindRoute, fmt.Sprintf("%s in %s to %s", route.CIDR, route.TableID, route.InstanceID)}, created: to.created, class: to.class,
		why: to.String() + ", to which it leads, has no Cell: " + to.why, refuse: to.refuse,
		remove: func(ctx context.Context, c Cloud) error {
			return cloud.IgnoreNotFound(c.DeleteRoute(ctx, route.TableID, route.CIDR, route.InstanceID))
		},
	}
}

func leftoverOrphan(kind cloud.LeftoverKind, found *cloud.Leftover) orphan {
	id := found.ID
	o := orphan{
		key: key{string(kind), id}, created: found.Created, class: found.Tags[v1beta1.TagClass],
		why:    fmt.Sprintf("there is no Cell with the UID %s", found.Tags[v1beta1.TagCell]),
		remove: func(ctx context.Context, c Cloud) error { return c.DeleteLeftover(ctx, kind, id) },
	}
	if kind == cloud.LeftoverVolume && !launchmark.MadeAtLaunch(found.Created, found.Tags) {
		o.refuse = "it was not made when its tags say that its cell was launched, so that somebody may have copied them to it; " +
			"take the tag " + v1beta1.TagCell + " off it, or delete it yourself"
	}
	return o
}

// parameterOrphans are the parameters of instances that no Cell has. That there
// is no Cell at all is no reason to doubt: a cell reads its parameters in its
// first minutes, and these are older.
func (s *survey) parameterOrphans(cells cells) []orphan {
	var all []orphan
	for instance, found := range s.parameters {
		if cells.instances[instance] {
			continue
		}
		o := orphan{key: key{kindParameter, cellsPath + instance}, why: "no Cell has instance " + instance}
		var names []string
		for _, parameter := range found {
			names = append(names, parameter.Name)
			if parameter.Modified.After(o.created) {
				o.created = parameter.Modified
			}
		}
		o.remove = func(ctx context.Context, c Cloud) error { return c.DeleteSecrets(ctx, names) }
		all = append(all, o)
	}
	return all
}
