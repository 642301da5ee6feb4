package ecr

import (
	"errors"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/iam"
	"kip.elotl.co/hack/localaws/service"
)

// FuzzService: whatever a body says, it is answered, or refused with a code.
func FuzzService(f *testing.F) {
	f.Add([]byte(`{"registryIds": ["123456789012"]}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"registryIds": null, "other": 1}`))
	clock := testclock.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	roles, err := iam.Open(iam.Config{Account: "123456789012", Dir: f.TempDir(), Clock: clock})
	if err != nil {
		f.Fatal(err)
	}
	caller, err := roles.Identify("AKIDLOCAL", "")
	if err != nil {
		f.Fatal(err)
	}
	registry := Config{Region: "us-east-1", Account: "123456789012", Password: "p", Clock: clock}.Service()
	f.Fuzz(func(t *testing.T, body []byte) {
		_, err := registry.Handle(t.Context(), service.Request{Caller: caller, Action: "GetAuthorizationToken", Body: body})
		if refused := (*awserr.Error)(nil); err != nil && !errors.As(err, &refused) {
			t.Errorf("%s: %v", body, err)
		}
		registry.Show(body)
	})
}
