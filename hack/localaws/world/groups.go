package world

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/catalog"
)

// groupsFile holds the security groups, once a call has changed any.
const groupsFile = "groups.json"

// defaultGroup is the name of the group that nobody can delete or make.
const defaultGroup = "default"

// EC2's default quotas.
const (
	groupsPerRegion = 2500
	rulesPerGroup   = 60 // in each direction
)

// Group is a security group.
type Group struct {
	catalog.SecurityGroup
	Rules []Rule
}

// Rule lets traffic in or out: from or to exactly one of CIDR and PeerID.
type Rule struct {
	ID     string
	Egress bool
	// Protocol is tcp, udp, icmp, icmpv6, a number, or -1 for all.
	Protocol string
	// From and To are ports, or ICMP's type and code; -1 for all of them.
	From, To int
	// CIDR is a range of either family, PeerID another group.
	CIDR, PeerID string
	Description  string
}

// same says whether both let the same traffic through.
func (r Rule) same(other Rule) bool {
	r.ID, r.Description = other.ID, other.Description
	return r == other
}

// String is the rule in the words of EC2's errors.
func (r Rule) String() string {
	protocol := strings.ToUpper(r.Protocol)
	if r.Protocol == "-1" {
		return "peer: " + r.CIDR + r.PeerID + ", ALL, ALLOW"
	}
	return "peer: " + r.CIDR + r.PeerID + ", " + protocol + ", from port: " + itoa(r.From) + ", to port: " + itoa(r.To) + ", ALLOW"
}

// seedGroups are the groups before any call: members talk to each other, and
// to everybody outside.
func seedGroups(c *catalog.Catalog) map[string]Group {
	out := map[string]Group{}
	for _, g := range c.Groups {
		// The IDs of rules follow from the group's, so that they are the same at
		// each start.
		suffix := strings.TrimPrefix(g.ID, "sg-")[1:]
		out[g.ID] = Group{SecurityGroup: g, Rules: []Rule{
			{ID: "sgr-1" + suffix, Protocol: "-1", From: -1, To: -1, PeerID: g.ID},
			{ID: "sgr-2" + suffix, Egress: true, Protocol: "-1", From: -1, To: -1, CIDR: "0.0.0.0/0"},
		}}
	}
	return out
}

// Groups are all security groups, in the order of their IDs.
func (w *World) Groups() []Group {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return slices.SortedFunc(maps.Values(w.groups), func(a, b Group) int { return strings.Compare(a.ID, b.ID) })
}

// Group finds a security group.
func (w *World) Group(id string) (Group, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	g, ok := w.groups[id]
	return g, ok
}

// groupByName finds a group of the VPC. The caller holds w.mu.
func (w *World) groupByName(name string) (Group, bool) {
	for _, g := range w.groups {
		if g.Name == name {
			return g, true
		}
	}
	return Group{}, false
}

// findGroup finds a group by ID or, where that is empty, by name. The caller
// holds w.mu.
func (w *World) findGroup(id, name string) (Group, error) {
	switch {
	case id == "" && name == "":
		return Group{}, awserr.New("MissingParameter", "The request must contain the parameter groupName or groupId")
	case id == "":
		if g, ok := w.groupByName(name); ok {
			return g, nil
		}
		return Group{}, awserr.New("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", name, w.Catalog.VPC.ID)
	case !strings.HasPrefix(id, "sg-"):
		return Group{}, awserr.New("InvalidGroupId.Malformed", "Invalid id: %q (expecting \"sg-...\")", id)
	}
	g, ok := w.groups[id]
	if !ok {
		return Group{}, awserr.New("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
	}
	return g, nil
}

// groupName is what the names of groups are made of in a VPC.
var groupName = regexp.MustCompile(`^[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}$`)

// CreateGroup makes a security group in the VPC, which lets everything out and
// nothing in.
func (w *World) CreateGroup(name, description, vpc string, tags map[string]string) (Group, error) {
	for parameter, value := range map[string]string{"groupName": name, "groupDescription": description} {
		if !groupName.MatchString(value) {
			return Group{}, awserr.New("InvalidParameterValue", "Value (%s) for parameter %s is invalid. Character sets beyond ASCII are not supported, or it is too long.", value, parameter)
		}
	}
	switch {
	case strings.HasPrefix(strings.ToLower(name), "sg-"):
		return Group{}, awserr.New("InvalidParameterValue", "Value (%s) for parameter GroupName is invalid. Group names may not be in the format sg-*.", name)
	case name == defaultGroup:
		return Group{}, awserr.New("InvalidParameterValue", "Cannot use reserved security group name: default")
	case vpc != "" && vpc != w.Catalog.VPC.ID:
		return Group{}, NotFound("InvalidVpcID", "vpc", []string{vpc})
	}
	g := Group{
		SecurityGroup: catalog.SecurityGroup{ID: newID("sg"), Name: name, Description: description, VPC: w.Catalog.VPC.ID},
		Rules:         []Rule{{ID: newID("sgr"), Egress: true, Protocol: "-1", From: -1, To: -1, CIDR: "0.0.0.0/0"}},
	}
	w.mu.Lock()
	_, taken := w.groupByName(name)
	full := len(w.groups) >= groupsPerRegion
	if !taken && !full {
		w.groups[g.ID] = g
		w.tags[g.ID] = with(tags, nil)
	}
	w.mu.Unlock()
	switch {
	case taken:
		return Group{}, awserr.New("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, w.Catalog.VPC.ID)
	case full:
		return Group{}, awserr.New("SecurityGroupLimitExceeded", "The maximum number of security groups for VPC '%s' has been reached.", w.Catalog.VPC.ID)
	}
	return g, w.saveGroups()
}

// DeleteGroup ends a group that nothing uses: no instance, and no rule of
// another group.
func (w *World) DeleteGroup(id, name string) (Group, error) {
	w.mu.Lock()
	g, err := w.findGroup(id, name)
	if err == nil {
		err = w.deletable(g)
	}
	if err == nil {
		delete(w.groups, g.ID)
		delete(w.tags, g.ID)
		for _, r := range g.Rules {
			delete(w.tags, r.ID)
		}
	}
	w.mu.Unlock()
	if err != nil {
		return Group{}, err
	}
	return g, w.saveGroups()
}

func (w *World) deletable(g Group) error {
	if g.Name == defaultGroup {
		return awserr.New("CannotDelete", `the specified group: "%s" name: "default" cannot be deleted by a user`, g.ID)
	}
	used := false
	for _, s := range w.slots {
		used = used || s.instance.State != Terminated && slices.Contains(s.instance.Groups, g.ID)
	}
	for _, other := range w.groups {
		used = used || other.ID != g.ID && slices.ContainsFunc(other.Rules, func(r Rule) bool { return r.PeerID == g.ID })
	}
	if used {
		return awserr.New("DependencyViolation", "resource %s has a dependent object", g.ID)
	}
	return nil
}

// saveGroups writes the groups, and the tags, which may be theirs.
func (w *World) saveGroups() error {
	w.filesSave.Lock()
	w.mu.RLock()
	groups := maps.Clone(w.groups)
	w.mu.RUnlock()
	err := writeJSON(filepath.Join(w.Dir, groupsFile), groups)
	w.filesSave.Unlock()
	if err != nil {
		return err
	}
	return w.saveTags()
}
