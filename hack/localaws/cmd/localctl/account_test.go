package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/service"
	"kip.elotl.co/hack/localaws/ssm"
	"kip.elotl.co/hack/localaws/world"
)

func TestAccount(t *testing.T) {
	f := newFixture(t)
	var err error
	if f.Parameters, err = ssm.Open(ssm.Config{Region: "us-east-1", Account: "123456789012", Dir: t.TempDir(), Clock: clock.RealClock{}}); err != nil {
		t.Fatal(err)
	}
	caller, err := f.World.IAM.Identify("AKIDLOCAL", "")
	if err != nil {
		t.Fatal(err)
	}
	body := `{"Name": "/kip/cells/i-1/config", "Value": "very secret", "Type": "SecureString", "Tags": [{"Key": "AWSUserID", "Value": "AROA:i-1"}]}`
	if _, err := f.Parameters.Service().Handle(t.Context(), service.Request{Caller: caller, Action: "PutParameter", Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
	out := f.run(t, "parameters")
	for _, want := range []string{"/kip/cells/i-1/config", "SecureString", "Standard", "alias/aws/ssm", "AWSUserID=AROA:i-1", "11"} {
		if !strings.Contains(out, want) {
			t.Errorf("parameters lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "very secret") {
		t.Errorf("a value is shown:\n%s", out)
	}

	document := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(document, []byte(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ssm:*", "Resource": "*"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	f.run(t, "role", "mine", document)
	if out := f.run(t, "roles"); !strings.Contains(out, "mine") || !strings.Contains(out, "AROA") || !strings.Contains(out, "kip-cell") {
		t.Errorf("roles:\n%s", out)
	}
	launched, err := f.World.Launch(world.LaunchRequest{Min: 1, Max: 1, ImageID: "ami-0c0ffee0000000002", InstanceType: "t3.nano", Market: world.OnDemand, OnShutdown: "terminate", ProfileName: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	var credentials map[string]string
	if err := json.Unmarshal([]byte(f.run(t, "credentials", launched.Instances[0].ID)), &credentials); err != nil {
		t.Fatal(err)
	}
	session, err := f.World.IAM.Identify(credentials["AccessKeyId"], credentials["Token"])
	if err != nil || session.Session() != "mine/"+launched.Instances[0].ID {
		t.Errorf("they are those of %s, %v", session.Session(), err)
	}
	plain := f.launch(t, world.OnDemand)
	for want, args := range map[string][]string{
		"has no role":             {"credentials", plain},
		"does not exist":          {"credentials", "i-00000000000000000"},
		"no such file":            {"role", "mine", document + "x"},
		"MalformedPolicyDocument": {"role", "mine", os.DevNull},
	} {
		if _, err := run(t, append(args, "--endpoint", f.url)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
