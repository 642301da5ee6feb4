package world

import (
	"slices"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
)

// MaxTags is how many tags a resource can have.
const MaxTags = 50

// SetTags puts tags on resources of any kind, or on none when one of them is
// unknown or would have too many.
func (w *World) SetTags(ids []string, tags map[string]string) error {
	return w.editTags(ids, func(have map[string]string) map[string]string { return with(have, tags) })
}

// DeleteTags takes tags off, all when none is named: a nil value takes the key
// whatever its value is, any other only that value. Tags that are not there are
// no error.
func (w *World) DeleteTags(ids []string, tags map[string]*string) error {
	edit := func(have map[string]string) map[string]string { return without(have, tags) }
	if len(tags) == 0 {
		edit = func(map[string]string) map[string]string { return map[string]string{} }
	}
	return w.editTags(ids, edit)
}

// TagsOf are the tags of a resource that belongs to no instance: a subnet, an
// image, a volume that has outlived its instance and so on.
func (w *World) TagsOf(id string) map[string]string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.tagsOfLocked(id)
}

func (w *World) tagsOfLocked(id string) map[string]string {
	if tags, ok := w.tags[id]; ok {
		return tags
	}
	image, _ := w.Catalog.Image(id)
	return image.Tags
}

// editTags makes the tags of each resource what edit makes of them.
func (w *World) editTags(ids []string, edit func(map[string]string) map[string]string) error {
	w.mu.Lock()
	var edits []tagEdit
	for _, id := range ids {
		e, err := w.tagEdit(id, edit)
		if err != nil {
			w.mu.Unlock()
			return err
		}
		edits = append(edits, e)
	}
	var reservations []*reservation
	for _, e := range edits {
		if r := e.apply(w); r != nil {
			reservations = append(reservations, r)
		}
	}
	w.mu.Unlock()
	for _, r := range reservations {
		w.saveLogged(r)
	}
	if len(reservations) < len(edits) {
		return w.saveTags()
	}
	return nil
}

// tagEdit is one resource's change of tags, checked but not yet made. slot is
// nil for what is not made by a launch; otherwise write stores the tags.
type tagEdit struct {
	id    string
	slot  *slot
	write func(*Instance, map[string]string)
	read  func(*Instance) map[string]string
	edit  func(map[string]string) map[string]string
}

func (w *World) tagEdit(id string, edit func(map[string]string) map[string]string) (tagEdit, error) {
	e := tagEdit{id: id, edit: edit}
	if !w.findTagged(&e) {
		return e, unknownResource(id)
	}
	have := w.tagsOfLocked(id)
	if e.slot != nil {
		have = e.read(e.slot.instance)
	}
	if len(edit(have)) > MaxTags {
		return e, awserr.New("TagLimitExceeded", "You have reached the maximum of %d tags on resource '%s'", MaxTags, id)
	}
	return e, nil
}

// findTagged finds where the tags of e.id are kept. The caller holds w.mu.
func (w *World) findTagged(e *tagEdit) bool {
	kind, _, _ := strings.Cut(e.id, "-")
	switch kind {
	case "i":
		s := w.slots[e.id]
		if s == nil || !w.visible(s.instance, w.Clock.Now()) {
			return false
		}
		e.slot = s
		e.read = func(i *Instance) map[string]string { return i.Tags }
		e.write = func(i *Instance, t map[string]string) { i.Tags = t }
		return true
	case "eni":
		e.read = func(i *Instance) map[string]string { return i.InterfaceTags }
		e.write = func(i *Instance, t map[string]string) { i.InterfaceTags = t }
		return w.isLeft(e.id) || w.findBelow(e, func(i *Instance) bool { return i.InterfaceID == e.id })
	case "vol":
		at := -1
		e.read = func(i *Instance) map[string]string { return i.Volumes[at].Tags }
		e.write = func(i *Instance, t map[string]string) {
			i.Volumes = append([]Volume(nil), i.Volumes...)
			i.Volumes[at].Tags = t
		}
		return w.isLeft(e.id) || w.findBelow(e, func(i *Instance) bool {
			for n, v := range i.Volumes {
				if v.ID == e.id {
					at = n
					return true
				}
			}
			return false
		})
	}
	return w.inCatalog(e.id)
}

func (w *World) findBelow(e *tagEdit, match func(*Instance) bool) bool {
	now := w.Clock.Now()
	for _, s := range w.slots {
		// Interfaces and volumes go with their instance, or are left.
		if s.instance.State != Terminated && w.visible(s.instance, now) && match(s.instance) {
			e.slot = s
			return true
		}
	}
	return false
}

func (w *World) inCatalog(id string) bool {
	if id == w.Catalog.VPC.ID {
		return true
	}
	_, image := w.Catalog.Image(id)
	_, subnet := w.Catalog.Subnet(id)
	_, group := w.groups[id]
	_, table := w.Catalog.RouteTable(id)
	return image || subnet || group || table || w.isRule(id)
}

// isRule says whether a security group has a rule of that ID.
func (w *World) isRule(id string) bool {
	for _, g := range w.groups {
		if slices.ContainsFunc(g.Rules, func(r Rule) bool { return r.ID == id }) {
			return true
		}
	}
	return false
}

// apply makes the change; the result is what has to be saved for it, nil for
// the file of tags. The caller holds w.mu.
func (e tagEdit) apply(w *World) *reservation {
	if e.slot == nil {
		w.tags[e.id] = e.edit(w.tagsOfLocked(e.id))
		return nil
	}
	next := e.slot.instance.clone()
	e.write(next, e.edit(e.read(next)))
	e.slot.instance = next
	return w.reservations[next.ReservationID]
}

// unknownResource is the error for an id of the kind its prefix says.
func unknownResource(id string) error {
	kind, _, _ := strings.Cut(id, "-")
	for _, k := range []struct{ prefix, code, noun string }{
		{"i", "InvalidInstanceID", "instance"}, {"ami", "InvalidAMIID", "image"}, {"subnet", "InvalidSubnetID", "subnet"},
		{"vpc", "InvalidVpcID", "vpc"}, {"sg", "InvalidGroup", "security group"}, {"sgr", "InvalidSecurityGroupRuleId", "security group rule"}, {"vol", "InvalidVolume", "volume"},
		{"eni", "InvalidNetworkInterfaceID", "networkInterface"}, {"rtb", "InvalidRouteTableID", "routeTable"},
	} {
		if k.prefix == kind {
			return NotFound(k.code, k.noun, []string{id})
		}
	}
	return awserr.New("InvalidID", "The ID '%s' is not valid", id)
}

// NotFound is the error that ids of some kind do not exist, in EC2's words.
func NotFound(code, noun string, ids []string) error {
	if len(ids) == 1 {
		return awserr.New(code+".NotFound", "The %s ID '%s' does not exist", noun, ids[0])
	}
	return awserr.New(code+".NotFound", "The %s IDs '%s' do not exist", noun, strings.Join(ids, ", "))
}
