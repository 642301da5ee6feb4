package iam_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/iam"
)

func open(t *testing.T, dir string, clock *testclock.FakePassiveClock) *iam.Store {
	t.Helper()
	s, err := iam.Open(iam.Config{Account: "123456789012", Profiles: []string{"cell"}, Dir: dir, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func identity(t *testing.T, s *iam.Store, instance string) iam.Identity {
	t.Helper()
	out, ok := s.OfInstance("arn:aws:iam::123456789012:instance-profile/cell", instance)
	if !ok {
		t.Fatal("there is no role")
	}
	return out
}

func code(err error) string {
	var api *awserr.Error
	if errors.As(err, &api) {
		return api.Code
	}
	return ""
}

const allowAll = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`

// A session holds over a restart, until it expires or its role is made anew;
// what its role may do is what the policies say when it asks.
func TestSession(t *testing.T) {
	dir, clock := t.TempDir(), testclock.NewFakePassiveClock(time.Date(2026, 11, 20, 10, 59, 0, 0, time.UTC))
	s := open(t, dir, clock)
	is := identity(t, s, "i-1")
	s = open(t, dir, clock)
	if again := identity(t, s, "i-1"); again != is {
		t.Errorf("after a restart %+v, before %+v", again, is)
	}
	caller, err := s.Identify(is.AccessKeyID, is.Token)
	if err != nil || caller.Session() != "cell/i-1" {
		t.Fatalf("%s, %v", caller.Session(), err)
	}
	if err := caller.Authorize("ssm:GetParameter", "*", nil); code(err) != "AccessDeniedException" || !strings.HasSuffix(err.Error(), "because no identity-based policy allows the ssm:GetParameter action") {
		t.Errorf("without a policy: %v", err)
	}
	if err := s.PutRolePolicy("cell", "p", allowAll); err != nil {
		t.Fatal(err)
	}
	if err := caller.Authorize("ssm:GetParameter", "*", nil); err != nil {
		t.Errorf("with one that allows all: %v", err)
	}
	if err := s.PutRolePolicy("cell", "q", strings.Replace(allowAll, "Allow", "Deny", 1)); err != nil {
		t.Fatal(err)
	}
	if err := caller.Authorize("ssm:GetParameter", "*", nil); code(err) != "AccessDeniedException" || !strings.HasSuffix(err.Error(), "with an explicit deny in an identity-based policy") {
		t.Errorf("with another that denies all: %v", err)
	}

	clock.SetTime(is.Expires.Add(-time.Second))
	if _, err := s.Identify(is.AccessKeyID, is.Token); err != nil {
		t.Errorf("before it expires: %v", err)
	}
	clock.SetTime(is.Expires)
	if _, err := s.Identify(is.AccessKeyID, is.Token); code(err) != "RequestExpired" {
		t.Errorf("expired: %v", err)
	}
}

func TestSessionOfARoleMadeAnew(t *testing.T) {
	s := open(t, t.TempDir(), testclock.NewFakePassiveClock(time.Unix(1_800_000_000, 0)))
	is := identity(t, s, "i-1")
	if code(s.DeleteRole("cell")) != "DeleteConflict" {
		t.Error("a role in use was deleted")
	}
	for _, err := range []error{s.RemoveRole("cell", "cell"), s.DeleteRole("cell")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := s.OfInstance("arn:aws:iam::123456789012:instance-profile/cell", "i-1"); ok {
		t.Error("a profile without a role gives credentials")
	}
	if err := s.Configure("cell", allowAll); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Identify(is.AccessKeyID, is.Token); code(err) != "AuthFailure" {
		t.Errorf("of the role before: %v", err)
	}
	fresh := identity(t, s, "i-1")
	if _, err := s.Identify(fresh.AccessKeyID, fresh.Token); err != nil {
		t.Error(err)
	}
	if err := s.Configure("cell", `{"Statement": 1}`); code(err) != "MalformedPolicyDocument" {
		t.Errorf("a policy that is none: %v", err)
	}
}

// TestPolicyThatCouldNotBeJudged: a key that no call has a value for would make
// a policy mean something else than in AWS.
func TestPolicyThatCouldNotBeJudged(t *testing.T) {
	s := open(t, t.TempDir(), testclock.NewFakePassiveClock(time.Unix(1_800_000_000, 0)))
	for text, want := range map[string]string{
		`"Condition": {"StringEquals": {"aws:RequestTag/a": "b"}}`:                                "aws:requesttag",
		`"Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}`:             "iam:passedtoservice",
		`"Condition": {"StringEquals": {"aws:userid": "${ec2:CreateAction}"}}`:                    "ec2:createaction",
		`"Condition": {"StringEquals": {"aws:ResourceTag/a": "${aws:userid}${*}"}}`:               "",
		`"Condition": {"StringNotEqualsIfExists": {"ssm:ResourceTag/a": "${AWS:ResourceTag/b}"}}`: "",
	} {
		err := s.PutRolePolicy("cell", "p", strings.Replace(allowAll, `"Resource": "*"`, `"Resource": "*", `+text, 1))
		if want == "" && err != nil || want != "" && (code(err) != "MalformedPolicyDocument" || !strings.Contains(err.Error(), "key "+want+" is not emulated here")) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
