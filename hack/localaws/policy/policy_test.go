package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kip.elotl.co/hack/localaws/policy"
)

func parse(t *testing.T, document string) policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const own = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*",
	"Condition": {"StringEquals": {"aws:ResourceTag/AWSUserID": "${aws:userid}"}}}}`

func TestJudge(t *testing.T) {
	const arn = "arn:aws:ssm:us-east-1:123456789012:parameter/kip/cells/i-1/config"
	statement := func(s string) string { return `{"Version": "2012-10-17", "Statement": [` + s + `]}` }
	me := map[string]string{"aws:userid": "AROA1:i-1"}
	with := func(more ...string) map[string]string {
		out := map[string]string{"aws:userid": "AROA1:i-1"}
		for i := 0; i < len(more); i += 2 {
			out[policy.KeyName(more[i])] = more[i+1]
		}
		return out
	}
	allow := `{"Effect": "Allow", "Action": "*", "Resource": "*"}`
	for name, test := range map[string]struct {
		document string
		action   string
		context  map[string]string
		want     policy.Decision
	}{
		"allowed":               {statement(`{"Effect": "Allow", "Action": ["ssm:Get*"], "Resource": "arn:aws:ssm:*:*:parameter/kip/*"}`), "ssm:GetParameter", me, policy.Allow},
		"action's case":         {statement(`{"Effect": "Allow", "Action": "SSM:getparameter?", "Resource": "*"}`), "ssm:GetParameters", me, policy.Allow},
		"resource's case":       {statement(`{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:ssm:*:*:parameter/Kip/*"}`), "ssm:GetParameter", me, policy.ImplicitDeny},
		"another action":        {statement(`{"Effect": "Allow", "Action": "ssm:Get*", "Resource": "*"}`), "ssm:PutParameter", me, policy.ImplicitDeny},
		"another service":       {statement(`{"Effect": "Allow", "Action": "ssm:*", "Resource": "*"}`), "ec2:RunInstances", me, policy.ImplicitDeny},
		"deny wins":             {statement(allow + `, {"Effect": "Deny", "Action": "ssm:*", "Resource": "*"}`), "ssm:GetParameter", me, policy.ExplicitDeny},
		"deny wins before":      {statement(`{"Effect": "Deny", "Action": "ssm:*", "Resource": "*"}, ` + allow), "ssm:GetParameter", me, policy.ExplicitDeny},
		"not this action":       {statement(`{"Effect": "Allow", "NotAction": "ssm:Get*", "Resource": "*"}`), "ssm:GetParameter", me, policy.ImplicitDeny},
		"not another action":    {statement(`{"Effect": "Allow", "NotAction": "ec2:*", "Resource": "*"}`), "ssm:GetParameter", me, policy.Allow},
		"not this resource":     {statement(`{"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:ssm:*:*:parameter/kip/*"}`), "ssm:GetParameter", me, policy.ImplicitDeny},
		"one's own":             {own, "ssm:GetParameter", with("aws:ResourceTag/AWSUserID", "AROA1:i-1"), policy.Allow},
		"key's case":            {strings.Replace(own, "aws:ResourceTag/", "AWS:resourcetag/", 1), "ssm:GetParameter", with("aws:ResourceTag/AWSUserID", "AROA1:i-1"), policy.Allow},
		"tag's case":            {strings.Replace(own, "AWSUserID", "awsuserid", 1), "ssm:GetParameter", with("aws:ResourceTag/AWSUserID", "AROA1:i-1"), policy.ImplicitDeny},
		"another's":             {own, "ssm:GetParameter", with("aws:ResourceTag/AWSUserID", "AROA1:i-2"), policy.ImplicitDeny},
		"nobody's":              {own, "ssm:GetParameter", me, policy.ImplicitDeny},
		"no variables in 2008":  {strings.Replace(own, "2012-10-17", "2008-10-17", 1), "ssm:GetParameter", with("aws:ResourceTag/AWSUserID", "AROA1:i-1"), policy.ImplicitDeny},
		"a literal in 2008":     {strings.Replace(own, `"Version": "2012-10-17", `, "", 1), "ssm:GetParameter", with("aws:ResourceTag/AWSUserID", "${aws:userid}"), policy.Allow},
		"a variable's wildcard": {strings.Replace(own, "StringEquals", "StringLike", 1), "ssm:GetParameter", map[string]string{"aws:userid": "*", "aws:resourcetag/AWSUserID": "x"}, policy.ImplicitDeny},
		"variable in a resource": {statement(`{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:ssm:us-east-1:123456789012:parameter/kip/cells/${aws:userid}/*"}`),
			"ssm:GetParameter", map[string]string{"aws:userid": "i-1"}, policy.Allow},
		"variable without a value": {own, "ssm:GetParameter", map[string]string{"aws:resourcetag/AWSUserID": ""}, policy.ImplicitDeny},
	} {
		t.Run(name, func(t *testing.T) {
			got := policy.Judge([]policy.Policy{parse(t, test.document)}, policy.Request{Action: test.action, Resource: arn, Context: test.context})
			if got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
	if got := policy.Judge(nil, policy.Request{Action: "ssm:GetParameter", Resource: arn}); got != policy.ImplicitDeny {
		t.Errorf("without a policy: %v", got)
	}
}

// TestOperators: with the key's value a, b, none, in the order of IAM's table
// of what a missing key leads to.
func TestOperators(t *testing.T) {
	for operator, want := range map[string][3]bool{
		"StringEquals":            {true, false, false},
		"StringNotEquals":         {false, true, true},
		"StringLike":              {true, false, false},
		"StringNotLike":           {false, true, true},
		"StringEqualsIfExists":    {true, false, true},
		"StringNotEqualsIfExists": {false, true, true},
		"StringLikeIfExists":      {true, false, true},
		"StringNotLikeIfExists":   {false, true, true},
	} {
		p := parse(t, `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"`+operator+`": {"ssm:resourceTag/k": ["z", "a"]}}}}`)
		for i, context := range []map[string]string{{"ssm:resourcetag/k": "a"}, {"ssm:resourcetag/k": "b"}, {}} {
			if got := policy.Judge([]policy.Policy{p}, policy.Request{Action: "ssm:X", Resource: "*", Context: context}); (got == policy.Allow) != want[i] {
				t.Errorf("%s of %v: %v", operator, context, got)
			}
		}
	}
}

// TestRefused: what is not known is named.
func TestRefused(t *testing.T) {
	good := `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*", "Condition": {"StringEquals": {"aws:userid": "x"}}}]}`
	parse(t, good)
	for _, test := range []struct{ old, put, names string }{
		{good, "", "JSON object"},
		{good, good + "{}", "more follows"},
		{`"2012-10-17"`, `"2020-01-01"`, "2020-01-01"},
		{`"Version"`, `"version"`, "version"},
		{`"Effect": "Allow"`, `"Effect": "allow"`, "Effect"},
		{`"Effect": "Allow"`, `"Effect": "Allow", "Principal": "*"`, "Principal"},
		{`"Effect": "Allow"`, `"Effect": "Allow", "Effect": "Deny"`, "Effect: is there twice"},
		{`"Effect": "Allow", `, ``, "Effect"},
		{`"Action": "ssm:GetParameter", `, ``, "Action"},
		{`"Resource": "*", `, ``, "Resource"},
		{`"Resource": "*"`, `"Resource": "*", "NotResource": "*"`, "Resource"},
		{`"Resource": "*"`, `"Resource": "parameter/x"`, "parameter/x"},
		{`"Resource": "*"`, `"Resource": []`, "Resource"},
		{`"Resource": "*"`, `"Resource": [null]`, "Resource"},
		{`"Resource": "*"`, `"Resource": "arn:aws:ssm:*:*:parameter/${aws:username}"`, "${aws:username}"},
		{`"Resource": "*"`, `"Resource": "arn:aws:ssm:*:*:parameter/${aws:userid"`, "not closed"},
		{`ssm:GetParameter`, `GetParameter`, "GetParameter"},
		{`StringEquals`, `DateGreaterThan`, "DateGreaterThan"},
		{`StringEquals`, `ForAnyValue:StringEquals`, "ForAnyValue"},
		{`"aws:userid"`, `"aws:SourceIp"`, "aws:SourceIp"},
		{`"aws:userid"`, `"aws:ResourceTag/"`, "aws:ResourceTag/"},
		{`{"aws:userid": "x"}`, `{"aws:userid": 1}`, "aws:userid"},
	} {
		document := strings.Replace(good, test.old, test.put, 1)
		if _, err := policy.Parse([]byte(document)); err == nil || !strings.Contains(err.Error(), test.names) {
			t.Errorf("%s: %v, want an error that names %s", document, err, test.names)
		}
	}
}

// shipped is the policy for the roles of cells.
func shipped(t testing.TB) []byte {
	t.Helper()
	document, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "iam", "cells.json"))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestShippedForCells(t *testing.T) {
	cells := parse(t, string(shipped(t)))
	everything := parse(t, `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`)
	const parameter = "arn:aws:ssm:us-east-1:123456789012:parameter"
	for _, test := range []struct {
		action, resource, owner string
		want, wide              policy.Decision // alone, and beside a policy that allows all
	}{
		{"ssm:GetParameter", "/kip/cells/i-1/config", "AROA1:i-1", policy.Allow, policy.Allow},
		{"ssm:GetParameters", "/kip/cells/i-1/config-0", "AROA1:i-1", policy.Allow, policy.Allow},
		{"ssm:GetParameter", "/kip/cells/i-2/config", "AROA1:i-2", policy.ExplicitDeny, policy.ExplicitDeny},
		{"ssm:GetParameter", "/kip/cells/i-1/config", "", policy.ExplicitDeny, policy.ExplicitDeny},
		{"ssm:GetParameterHistory", "/kip/cells/i-1/config", "AROA1:i-1", policy.ExplicitDeny, policy.ExplicitDeny},
		{"ssm:PutParameter", "/kip/cells/i-1/config", "AROA1:i-1", policy.ExplicitDeny, policy.ExplicitDeny},
		{"ssm:AddTagsToResource", "/kip/cells/i-2/config", "AROA1:i-2", policy.ExplicitDeny, policy.ExplicitDeny},
		{"ssm:GetParametersByPath", "/kip/cells/i-1", "", policy.ExplicitDeny, policy.ExplicitDeny},
		{"ssm:GetParametersByPath", "/kip/cells", "", policy.ExplicitDeny, policy.ExplicitDeny},
		{"ssm:GetParametersByPath", "/kip", "", policy.ExplicitDeny, policy.ExplicitDeny},
		{"ssm:GetParametersByPath", "/", "", policy.ExplicitDeny, policy.ExplicitDeny},
		{"ssm:GetParametersByPath", "/others", "", policy.ImplicitDeny, policy.Allow},
		{"ssm:GetParameter", "/others/x", "", policy.ImplicitDeny, policy.Allow},
	} {
		r := policy.Request{Action: test.action, Resource: parameter + test.resource, Context: map[string]string{"aws:userid": "AROA1:i-1"}}
		if test.owner != "" {
			r.Context["aws:resourcetag/AWSUserID"] = test.owner
		}
		if got := policy.Judge([]policy.Policy{cells}, r); got != test.want {
			t.Errorf("%s of %s: %v, want %v", test.action, test.resource, got, test.want)
		}
		if got := policy.Judge([]policy.Policy{everything, cells}, r); got != test.wide {
			t.Errorf("%s of %s, all else allowed: %v, want %v", test.action, test.resource, got, test.wide)
		}
	}
}

// FuzzParse: no document makes the parser or the judge fall over, and one that
// has no statement that allows never allows.
func FuzzParse(f *testing.F) {
	f.Add([]byte(own), "ssm:GetParameter", "arn:aws:ssm:r:1:parameter/x", "a")
	f.Add(shipped(f), "ssm:GetParametersByPath", "arn:aws:ssm:r:1:parameter/kip/cells", "${*}")
	f.Add([]byte(`{"Statement":{"Effect":"Deny","NotAction":"a:*?*","NotResource":["arn:a:b:::*?"]}}`), "", "", "")
	f.Fuzz(func(t *testing.T, document []byte, action, resource, value string) {
		p, err := policy.Parse(document)
		if err != nil {
			return
		}
		r := policy.Request{Action: action, Resource: resource, Context: map[string]string{"aws:userid": value, "aws:resourcetag/AWSUserID": value}}
		decision := policy.Judge([]policy.Policy{p}, r)
		for i := range p.Statements {
			if p.Statements[i].Allow {
				return
			}
		}
		if decision == policy.Allow {
			t.Errorf("allowed by %s", document)
		}
	})
}
