package world

import (
	"slices"
	"strconv"

	"kip.elotl.co/hack/localaws/awserr"
)

// Authorize adds rules to a group: all, or none when one of them is there
// already. Each gets an ID, and the tags.
func (w *World) Authorize(id, name string, rules []Rule, tags map[string]string) ([]Rule, Group, error) {
	w.mu.Lock()
	added, g, err := w.addRules(id, name, rules)
	if err == nil {
		w.groups[g.ID] = g
		for _, r := range added {
			w.tags[r.ID] = with(tags, nil)
		}
	}
	w.mu.Unlock()
	if err != nil {
		return nil, Group{}, err
	}
	return added, g, w.saveGroups()
}

func (w *World) addRules(id, name string, rules []Rule) ([]Rule, Group, error) {
	g, err := w.findGroup(id, name)
	if err != nil {
		return nil, g, err
	}
	g.Rules = slices.Clone(g.Rules)
	var added []Rule
	for _, r := range rules {
		if r, err = w.resolvePeer(r); err != nil {
			return nil, g, err
		}
		if slices.ContainsFunc(g.Rules, r.same) {
			return nil, g, awserr.New("InvalidPermission.Duplicate", `the specified rule "%s" already exists`, r)
		}
		r.ID = newID("sgr")
		g.Rules, added = append(g.Rules, r), append(added, r)
	}
	for _, egress := range []bool{true, false} {
		if n := len(slices.DeleteFunc(slices.Clone(g.Rules), func(r Rule) bool { return r.Egress != egress })); n > rulesPerGroup {
			return nil, g, awserr.New("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
		}
	}
	return added, g, nil
}

// resolvePeer finds the group that a rule names.
func (w *World) resolvePeer(r Rule) (Rule, error) {
	if r.PeerID == "" {
		return r, nil
	}
	_, err := w.findGroup(r.PeerID, "")
	return r, err
}

// Revoked is what taking rules away led to.
type Revoked struct {
	GroupID string
	Rules   []Rule
	// Unknown are those that were to go and that the group does not have.
	Unknown []Rule
}

// Revoke takes rules away: those that are like one of rules, or have one of
// the IDs. A rule that is like none is answered as unknown, as in a default
// VPC; an ID of none is an error, and nothing is taken away.
func (w *World) Revoke(id, name string, egress bool, rules []Rule, ruleIDs []string) (Revoked, error) {
	w.mu.Lock()
	var out Revoked
	g, err := w.findGroup(id, name)
	if err == nil {
		out, err = match(g, egress, rules, ruleIDs)
	}
	if err == nil {
		g.Rules = slices.DeleteFunc(slices.Clone(g.Rules), func(r Rule) bool { return slices.Contains(out.Rules, r) })
		w.groups[g.ID] = g
		for _, r := range out.Rules {
			delete(w.tags, r.ID)
		}
	}
	w.mu.Unlock()
	if err != nil {
		return Revoked{}, err
	}
	return out, w.saveGroups()
}

func match(g Group, egress bool, rules []Rule, ids []string) (Revoked, error) {
	out := Revoked{GroupID: g.ID}
	for _, r := range rules {
		if i := slices.IndexFunc(g.Rules, r.same); i >= 0 {
			out.Rules = append(out.Rules, g.Rules[i])
		} else {
			out.Unknown = append(out.Unknown, r)
		}
	}
	for _, id := range ids {
		i := slices.IndexFunc(g.Rules, func(r Rule) bool { return r.ID == id && r.Egress == egress })
		if i < 0 {
			return out, awserr.New("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", id)
		}
		out.Rules = append(out.Rules, g.Rules[i])
	}
	return out, nil
}

func itoa(i int) string { return strconv.Itoa(i) }
