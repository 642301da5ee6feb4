package ec2_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/hack/localaws/faults"
)

func TestStateOutlivesTheProcess(t *testing.T) {
	c := newCloud(t)
	kept := c.run(t, everything(c))[0]
	lost := c.run(t)[0]
	ended := c.run(t)[0]
	for _, id := range []string{kept, lost, ended} {
		c.inState(t, id, types.InstanceStateNameRunning)
	}
	c.terminate(t, ended)
	c.inState(t, ended, types.InstanceStateNameTerminated)
	subnet := c.world.Catalog.Subnets[0].ID
	if _, err := c.CreateTags(t.Context(), &sdk.CreateTagsInput{Resources: []string{subnet, kept}, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}); err != nil {
		t.Fatal(err)
	}
	before := c.one(t, kept)
	c.crash()
	c.backend.End(lost)

	again := openCloud(t, c.dir, c.backend)
	if diff := cmp.Diff(before, again.one(t, kept), ignoreDocuments); diff != "" {
		t.Errorf("instance after the restart (-before +after):\n%s", diff)
	}
	if i := again.inState(t, lost, types.InstanceStateNameTerminated); *i.StateReason.Code != "Server.InternalError" {
		t.Errorf("reason of the lost one: %s", *i.StateReason.Code)
	}
	if i := again.one(t, ended); *i.StateReason.Code != "Client.UserInitiatedShutdown" {
		t.Errorf("reason of the one terminated before: %s", *i.StateReason.Code)
	}
	if ids := again.run(t, everything(again)); ids[0] != kept {
		t.Error("the client token was forgotten")
	}
	if again.world.TagsOf(subnet)["k"] != "v" {
		t.Error("the subnet's tag was forgotten")
	}
	fresh := again.one(t, again.run(t, func(in *sdk.RunInstancesInput) { in.SubnetId = before.SubnetId })[0])
	if *fresh.PrivateIpAddress == *before.PrivateIpAddress {
		t.Error("an address in use was given out again")
	}
	again.terminate(t, kept)
	again.inState(t, kept, types.InstanceStateNameTerminated)
	if entries := again.journal.Since(0, "RunInstances"); len(entries) != 5 {
		t.Errorf("the journal has %d launches", len(entries))
	}
}

func TestFaults(t *testing.T) {
	c := newCloud(t)
	plan := faults.Plan{
		Errors:      []faults.Refusal{{Action: "DescribeInstances", Code: "RequestLimitExceeded", Message: "slow down", Count: 1}},
		LostReplies: []faults.Loss{{Action: "RunInstances", Count: 1}},
	}
	if err := c.faults.Replace(plan); err != nil {
		t.Fatal(err)
	}
	_, err := c.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{})
	wantCode(t, err, "RequestLimitExceeded")
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.HTTPStatusCode() != http.StatusServiceUnavailable {
		t.Errorf("error %v", err)
	}
	in := launch(func(in *sdk.RunInstancesInput) { in.ClientToken = aws.String("lost") })
	if _, err := c.RunInstances(t.Context(), in); err == nil {
		t.Error("the reply was not lost")
	}
	listed := c.list(t)
	out, err := c.RunInstances(t.Context(), in)
	if err != nil || len(listed) != 1 || *out.Instances[0].InstanceId != listed[0] {
		t.Errorf("after the lost reply: %v listed, %+v, %v", listed, out, err)
	}
	entries := c.journal.Since(0, "RunInstances")
	if len(entries) != 2 || entries[0].Fault == "" || len(entries[0].Created) != 1 || len(entries[1].Created) != 0 {
		t.Errorf("journal %+v", entries)
	}
}

func TestAuthentication(t *testing.T) {
	c := newCloud(t)
	_, err := client(c.url, "eu-west-1", credentials.NewStaticCredentialsProvider("AKID", "x", "")).DescribeVpcs(t.Context(), &sdk.DescribeVpcsInput{})
	wantCode(t, err, "AuthFailure")
	_, err = client(c.url, "us-east-1", aws.AnonymousCredentials{}).DescribeVpcs(t.Context(), &sdk.DescribeVpcsInput{})
	wantCode(t, err, "MissingAuthenticationToken")

	for _, tt := range []struct {
		header, form string
		status       int
		code         string
	}{
		{"", "Action=DescribeVpcs&Version=2016-11-15", 403, "MissingAuthenticationToken"},
		{"Bearer x", "Action=DescribeVpcs&Version=2016-11-15", 400, "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/ec2/aws4_request", "Action=DescribeVpcs", 400, "IncompleteSignature"},
		{signed, "Action=DescribeVpcs&Version=2016-11-15", 200, ""},
		{signed, "Action=DescribeVpcs&Version=1999-01-01", 400, "NoSuchVersion"},
		{signed, "Action=DescribeVpcs", 400, "MissingParameter"},
		{signed, "Action=MakeCoffee&Version=2016-11-15", 400, "InvalidAction"},
		{signed, "Version=2016-11-15", 400, "MissingAction"},
		{signed, "Action=TerminateInstances&Version=2016-11-15", 400, "MissingParameter"},
		{signed, "Action=CreateTags&Version=2016-11-15", 400, "MissingParameter"},
		{signed, "Action=DescribeVpcs&Version=2016-11-15&Surprise=1", 400, "UnknownParameter"},
		{signed, "Action=DescribeVpcs&Action=DescribeVpcs&Version=2016-11-15", 400, "InvalidQueryParameter"},
		{"", "Action=DescribeVpcs&Version=2016-11-15&X-Amz-Signature=00&X-Amz-Credential=" + url.QueryEscape("a/20260101/us-east-1/ec2/aws4_request"), 200, ""},
	} {
		status, body := post(t, c.url, tt.header, tt.form)
		if status != tt.status || !strings.Contains(body, "<Code>"+tt.code+"</Code>") && tt.code != "" {
			t.Errorf("%q %q: %d %s, want %d %s", tt.header, tt.form, status, body, tt.status, tt.code)
		}
	}
}

func TestJournalHidesUserData(t *testing.T) {
	c := newCloud(t)
	c.run(t, everything(c))
	e := c.journal.Since(0, "RunInstances")[0]
	if _, there := e.Params["UserData"]; there || e.Params["UserData.Size"] != "14" || len(e.Params["UserData.SHA256"]) != 64 {
		t.Errorf("parameters %v", e.Params)
	}
	if e.Params["ClientToken"] != "all-of-it" || e.Params["NetworkInterface.1.SecondaryPrivateIpAddressCount"] != "1" || len(e.Created) != 1 {
		t.Errorf("entry %+v", e)
	}
}
