package aws

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"kip.elotl.co/internal/cloud"
)

// InstanceProfile implements cloud.Profiles. IAM knows profiles by name only:
// another account's, or another path, is not found by its ARN.
func (c *Client) InstanceProfile(ctx context.Context, nameOrARN string) (cloud.InstanceProfile, error) {
	name := nameOrARN
	if strings.HasPrefix(nameOrARN, "arn:") {
		name = nameOrARN[strings.LastIndex(nameOrARN, "/")+1:]
	}
	out, err := c.iam.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: aws.String(name)})
	if err != nil {
		return cloud.InstanceProfile{}, sortedOf("iam", "GetInstanceProfile", err, name)
	}
	found := cloud.InstanceProfile{Name: aws.ToString(out.InstanceProfile.InstanceProfileName), ARN: aws.ToString(out.InstanceProfile.Arn)}
	if name != nameOrARN && found.ARN != nameOrARN {
		return cloud.InstanceProfile{}, cloud.NotFound("iam:GetInstanceProfile", nameOrARN)
	}
	for _, role := range out.InstanceProfile.Roles {
		found.RoleID = aws.ToString(role.RoleId)
	}
	return found, nil
}
