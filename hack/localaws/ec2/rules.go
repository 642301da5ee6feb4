package ec2

import (
	"context"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/world"
)

type ruleXML struct {
	ID          string    `xml:"securityGroupRuleId"`
	ARN         string    `xml:"securityGroupRuleArn"`
	GroupID     string    `xml:"groupId"`
	OwnerID     string    `xml:"groupOwnerId"`
	Egress      bool      `xml:"isEgress"`
	Protocol    string    `xml:"ipProtocol"`
	From        int       `xml:"fromPort"`
	To          int       `xml:"toPort"`
	IPv4        string    `xml:"cidrIpv4,omitempty"`
	IPv6        string    `xml:"cidrIpv6,omitempty"`
	Peer        *groupRef `xml:"referencedGroupInfo"`
	Description string    `xml:"description,omitempty"`
	Tags        []tagXML  `xml:"tagSet>item"`
}

type groupRef struct {
	ID     string `xml:"groupId"`
	UserID string `xml:"userId"`
	VPCID  string `xml:"vpcId"`
}

func (s *Server) rule(groupID string, r world.Rule) ruleXML {
	x := ruleXML{
		ID: r.ID, ARN: s.arn("security-group-rule/" + r.ID), GroupID: groupID, OwnerID: s.World.Catalog.Account, Egress: r.Egress,
		Protocol: r.Protocol, From: r.From, To: r.To, Description: r.Description, Tags: tagSet(s.World.TagsOf(r.ID)),
	}
	if r.PeerID != "" {
		x.Peer = &groupRef{r.PeerID, s.World.Catalog.Account, s.World.Catalog.VPC.ID}
	}
	x.IPv4, x.IPv6 = families(r.CIDR)
	return x
}

func families(cidr string) (v4, v6 string) {
	if strings.Contains(cidr, ":") {
		return "", cidr
	}
	return cidr, ""
}

type authorizeResponse struct {
	header
	Return bool      `xml:"return"`
	Rules  []ruleXML `xml:"securityGroupRuleSet>item"`
}

// authorize is the action that adds rules in one direction.
func (s *Server) authorize(egress bool) Handler {
	return func(_ context.Context, c *Call) (response, error) {
		id, name := c.Params.String("GroupId"), groupNameParam(c, egress)
		rules, err := readRules(c.Params, egress)
		if err != nil {
			return nil, err
		}
		var tags map[string]string
		if err := tagSpecifications(c.Params, map[string]*map[string]string{"security-group-rule": &tags}); err != nil {
			return nil, err
		}
		if err := c.finish(); err != nil {
			return nil, err
		}
		if len(rules) == 0 {
			return nil, awserr.New("MissingParameter", "The request must contain the parameter ipPermissions")
		}
		added, g, err := s.World.Authorize(id, name, rules, tags)
		if err != nil {
			return nil, err
		}
		out := &authorizeResponse{Return: true}
		for _, r := range added {
			out.Rules = append(out.Rules, s.rule(g.ID, r))
		}
		return out, nil
	}
}

// groupNameParam: what goes out is ruled by the group's ID alone.
func groupNameParam(c *Call, egress bool) string {
	if egress {
		return ""
	}
	return c.Params.String("GroupName")
}

type revokeResponse struct {
	header
	Return  bool            `xml:"return"`
	Revoked []revokedXML    `xml:"revokedSecurityGroupRuleSet>item"`
	Unknown []permissionXML `xml:"unknownIpPermissionSet>item"`
}

type revokedXML struct {
	ID          string `xml:"securityGroupRuleId"`
	GroupID     string `xml:"groupId"`
	Egress      bool   `xml:"isEgress"`
	Protocol    string `xml:"ipProtocol"`
	From        int    `xml:"fromPort"`
	To          int    `xml:"toPort"`
	IPv4        string `xml:"cidrIpv4,omitempty"`
	IPv6        string `xml:"cidrIpv6,omitempty"`
	PeerID      string `xml:"referencedGroupId,omitempty"`
	Description string `xml:"description,omitempty"`
}

// revoke is the action that takes rules of one direction away.
func (s *Server) revoke(egress bool) Handler {
	return func(_ context.Context, c *Call) (response, error) {
		id, name := c.Params.String("GroupId"), groupNameParam(c, egress)
		ids := c.Params.Strings("SecurityGroupRuleId")
		rules, err := readRules(c.Params, egress)
		if err != nil {
			return nil, err
		}
		if err := c.finish(); err != nil {
			return nil, err
		}
		if len(rules)+len(ids) == 0 {
			return nil, awserr.New("MissingParameter", "The request must contain the parameter ipPermissions or securityGroupRuleIds")
		}
		done, err := s.World.Revoke(id, name, egress, rules, ids)
		if err != nil {
			return nil, err
		}
		out := &revokeResponse{Return: true, Unknown: s.permissions(done.Unknown, egress)}
		for _, r := range done.Rules {
			x := revokedXML{
				ID: r.ID, GroupID: done.GroupID, Egress: r.Egress, Protocol: r.Protocol, From: r.From, To: r.To, PeerID: r.PeerID, Description: r.Description,
			}
			x.IPv4, x.IPv6 = families(r.CIDR)
			out.Revoked = append(out.Revoked, x)
		}
		return out, nil
	}
}

type describeRulesResponse struct {
	header
	Rules     []ruleXML `xml:"securityGroupRuleSet>item"`
	NextToken string    `xml:"nextToken,omitempty"`
}

// ruleOf is a rule together with its group.
type ruleOf struct {
	world.Rule
	groupID string
}

func (s *Server) describeSecurityGroupRules(_ context.Context, c *Call) (response, error) {
	var all []ruleOf
	for _, g := range s.World.Groups() {
		for _, r := range g.Rules {
			all = append(all, ruleOf{r, g.ID})
		}
	}
	found, next, err := list(c, all, listing[ruleOf]{
		ids: "SecurityGroupRuleId", least: 5, idsOrMax: true,
		id:   func(r ruleOf) string { return r.ID },
		tags: func(r ruleOf) map[string]string { return s.World.TagsOf(r.ID) },
		missing: func(ids []string) error {
			return awserr.New("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", ids[0])
		},
		fields: fields[ruleOf]{
			"group-id":               one(func(r ruleOf) string { return r.groupID }),
			"security-group-rule-id": one(func(r ruleOf) string { return r.ID }),
		},
	})
	if err != nil {
		return nil, err
	}
	out := &describeRulesResponse{NextToken: next}
	for _, r := range found {
		out.Rules = append(out.Rules, s.rule(r.groupID, r.Rule))
	}
	return out, nil
}
