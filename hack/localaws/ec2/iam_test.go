package ec2_test

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"kip.elotl.co/hack/localaws/boot/boottest"
)

func operator() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider("AKIDLOCAL", "secret", "")
}

func (c *cloud) iam(creds aws.CredentialsProvider, region string) *iam.Client {
	return iam.New(iam.Options{
		Region: region, BaseEndpoint: aws.String(c.url), Credentials: creds, Retryer: aws.NopRetryer{}, HTTPClient: plainBody{awshttp.NewBuildableClient()},
	})
}

func (c *cloud) sts(creds aws.CredentialsProvider) *sts.Client {
	return sts.New(sts.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(c.url), Credentials: creds, Retryer: aws.NopRetryer{}, HTTPClient: plainBody{awshttp.NewBuildableClient()},
	})
}

// cellsPolicy is the one that is shipped for the roles of cells.
func cellsPolicy(t *testing.T) string {
	t.Helper()
	document, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "iam", "cells.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

// roleWith makes a role with a policy, in a profile of its name, by IAM's
// calls, and returns the role's ID.
func (c *cloud) roleWith(t *testing.T, name, document string) string {
	t.Helper()
	client := c.iam(operator(), "us-east-1")
	role, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String("{}")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String(name), PolicyName: aws.String("p"), PolicyDocument: aws.String(document)}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String(name)}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.AddRoleToInstanceProfile(t.Context(), &iam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String(name), RoleName: aws.String(name)}); err != nil {
		t.Fatal(err)
	}
	return *role.Role.RoleId
}

// withProfile launches an instance with a profile, and gives the credentials
// that its metadata service would.
func (c *cloud) withProfile(t *testing.T, profile string) (id string, creds aws.CredentialsProvider) {
	t.Helper()
	id = c.run(t, func(in *sdk.RunInstancesInput) {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(profile)}
	})[0]
	identity, ok := c.world.IAM.OfInstance(*c.one(t, id).IamInstanceProfile.Arn, id)
	if !ok {
		t.Fatalf("%s has no role", id)
	}
	return id, credentials.NewStaticCredentialsProvider(identity.AccessKeyID, identity.SecretAccessKey, identity.Token)
}

func TestInstanceProfiles(t *testing.T) {
	c := newCloud(t)
	id := c.roleWith(t, "cells", cellsPolicy(t))
	c.crash()
	c = openCloud(t, c.dir, &boottest.Backend{})
	client := c.iam(operator(), "us-east-1")
	got, err := client.GetInstanceProfile(t.Context(), &iam.GetInstanceProfileInput{InstanceProfileName: aws.String("cells")})
	if err != nil {
		t.Fatal(err)
	}
	p := got.InstanceProfile
	if *p.Arn != "arn:aws:iam::123456789012:instance-profile/cells" || len(*p.InstanceProfileId) != 21 || (*p.InstanceProfileId)[:4] != "AIPA" || p.CreateDate == nil {
		t.Errorf("profile %+v", p)
	}
	if len(p.Roles) != 1 || *p.Roles[0].RoleId != id || id[:4] != "AROA" || *p.Roles[0].Arn != "arn:aws:iam::123456789012:role/cells" {
		t.Errorf("roles %+v, want %s", p.Roles, id)
	}
	launched := c.run(t, func(in *sdk.RunInstancesInput) {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Arn: p.Arn}
	})[0]
	if i := c.one(t, launched); *i.IamInstanceProfile.Id != *p.InstanceProfileId {
		t.Errorf("the instance's profile is %s", *i.IamInstanceProfile.Id)
	}
	var names []string
	pages := iam.NewListInstanceProfilesPaginator(client, &iam.ListInstanceProfilesInput{MaxItems: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.InstanceProfiles {
			names = append(names, *p.InstanceProfileName)
		}
	}
	if len(names) != len(c.world.Catalog.Profiles)+1 {
		t.Errorf("profiles %v", names)
	}
	policy, err := client.GetRolePolicy(t.Context(), &iam.GetRolePolicyInput{RoleName: aws.String("cells"), PolicyName: aws.String("p")})
	if err != nil {
		t.Fatal(err)
	}
	if document, err := url.QueryUnescape(*policy.PolicyDocument); err != nil || document != cellsPolicy(t) {
		t.Errorf("policy %s, %v", document, err)
	}
}

