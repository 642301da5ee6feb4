package ssm

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/iam"
	"kip.elotl.co/hack/localaws/service"
)

// FuzzService: whatever a body says, it is answered, or refused with a code;
// and the journal shows no value.
func FuzzService(f *testing.F) {
	f.Add(0, []byte(`{"Name": "/kip/a", "Value": "v", "Type": "SecureString", "Tier": "Intelligent-Tiering", "Tags": [{"Key": "k", "Value": "v"}]}`))
	f.Add(1, []byte(`{"Path": "/", "Recursive": true, "MaxResults": 1, "NextToken": "YQ", "ParameterFilters": [{"Key": "tag:k", "Option": "Equals"}]}`))
	f.Add(2, []byte(`{"Names": ["/kip/a:1", "a"], "WithDecryption": true}`))
	f.Add(3, []byte(`{"Filters": [{"Key": "Name", "Values": ["x"]}]}`))
	clock := testclock.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	roles, err := iam.Open(iam.Config{Account: "123456789012", Dir: f.TempDir(), Clock: clock})
	if err != nil {
		f.Fatal(err)
	}
	store, err := Open(Config{Region: "us-east-1", Account: "123456789012", Public: map[string]string{"/aws/service/x": "ami-1"}, Dir: f.TempDir(), Clock: clock})
	if err != nil {
		f.Fatal(err)
	}
	caller, err := roles.Identify("AKIDLOCAL", "")
	if err != nil {
		f.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(actions()))
	f.Fuzz(func(t *testing.T, n int, body []byte) {
		action := names[uint(n)%uint(len(names))]
		_, err := store.Service().Handle(t.Context(), service.Request{Caller: caller, Action: action, Body: body})
		if refused := (*awserr.Error)(nil); err != nil && !errors.As(err, &refused) {
			t.Errorf("%s %s: %v", action, body, err)
		}
		if shown := show(body); shown["Value"] != "" {
			t.Errorf("%s shows %q", body, shown["Value"])
		}
	})
}
