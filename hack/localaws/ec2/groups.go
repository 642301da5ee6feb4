package ec2

import (
	"context"
	"slices"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/world"
)

type describeGroupsResponse struct {
	header
	Groups    []securityGroupXML `xml:"securityGroupInfo>item"`
	NextToken string             `xml:"nextToken,omitempty"`
}

type securityGroupXML struct {
	ID          string          `xml:"groupId"`
	ARN         string          `xml:"securityGroupArn"`
	Name        string          `xml:"groupName"`
	Description string          `xml:"groupDescription"`
	OwnerID     string          `xml:"ownerId"`
	VPCID       string          `xml:"vpcId"`
	Ingress     []permissionXML `xml:"ipPermissions>item"`
	Egress      []permissionXML `xml:"ipPermissionsEgress>item"`
	Tags        []tagXML        `xml:"tagSet>item"`
}

func (s *Server) describeSecurityGroups(_ context.Context, c *Call) (response, error) {
	type group = world.Group
	all := s.World.Groups()
	names := c.Params.Strings("GroupName")
	for _, n := range names {
		if !slices.ContainsFunc(all, func(g group) bool { return g.Name == n }) {
			return nil, awserr.New("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", n, s.World.Catalog.VPC.ID)
		}
	}
	items := keep(all, func(g group) bool { return len(names) == 0 || slices.Contains(names, g.Name) })
	found, next, err := list(c, items, listing[group]{
		ids: "GroupId", least: 5,
		id:   func(g group) string { return g.ID },
		tags: func(g group) map[string]string { return s.World.TagsOf(g.ID) },
		missing: func(ids []string) error {
			return awserr.New("InvalidGroup.NotFound", "The security group '%s' does not exist", ids[0])
		},
		fields: fields[group]{
			"group-id":    one(func(g group) string { return g.ID }),
			"group-name":  one(func(g group) string { return g.Name }),
			"description": one(func(g group) string { return g.Description }),
			"vpc-id":      one(func(g group) string { return g.VPC }),
			"owner-id":    always[group](s.World.Catalog.Account),
		},
	})
	if err != nil {
		return nil, err
	}
	out := &describeGroupsResponse{NextToken: next}
	for _, g := range found {
		out.Groups = append(out.Groups, securityGroupXML{
			ID: g.ID, ARN: s.arn("security-group/" + g.ID), Name: g.Name, Description: g.Description, OwnerID: s.World.Catalog.Account, VPCID: g.VPC,
			Ingress: s.permissions(g.Rules, false), Egress: s.permissions(g.Rules, true), Tags: tagSet(s.World.TagsOf(g.ID)),
		})
	}
	return out, nil
}

type createGroupResponse struct {
	header
	Return bool     `xml:"return"`
	ID     string   `xml:"groupId"`
	ARN    string   `xml:"securityGroupArn"`
	Tags   []tagXML `xml:"tagSet>item"`
}

func (s *Server) createSecurityGroup(_ context.Context, c *Call) (response, error) {
	name, description, vpc := c.Params.Required("GroupName"), c.Params.Required("GroupDescription"), c.Params.String("VpcId")
	var tags map[string]string
	if err := tagSpecifications(c.Params, map[string]*map[string]string{"security-group": &tags}); err != nil {
		return nil, err
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	g, err := s.World.CreateGroup(name, description, vpc, tags)
	if err != nil {
		return nil, err
	}
	return &createGroupResponse{Return: true, ID: g.ID, ARN: s.arn("security-group/" + g.ID), Tags: tagSet(tags)}, nil
}

type deleteGroupResponse struct {
	header
	Return bool   `xml:"return"`
	ID     string `xml:"groupId"`
}

func (s *Server) deleteSecurityGroup(_ context.Context, c *Call) (response, error) {
	id, name := c.Params.String("GroupId"), c.Params.String("GroupName")
	if err := c.finish(); err != nil {
		return nil, err
	}
	g, err := s.World.DeleteGroup(id, name)
	if err != nil {
		return nil, err
	}
	return &deleteGroupResponse{Return: true, ID: g.ID}, nil
}
