package aws

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/ssm"
	"kip.elotl.co/internal/cloud"
)

const cellPath = "/kip/cells/i-0123456789abcdef0"

// stored are the account's parameters by name.
func (e *emulator) stored() map[string]ssm.Parameter {
	out := map[string]ssm.Parameter{}
	for _, p := range e.account.Parameters.List() {
		out[p.Name] = p
	}
	return out
}

func TestPutSecret(t *testing.T) {
	e := newEmulator(t)
	secret := cloud.Secret{Name: cellPath + "/config", Value: "first", Tags: map[string]string{"AWSUserID": "AROA:i-1"}}
	for _, value := range []string{"first", "second"} {
		secret.Value = value
		secret.Tags["Value"] = value
		if err := e.PutSecret(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		is := e.stored()[secret.Name]
		if is.Latest().Value != value || is.Type != "SecureString" || !maps.Equal(is.Tags, secret.Tags) {
			t.Errorf("stored %+v, want %+v", is, secret)
		}
	}
	secret.Value = strings.Repeat("x", 8193)
	wantKind(t, e.PutSecret(t.Context(), secret), cloud.KindInvalid, "ValidationException")
}

// TestPutSecretInPlaceOfAnother: what somebody has left there goes, whatever its
// type, and is never given the tags that let the cell read it.
func TestPutSecretInPlaceOfAnother(t *testing.T) {
	e := newEmulator(t)
	for _, kind := range []types.ParameterType{types.ParameterTypeString, types.ParameterTypeStringList, types.ParameterTypeSecureString} {
		secret := cloud.Secret{Name: cellPath + "/of-" + string(kind), Value: "ours", Tags: map[string]string{"AWSUserID": "AROA:i-1"}}
		_, err := e.ssm.PutParameter(t.Context(), &awsssm.PutParameterInput{Name: &secret.Name, Value: new("somebody's"), Type: kind})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.PutSecret(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		is := e.stored()[secret.Name]
		if len(is.Versions) != 1 || is.Latest().Value != "ours" || is.Type != "SecureString" || !maps.Equal(is.Tags, secret.Tags) {
			t.Errorf("stored %+v", is)
		}
	}
	if n := len(e.calls("AddTagsToResource")); n != 0 {
		t.Errorf("%d times another's value was tagged", n)
	}
}

// TestPutSecretStillThere: what Parameter Store shows after its deletion is no
// reason to give up.
func TestPutSecretStillThere(t *testing.T) {
	e := newEmulator(t)
	e.plan(t, faults.Plan{Errors: []faults.Refusal{{Action: "PutParameter", Code: "ParameterAlreadyExists", Count: 2}}})
	secret := cloud.Secret{Name: cellPath + "/config", Value: "x"}
	wantKind(t, e.PutSecret(t.Context(), secret), cloud.KindTransient, "ParameterAlreadyExists")
	if err := e.PutSecret(t.Context(), secret); err != nil {
		t.Error(err)
	}
}

func TestPutSecretRefused(t *testing.T) {
	e := newEmulator(t)
	secret := cloud.Secret{Name: cellPath + "/config", Value: "x"}
	e.plan(t, faults.Plan{Errors: []faults.Refusal{{Action: "PutParameter", Code: "AccessDeniedException"}}})
	wantKind(t, e.PutSecret(t.Context(), secret), cloud.KindUnauthorized, "AccessDeniedException")
	if action := cloud.MissingAction(e.PutSecret(t.Context(), secret)); action != "ssm:PutParameter" {
		t.Errorf("the missing action is %q", action)
	}
}

func TestDeleteSecrets(t *testing.T) {
	e := newEmulator(t)
	if err := e.DeleteSecrets(t.Context(), []string{cellPath + "/config"}); err != nil {
		t.Errorf("of what is not there: %v", err)
	}
	const other = "/kip/cells/i-0123456789abcdef00/config"
	names := []string{other}
	for i := range 11 {
		names = append(names, fmt.Sprintf("%s/config-%d", cellPath, i))
	}
	for _, name := range names {
		if err := e.PutSecret(t.Context(), cloud.Secret{Name: name, Value: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	listed, err := e.SecretsBelow(t.Context(), cellPath)
	if err != nil || len(listed) != 11 {
		t.Fatalf("%v, %v", listed, err)
	}
	var found []string
	for _, one := range listed {
		found = append(found, one.Name)
		if one.Version != 1 || one.Modified.IsZero() {
			t.Errorf("listed as %+v", one)
		}
	}
	if err := e.DeleteSecrets(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	if left := slices.Collect(maps.Keys(e.stored())); !slices.Equal(left, []string{other}) {
		t.Errorf("left are %v", left)
	}
}

func TestPublicParameters(t *testing.T) {
	e := newEmulator(t)
	const name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
	got, err := e.Parameters(t.Context(), []string{name})
	if err != nil || !strings.HasPrefix(got[name], "ami-") {
		t.Errorf("%v, %v", got, err)
	}
	_, err = e.Parameters(t.Context(), []string{name, "/aws/service/none"})
	wantKind(t, err, cloud.KindNotFound, "")
	if missing := (*cloud.Error)(nil); !errors.As(err, &missing) || missing.Subject != "/aws/service/none" {
		t.Errorf("error %+v", err)
	}
}

func TestInstanceProfile(t *testing.T) {
	e := newEmulator(t)
	byName, err := e.InstanceProfile(t.Context(), "web")
	if err != nil || byName.Name != "web" || !strings.HasPrefix(byName.RoleID, "AROA") || !strings.HasSuffix(byName.ARN, ":instance-profile/web") {
		t.Fatalf("%+v, %v", byName, err)
	}
	if byARN, err := e.InstanceProfile(t.Context(), byName.ARN); err != nil || byARN != byName {
		t.Errorf("%+v, %v", byARN, err)
	}
	for _, name := range []string{"nobodys", "arn:aws:iam::999999999999:instance-profile/web"} {
		_, err := e.InstanceProfile(t.Context(), name)
		if !cloud.IsNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	e := newEmulator(t)
	for name, cluster := range map[string]string{
		"/kip/cells/i-1/config-0": "ours", "/kip/cells/i-1/config-1": "ours", "/kip/cells/i-2/config": "theirs", "/kip/other": "ours",
	} {
		if err := e.PutSecret(t.Context(), cloud.Secret{Name: name, Value: "x", Tags: map[string]string{"cluster": cluster}}); err != nil {
			t.Fatal(err)
		}
	}
	found, err := e.Secrets(t.Context(), "/kip/cells", map[string]string{"cluster": "ours"})
	if err != nil || len(found) != 2 || found[0].Name != "/kip/cells/i-1/config-0" || found[1].Name != "/kip/cells/i-1/config-1" || found[0].Modified.IsZero() {
		t.Errorf("%+v, %v", found, err)
	}
}
