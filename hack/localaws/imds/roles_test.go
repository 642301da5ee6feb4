package imds

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"kip.elotl.co/hack/localaws/iam"
)

// An instance gets the credentials of its profile's role, and a pod does where
// the hop limit lets it.
func TestRoleCredentials(t *testing.T) {
	now := testclock.NewFakePassiveClock(time.Date(2026, 11, 20, 10, 20, 0, 0, time.UTC))
	store, err := iam.Open(iam.Config{Account: "123456789012", Profiles: []string{"p"}, Dir: t.TempDir(), Clock: now})
	if err != nil {
		t.Fatal(err)
	}
	open := specFor("i-2", "10.0.0.7", "10.0.0.8")
	open.Metadata.HopLimit = 2
	without := specFor("i-3", "10.0.0.9")
	without.InstanceProfileARN = ""
	s := New(fleet{specFor("i-1", "10.0.0.5", "10.0.0.6"), open, without}, now.Now).WithRoles(store)
	get := func(from, path string) reply {
		return do(s, http.MethodGet, "/latest/meta-data/iam/"+path, from, headerToken, token(t, s, from))
	}
	if got := get("10.0.0.5", "security-credentials/"); got.code != http.StatusOK || got.body != "p" {
		t.Errorf("roles: %+v", got)
	}
	credentials := func(from string) map[string]string {
		got := get(from, "security-credentials/p")
		out := map[string]string{}
		if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.code != http.StatusOK {
			t.Fatalf("%+v: %v", got, err)
		}
		return out
	}
	first := credentials("10.0.0.5")
	if first["Code"] != "Success" || first["Type"] != "AWS-HMAC" || first["LastUpdated"] != "2026-11-20T10:00:00Z" || first["Expiration"] != "2026-11-20T17:00:00Z" {
		t.Errorf("credentials %v", first)
	}
	caller, err := store.Identify(first["AccessKeyId"], first["Token"])
	role, _ := store.Role("p")
	if err != nil || caller.UserID() != role.ID+":i-1" {
		t.Errorf("they are of %s, %v", caller.UserID(), err)
	}
	if pod := credentials("10.0.0.8"); pod["AccessKeyId"] == first["AccessKeyId"] {
		t.Error("two instances have the same credentials")
	}
	if got := do(s, http.MethodGet, "/latest/meta-data/iam/security-credentials/p", "10.0.0.6", headerToken, "x"); got.code != http.StatusForbidden {
		t.Errorf("a pod behind hop limit 1: %+v", got)
	}
	if got := get("10.0.0.9", "security-credentials/"); got.code != http.StatusNotFound {
		t.Errorf("without a profile: %+v", got)
	}
	var info map[string]string
	if err := json.Unmarshal([]byte(get("10.0.0.5", "info").body), &info); err != nil || info["InstanceProfileId"] == "" {
		t.Errorf("info %v, %v", info, err)
	}
	now.SetTime(now.Now().Add(2 * time.Hour))
	if again := credentials("10.0.0.5"); again["AccessKeyId"] == first["AccessKeyId"] {
		t.Error("the credentials are not renewed")
	}
}
