package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kip.elotl.co/hack/localaws/policy"
)

// operator is the policy for the operator of cluster ours, in account
// 123456789012.
func operator(t *testing.T) policy.Policy {
	t.Helper()
	document, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "iam", "operator.json"))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, strings.NewReplacer("ACCOUNT", "123456789012", "CLUSTER-ID", "ours").Replace(string(document)))
}

// TestShippedForTheOperator: it may do its work, and nothing to what another
// cluster, or somebody else, has made.
func TestShippedForTheOperator(t *testing.T) {
	const (
		request, resource = "aws:requesttag/kip.elotl.co/cluster", "aws:resourcetag/kip.elotl.co/cluster"
		ssm               = "arn:aws:ssm:us-east-1:123456789012:parameter"
		ec2               = "arn:aws:ec2:us-east-1:123456789012:"
		iam               = "arn:aws:iam::123456789012:"
		mine              = ssm + "/kip/cells/i-1/config"
	)
	type keys map[string]string
	shipped := []policy.Policy{operator(t)}
	for what, c := range map[string]struct {
		action, resource string
		context          keys
		allowed          bool
	}{
		"launch":                        {"ec2:RunInstances", ec2 + "instance/*", keys{request: "ours"}, true},
		"launch from an image":          {"ec2:RunInstances", "arn:aws:ec2:us-east-1::image/ami-1", nil, true},
		"launch for another cluster":    {"ec2:RunInstances", ec2 + "instance/*", keys{request: "theirs"}, false},
		"launch without a tag":          {"ec2:RunInstances", ec2 + "instance/*", nil, false},
		"tag at launch":                 {"ec2:CreateTags", ec2 + "volume/*", keys{"ec2:createaction": "RunInstances", request: "ours"}, true},
		"tag what is there":             {"ec2:CreateTags", ec2 + "instance/i-1", keys{request: "ours", resource: "theirs"}, false},
		"end":                           {"ec2:TerminateInstances", ec2 + "instance/i-1", keys{resource: "ours"}, true},
		"end another cluster's":         {"ec2:TerminateInstances", ec2 + "instance/i-2", keys{resource: "theirs"}, false},
		"end somebody's":                {"ec2:TerminateInstances", ec2 + "instance/i-3", nil, false},
		"change":                        {"ec2:ModifyInstanceAttribute", ec2 + "instance/i-1", keys{resource: "ours"}, true},
		"change another cluster's":      {"ec2:ModifyInstanceAttribute", ec2 + "instance/i-2", keys{resource: "theirs"}, false},
		"delete a volume":               {"ec2:DeleteVolume", ec2 + "volume/vol-1", keys{resource: "ours"}, true},
		"delete another's volume":       {"ec2:DeleteVolume", ec2 + "volume/vol-2", keys{resource: "theirs"}, false},
		"delete somebody's volume":      {"ec2:DeleteVolume", ec2 + "volume/vol-3", nil, false},
		"delete an interface":           {"ec2:DeleteNetworkInterface", ec2 + "network-interface/eni-1", keys{resource: "ours"}, true},
		"delete somebody's interface":   {"ec2:DeleteNetworkInterface", ec2 + "network-interface/eni-2", nil, false},
		"delete a group":                {"ec2:DeleteSecurityGroup", ec2 + "security-group/sg-1", keys{resource: "ours"}, true},
		"delete somebody's group":       {"ec2:DeleteSecurityGroup", ec2 + "security-group/sg-2", nil, false},
		"find volumes":                  {"ec2:DescribeVolumes", "*", nil, true},
		"see status checks":             {"ec2:DescribeInstanceStatus", "*", nil, true},
		"read a console":                {"ec2:GetConsoleOutput", ec2 + "instance/i-1", keys{resource: "ours"}, true},
		"read another's console":        {"ec2:GetConsoleOutput", ec2 + "instance/i-2", keys{resource: "theirs"}, false},
		"store":                         {"ssm:PutParameter", mine, keys{request: "ours"}, true},
		"store: tags":                   {"ssm:AddTagsToResource", mine, keys{request: "ours"}, true},
		"store for another cluster":     {"ssm:PutParameter", mine, keys{request: "theirs"}, false},
		"store without a tag":           {"ssm:PutParameter", mine, nil, false},
		"store elsewhere":               {"ssm:PutParameter", ssm + "/others/config", keys{request: "ours"}, false},
		"overwrite":                     {"ssm:PutParameter", mine, keys{resource: "ours"}, false},
		"overwrite another cluster's":   {"ssm:PutParameter", mine, keys{resource: "theirs"}, false},
		"tag its own":                   {"ssm:AddTagsToResource", mine, keys{request: "ours", resource: "ours"}, true},
		"give its own away":             {"ssm:AddTagsToResource", mine, keys{request: "theirs", resource: "ours"}, false},
		"take another cluster's":        {"ssm:AddTagsToResource", mine, keys{request: "ours", resource: "theirs"}, false},
		"delete":                        {"ssm:DeleteParameters", mine, keys{resource: "ours"}, true},
		"delete another cluster's":      {"ssm:DeleteParameters", mine, keys{resource: "theirs"}, false},
		"delete what is in the place":   {"ssm:DeleteParameters", mine, nil, true},
		"delete somebody's":             {"ssm:DeleteParameters", ssm + "/others/config", nil, false},
		"list":                          {"ssm:GetParametersByPath", ssm + "/kip/cells/i-1", nil, true},
		"list elsewhere":                {"ssm:GetParametersByPath", ssm + "/others", nil, false},
		"read":                          {"ssm:GetParameter", mine, keys{resource: "ours"}, false},
		"find forgotten parameters":     {"ssm:DescribeParameters", "*", nil, true},
		"image parameters":              {"ssm:GetParameters", "arn:aws:ssm:us-east-1::parameter/aws/service/x", nil, true},
		"pass a role":                   {"iam:PassRole", iam + "role/kip-cells", keys{"iam:passedtoservice": "ec2.amazonaws.com"}, true},
		"pass a role to something else": {"iam:PassRole", iam + "role/kip-cells", keys{"iam:passedtoservice": "lambda.amazonaws.com"}, false},
		"pass another role":             {"iam:PassRole", iam + "role/admin", keys{"iam:passedtoservice": "ec2.amazonaws.com"}, false},
		"route":                         {"ec2:CreateRoute", ec2 + "route-table/rtb-1", nil, true},
		"Spot's role":                   {"iam:CreateServiceLinkedRole", iam + "role/aws-service-role/spot.amazonaws.com/x", keys{"iam:awsservicename": "spot.amazonaws.com"}, true},
	} {
		t.Run(what, func(t *testing.T) {
			r := policy.Request{Action: c.action, Resource: c.resource, Context: c.context}
			if got := policy.Judge(shipped, r); (got == policy.Allow) != c.allowed {
				t.Errorf("%s of %s with %v: %v", c.action, c.resource, c.context, got)
			}
		})
	}
}