func TestIAMRefuses(t *testing.T) {
	c := newCloud(t)
	c.roleWith(t, "cells", cellsPolicy(t))
	client := c.iam(operator(), "us-east-1")
	name, other := aws.String("cells"), aws.String("nobodys")
	for what, test := range map[string]struct {
		do   func() error
		code string
	}{
		"profile": {func() error {
			_, err := client.GetInstanceProfile(t.Context(), &iam.GetInstanceProfileInput{InstanceProfileName: other})
			return err
		}, "NoSuchEntity"},
		"role": {func() error {
			_, err := client.GetRole(t.Context(), &iam.GetRoleInput{RoleName: other})
			return err
		}, "NoSuchEntity"},
		"role twice": {func() error {
			_, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String("{}")})
			return err
		}, "EntityAlreadyExists"},
		"second role": {func() error {
			_, err := client.AddRoleToInstanceProfile(t.Context(), &iam.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: aws.String("web")})
			return err
		}, "LimitExceeded"},
		"role in use": {func() error {
			_, err := client.DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: name})
			return err
		}, "DeleteConflict"},
		"policy": {func() error {
			_, err := client.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: name, PolicyName: name, PolicyDocument: aws.String(`{"Statement": []}`)})
			return err
		}, "MalformedPolicyDocument"},
		"name": {func() error {
			_, err := client.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String("a b")})
			return err
		}, "ValidationError"},
		"action": {func() error {
			_, err := client.ListUsers(t.Context(), &iam.ListUsersInput{})
			return err
		}, "InvalidAction"},
		"region": {func() error {
			_, err := c.iam(operator(), "eu-west-1").GetRole(t.Context(), &iam.GetRoleInput{RoleName: name})
			return err
		}, "InvalidClientTokenId"},
	} {
		t.Run(what, func(t *testing.T) { wantCode(t, test.do(), test.code) })
	}
}

// A session is told apart by its key and token, and held to its role's
// policies in every service; the account's own keys are not.
func TestSessions(t *testing.T) {
	c := newCloud(t)
	roleID := c.roleWith(t, "reader", `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["ec2:DescribeInstances", "iam:GetRole"], "Resource": "*"}}`)
	id, creds := c.withProfile(t, "reader")
	who, err := c.sts(creds).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || *who.UserId != roleID+":"+id || *who.Arn != "arn:aws:sts::123456789012:assumed-role/reader/"+id || *who.Account != "123456789012" {
		t.Errorf("%+v, %v", who, err)
	}
	if who, err = c.sts(operator()).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); err != nil || *who.UserId != "123456789012" {
		t.Errorf("%+v, %v", who, err)
	}
	cell := client(c.url, "us-east-1", creds)
	_, err = cell.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{})
	wantCode(t, err, "")
	_, err = cell.TerminateInstances(t.Context(), &sdk.TerminateInstancesInput{InstanceIds: []string{id}})
	wantCode(t, err, "UnauthorizedOperation")
	_, err = c.iam(creds, "us-east-1").GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("reader")})
	wantCode(t, err, "")
	_, err = c.iam(creds, "us-east-1").DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: aws.String("reader")})
	wantCode(t, err, "AccessDenied")
	entries := c.journal.Since(0, "TerminateInstances")
	if len(entries) != 1 || entries[0].Caller != "reader/"+id || entries[0].Code != "UnauthorizedOperation" {
		t.Errorf("journal %+v", entries)
	}

	is, err := creds.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, others := c.withProfile(t, "reader")
	other, err := others.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"none": "", "another's": other.SessionToken, "made up": "AAAA"} {
		_, err := client(c.url, "us-east-1", credentials.NewStaticCredentialsProvider(is.AccessKeyID, is.SecretAccessKey, token)).
			DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{})
		t.Run("token "+name, func(t *testing.T) { wantCode(t, err, "AuthFailure") })
	}
}
