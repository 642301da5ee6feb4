package ec2_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kip.elotl.co/hack/localaws/boot/boottest"
)

// group makes a security group and returns its ID.
func (c *cloud) group(t *testing.T, name string) string {
	t.Helper()
	out, err := c.CreateSecurityGroup(t.Context(), &sdk.CreateSecurityGroupInput{
		GroupName: aws.String(name), Description: aws.String("made by a test"), VpcId: aws.String(c.world.Catalog.VPC.ID),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroup, Tags: []types.Tag{{Key: aws.String("made-for"), Value: aws.String(name)}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return *out.GroupId
}

func (c *cloud) described(t *testing.T, id string) types.SecurityGroup {
	t.Helper()
	out, err := c.DescribeSecurityGroups(t.Context(), &sdk.DescribeSecurityGroupsInput{GroupIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	return out.SecurityGroups[0]
}

func tcp(port int32, cidr string) types.IpPermission {
	return types.IpPermission{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(port), ToPort: aws.Int32(port),
		IpRanges: []types.IpRange{{CidrIp: aws.String(cidr), Description: aws.String("a test's")}},
	}
}

func (c *cloud) allow(t *testing.T, id string, permissions ...types.IpPermission) []types.SecurityGroupRule {
	t.Helper()
	out, err := c.AuthorizeSecurityGroupIngress(t.Context(), &sdk.AuthorizeSecurityGroupIngressInput{GroupId: aws.String(id), IpPermissions: permissions})
	if err != nil {
		t.Fatal(err)
	}
	return out.SecurityGroupRules
}

// A new group lets everything out and nothing in, and survives a restart.
func TestCreateSecurityGroup(t *testing.T) {
	c := newCloud(t)
	id := c.group(t, "web")
	c.crash()
	c = openCloud(t, c.dir, &boottest.Backend{})
	g := c.described(t, id)
	all := []types.IpPermission{{IpProtocol: aws.String("-1"), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}}
	if diff := cmp.Diff(all, g.IpPermissionsEgress, cmpopts.IgnoreUnexported(types.IpPermission{}, types.IpRange{}), cmpopts.EquateEmpty()); diff != "" || len(g.IpPermissions) > 0 {
		t.Errorf("in %v; out (-want +got):\n%s", g.IpPermissions, diff)
	}
	if *g.GroupName != "web" || *g.VpcId != c.world.Catalog.VPC.ID || len(g.Tags) != 1 || *g.Tags[0].Value != "web" {
		t.Errorf("group %+v", g)
	}
	ids := c.run(t, func(in *sdk.RunInstancesInput) { in.SecurityGroupIds = []string{id} })
	if i := c.one(t, ids[0]); *i.SecurityGroups[0].GroupName != "web" {
		t.Errorf("groups of the instance: %+v", i.SecurityGroups)
	}
}

func TestCreateSecurityGroupRefuses(t *testing.T) {
	c := newCloud(t)
	c.group(t, "web")
	for name, test := range map[string]struct{ name, vpc, code string }{
		"duplicate":  {"web", "", "InvalidGroup.Duplicate"},
		"default":    {"default", "", "InvalidParameterValue"},
		"like an ID": {"sg-web", "", "InvalidParameterValue"},
		"characters": {"wéb", "", "InvalidParameterValue"},
		"vpc":        {"other", "vpc-0123456789abcdef0", "InvalidVpcID.NotFound"},
	} {
		in := &sdk.CreateSecurityGroupInput{GroupName: aws.String(test.name), Description: aws.String("x")}
		if test.vpc != "" {
			in.VpcId = aws.String(test.vpc)
		}
		_, err := c.CreateSecurityGroup(t.Context(), in)
		t.Run(name, func(t *testing.T) { wantCode(t, err, test.code) })
	}
}

// A group goes when neither an instance nor another group's rule uses it.
func TestDeleteSecurityGroup(t *testing.T) {
	c := newCloud(t)
	web, db := c.group(t, "web"), c.group(t, "db")
	remove := func(id string) error {
		_, err := c.DeleteSecurityGroup(t.Context(), &sdk.DeleteSecurityGroupInput{GroupId: aws.String(id)})
		return err
	}
	instance := c.run(t, func(in *sdk.RunInstancesInput) { in.SecurityGroupIds = []string{web} })[0]
	wantCode(t, remove(web), "DependencyViolation")
	if _, err := c.TerminateInstances(t.Context(), &sdk.TerminateInstancesInput{InstanceIds: []string{instance}}); err != nil {
		t.Fatal(err)
	}
	c.inState(t, instance, types.InstanceStateNameTerminated)
	rules := c.allow(t, db, types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(5432), ToPort: aws.Int32(5432),
		UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: aws.String(web)}}})
	if peer := rules[0].ReferencedGroupInfo; peer == nil || *peer.GroupId != web {
		t.Errorf("rule %+v", rules[0])
	}
	wantCode(t, remove(web), "DependencyViolation")
	wantCode(t, remove(db), "")
	wantCode(t, remove(web), "")
	wantCode(t, remove(web), "InvalidGroup.NotFound")
	wantCode(t, remove(c.world.Catalog.Groups[0].ID), "CannotDelete")
	_, err := c.RunInstances(t.Context(), launch(func(in *sdk.RunInstancesInput) { in.SecurityGroupIds = []string{web} }))
	wantCode(t, err, "InvalidGroup.NotFound")
}

func TestSecurityGroupRules(t *testing.T) {
	c := newCloud(t)
	id := c.group(t, "web")
	rules := c.allow(t, id, tcp(80, "10.1.2.3/8"), tcp(443, "0.0.0.0/0"))
	if len(rules) != 2 || *rules[0].CidrIpv4 != "10.0.0.0/8" || *rules[0].IsEgress || *rules[0].FromPort != 80 || *rules[0].Description != "a test's" {
		t.Errorf("added %+v", rules)
	}
	out, err := c.AuthorizeSecurityGroupEgress(t.Context(), &sdk.AuthorizeSecurityGroupEgressInput{GroupId: aws.String(id), IpPermissions: []types.IpPermission{
		{IpProtocol: aws.String("17"), FromPort: aws.Int32(53), ToPort: aws.Int32(53), Ipv6Ranges: []types.Ipv6Range{{CidrIpv6: aws.String("::/0")}}},
	}})
	if err != nil || *out.SecurityGroupRules[0].IpProtocol != "udp" || *out.SecurityGroupRules[0].CidrIpv6 != "::/0" {
		t.Errorf("%+v, %v", out, err)
	}
	listed, err := c.DescribeSecurityGroupRules(t.Context(), &sdk.DescribeSecurityGroupRulesInput{Filters: []types.Filter{filter("group-id", id)}})
	if err != nil || len(listed.SecurityGroupRules) != 4 {
		t.Errorf("%+v, %v", listed, err)
	}
	if g := c.described(t, id); len(g.IpPermissions) != 2 || len(g.IpPermissionsEgress) != 2 {
		t.Errorf("in %+v, out %+v", g.IpPermissions, g.IpPermissionsEgress)
	}
	// One of the rules is unknown, which a default VPC does not mind.
	revoked, err := c.RevokeSecurityGroupIngress(t.Context(), &sdk.RevokeSecurityGroupIngressInput{
		GroupName: aws.String("web"), IpPermissions: []types.IpPermission{tcp(80, "10.0.0.0/8"), tcp(81, "10.0.0.0/8")},
	})
	if err != nil || len(revoked.UnknownIpPermissions) != 1 || len(revoked.RevokedSecurityGroupRules) != 1 || *revoked.RevokedSecurityGroupRules[0].GroupId != id {
		t.Errorf("%+v, %v", revoked, err)
	}
	_, err = c.RevokeSecurityGroupIngress(t.Context(), &sdk.RevokeSecurityGroupIngressInput{GroupId: aws.String(id), SecurityGroupRuleIds: []string{*rules[1].SecurityGroupRuleId}})
	wantCode(t, err, "")
	if g := c.described(t, id); len(g.IpPermissions) != 0 {
		t.Errorf("in %+v", g.IpPermissions)
	}
	// A direction's rules are not the other's.
	egress := *listed.SecurityGroupRules[slices.IndexFunc(listed.SecurityGroupRules, func(r types.SecurityGroupRule) bool { return *r.IsEgress })].SecurityGroupRuleId
	_, err = c.RevokeSecurityGroupIngress(t.Context(), &sdk.RevokeSecurityGroupIngressInput{GroupId: aws.String(id), SecurityGroupRuleIds: []string{egress}})
	wantCode(t, err, "InvalidSecurityGroupRuleId.NotFound")
	_, err = c.RevokeSecurityGroupEgress(t.Context(), &sdk.RevokeSecurityGroupEgressInput{GroupId: aws.String(id), SecurityGroupRuleIds: []string{egress}})
	wantCode(t, err, "")
}

func TestAuthorizeRefuses(t *testing.T) {
	c := newCloud(t)
	id := c.group(t, "web")
	c.allow(t, id, tcp(80, "10.0.0.0/8"))
	many := types.IpPermission{IpProtocol: aws.String("-1")}
	for i := range 60 {
		many.IpRanges = append(many.IpRanges, types.IpRange{CidrIp: aws.String(fmt.Sprintf("10.0.0.%d/32", i))})
	}
	peer := types.IpPermission{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: aws.String("sg-0123456789abcdef0")}}}
	for name, test := range map[string]struct {
		group      string
		permission types.IpPermission
		code       string
	}{
		"duplicate":     {id, tcp(80, "10.9.9.9/8"), "InvalidPermission.Duplicate"},
		"unknown group": {"sg-0123456789abcdef0", tcp(81, "10.0.0.0/8"), "InvalidGroup.NotFound"},
		"malformed ID":  {"web", tcp(81, "10.0.0.0/8"), "InvalidGroupId.Malformed"},
		"unknown peer":  {id, peer, "InvalidGroup.NotFound"},
		"CIDR":          {id, tcp(81, "10.0.0.0/33"), "InvalidParameterValue"},
		"protocol":      {id, types.IpPermission{IpProtocol: aws.String("tpc"), IpRanges: tcp(1, "10.0.0.0/8").IpRanges}, "InvalidParameterValue"},
		"ports":         {id, types.IpPermission{IpProtocol: aws.String("tcp"), IpRanges: tcp(1, "10.0.0.0/8").IpRanges}, "InvalidParameterValue"},
		"port":          {id, tcp(65536, "10.0.0.0/8"), "InvalidParameterValue"},
		"too many":      {id, many, "RulesPerSecurityGroupLimitExceeded"},
		"no peer":       {id, types.IpPermission{IpProtocol: aws.String("-1")}, "InvalidParameterValue"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.AuthorizeSecurityGroupIngress(t.Context(), &sdk.AuthorizeSecurityGroupIngressInput{
				GroupId: aws.String(test.group), IpPermissions: []types.IpPermission{tcp(8080, "10.0.0.0/8"), test.permission},
			})
			wantCode(t, err, test.code)
		})
	}
	// What is refused changes nothing.
	if g := c.described(t, id); len(g.IpPermissions) != 1 {
		t.Errorf("in %+v", g.IpPermissions)
	}
}
