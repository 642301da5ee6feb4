package ec2_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

func (c *cloud) ecr(creds aws.CredentialsProvider) *ecr.Client {
	return ecr.New(ecr.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(c.url), Credentials: creds, Retryer: aws.NopRetryer{}, HTTPClient: plainBody{awshttp.NewBuildableClient()},
	})
}

// Who may have tokens is said by the policies of the caller's role, the one that
// is shipped for cells among them; the journal does not show what is given.
func TestRegistryTokens(t *testing.T) {
	c := newCloud(t)
	shipped, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "iam", "cells-ecr.json"))
	if err != nil {
		t.Fatal(err)
	}
	for role, test := range map[string]struct{ policy, code string }{
		"pulling": {string(shipped), ""},
		"cells":   {cellsPolicy(t), "AccessDeniedException"},
		"denied": {`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecr:*", "Resource": "*"},
			{"Effect": "Deny", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}]}`, "AccessDeniedException"},
	} {
		c.roleWith(t, role, test.policy)
		_, creds := c.withProfile(t, role)
		out, err := c.ecr(creds).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
		if test.code != "" {
			wantCode(t, err, test.code)
			continue
		}
		if err != nil || len(out.AuthorizationData) != 1 {
			t.Fatalf("%s: %+v, %v", role, out, err)
		}
		data := out.AuthorizationData[0]
		plain, err := base64.StdEncoding.DecodeString(*data.AuthorizationToken)
		if err != nil || !strings.HasPrefix(string(plain), "AWS:") || *data.ProxyEndpoint != "https://123456789012.dkr.ecr.us-east-1.amazonaws.com" {
			t.Errorf("%s: %s of %s, %v", role, plain, *data.ProxyEndpoint, err)
		}
		if left := time.Until(*data.ExpiresAt); left > 12*time.Hour || left < 11*time.Hour {
			t.Errorf("%s: it holds for %v", role, left)
		}
		_, password, _ := strings.Cut(string(plain), ":")
		if recorded, err := json.Marshal(c.journal.Since(0, "")); err != nil || strings.Contains(string(recorded), password) {
			t.Errorf("the journal shows the password: %v", err)
		}
	}
}

// byAccount is how callers of old ask.
func byAccount(accounts ...string) *ecr.GetAuthorizationTokenInput {
	return &ecr.GetAuthorizationTokenInput{RegistryIds: accounts} //nolint:staticcheck // deprecated, but AWS still answers it
}

func TestRegistryTokensByAccount(t *testing.T) {
	c := newCloud(t)
	client := c.ecr(operator())
	out, err := client.GetAuthorizationToken(t.Context(), byAccount("210987654321", "123456789012"))
	if err != nil || len(out.AuthorizationData) != 2 || *out.AuthorizationData[0].ProxyEndpoint != "https://210987654321.dkr.ecr.us-east-1.amazonaws.com" {
		t.Errorf("%+v, %v", out, err)
	}
	for _, accounts := range [][]string{{}, {"1"}, {"12345678901x"}, strings.Split(strings.Repeat("123456789012 ", 11), " ")[:11]} {
		_, err := client.GetAuthorizationToken(t.Context(), byAccount(accounts...))
		wantCode(t, err, "InvalidParameterException")
	}
	_, err = client.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{})
	wantCode(t, err, "UnknownOperationException")
}
