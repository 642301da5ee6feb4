package aws_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/imds"
	"kip.elotl.co/internal/agent/aws"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/test/fixture"
)

const (
	registryHost = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
	mayPull      = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}}`
	mayNot       = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ecr:BatchGetImage", "Resource": "*"}}`
)

// instance is one that asks from this machine.
type instance struct {
	cloud *fixture.Cloud
	clock *testclock.FakePassiveClock
	spec  boot.Spec
	*aws.Registries
}

func newInstance(t *testing.T, profile string) *instance {
	cloud := fixture.NewCloud(t)
	i := &instance{cloud: cloud, clock: testclock.NewFakePassiveClock(time.Now()), spec: boot.Spec{
		InstanceID: "i-0123456789abcdef0", Region: fixture.Region, Metadata: boot.MetadataOptions{TokensRequired: true, HopLimit: 1},
	}}
	if profile != "" {
		i.spec.InstanceProfileARN = "arn:aws:iam::123456789012:instance-profile/" + profile
	}
	metadata := httptest.NewServer(imds.New(i, time.Now).WithRoles(cloud.Account.Roles))
	t.Cleanup(metadata.Close)
	i.Registries = aws.NewRegistries(aws.RegistriesOptions{Endpoint: cloud.URL, MetadataEndpoint: metadata.URL, Clock: i.clock})
	return i
}

// BySourceIP implements imds.Source.
func (i *instance) BySourceIP(netip.Addr) (boot.Spec, imds.Role, bool) {
	return i.spec, imds.Primary, true
}

func (i *instance) allow(t *testing.T, role, policy string) {
	t.Helper()
	if err := i.cloud.Account.Roles.Configure(role, policy); err != nil {
		t.Fatal(err)
	}
}

func (i *instance) asked() int { return len(i.cloud.Journal.Since(0, "GetAuthorizationToken")) }

// Many pulls need one token, until shortly before it expires.
func TestRegistryCredentials(t *testing.T) {
	i := newInstance(t, "cells")
	i.allow(t, "cells", mayPull)
	want := itzo.RegistryCredentials{Username: "AWS", Password: i.cloud.Account.Registry.Password}
	get := func() {
		if got, err := i.Credentials(t.Context(), registryHost); err != nil || got == nil || *got != want {
			t.Errorf("%v", err)
		}
	}
	var pulls sync.WaitGroup
	for range 20 {
		pulls.Go(get)
	}
	pulls.Wait()
	i.clock.SetTime(i.clock.Now().Add(11*time.Hour + 29*time.Minute))
	get()
	if n := i.asked(); n != 1 {
		t.Errorf("%d tokens, want 1", n)
	}
	i.clock.SetTime(i.clock.Now().Add(2 * time.Minute))
	get()
	get()
	// The emulator's clock has not been moved: the new token is as old as the first.
	if n := i.asked(); n != 3 {
		t.Errorf("%d tokens, want 3", n)
	}
	for _, host := range []string{"docker.io", "public.ecr.aws", "registry.example:5000"} {
		if got, err := i.Credentials(t.Context(), host); got != nil || err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if n := i.asked(); n != 3 {
		t.Errorf("%d tokens, want 3: other registries are none of ECR's business", n)
	}
}

// Errors name what lacks, and do not stay when that comes.
func TestRegistryCredentialsLacking(t *testing.T) {
	t.Run("action", func(t *testing.T) {
		i := newInstance(t, "cells")
		i.allow(t, "cells", mayNot)
		_, err := i.Credentials(t.Context(), registryHost)
		want := "the role of the cell's instance profile lacks ecr:GetAuthorizationToken: User: arn:aws:sts::123456789012:assumed-role/cells/i-0123456789abcdef0 is not authorized"
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v", err)
		}
		i.allow(t, "cells", mayPull)
		if got, err := i.Credentials(t.Context(), registryHost); got == nil || err != nil {
			t.Errorf("once it is allowed: %v", err)
		}
	})
	for what, test := range map[string]struct {
		profile string
		change  func(*instance)
		want    string
	}{
		"profile": {"", func(*instance) {}, "the cell has no instance profile: the class's defaultIAMPermissions has to name one whose role allows ecr:GetAuthorizationToken"},
		"role":    {"gone", func(*instance) {}, "the cell has no instance profile: "},
		"metadata": {"cells", func(i *instance) { i.spec.Metadata.Disabled = true },
			"asking the instance's metadata for the credentials of its role: "},
	} {
		t.Run(what, func(t *testing.T) {
			i := newInstance(t, test.profile)
			test.change(i)
			if got, err := i.Credentials(t.Context(), registryHost); got != nil || err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
			if i.asked() > 0 {
				t.Error("ECR was asked without credentials")
			}
		})
	}
}

// What is no token is told of without what it holds.
func TestRegistryTokenThatIsNone(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                          "there is none",
		`{"authorizationData": []}`:   "there is none",
		`{"authorizationData": [{}]}`: "it is not user:password",
		`{"authorizationData": [{"authorizationToken": "not base64"}]}`: "it is not base64",
		`{"authorizationData": [{"authorizationToken": "QVdT"}]}`:       "it is not user:password",
		`{"authorizationData": [{"authorizationToken": "QVdTOg=="}]}`:   "it is not user:password",
		`{"authorizationData": 3`:                                       "asking ECR in us-east-1 for a token",
	} {
		i := newInstance(t, "cells")
		i.allow(t, "cells", mayPull)
		ecr := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			_, _ = w.Write([]byte(body))
		}))
		metadata := httptest.NewServer(imds.New(i, time.Now).WithRoles(i.cloud.Account.Roles))
		registries := aws.NewRegistries(aws.RegistriesOptions{Endpoint: ecr.URL, MetadataEndpoint: metadata.URL, Clock: i.clock})
		if got, err := registries.Credentials(t.Context(), registryHost); got != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
		ecr.Close()
		metadata.Close()
	}
}
