package aws

import (
	"strings"
	"testing"
)

func TestCheckCredentials(t *testing.T) {
	quietEnvironment(t)
	check := func() error {
		c, err := New(t.Context(), Options{Region: "us-east-1"})
		if err != nil {
			t.Fatal(err)
		}
		return c.CheckCredentials(t.Context())
	}
	if err := check(); err != nil {
		t.Errorf("with credentials: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if err := check(); err == nil || !strings.Contains(err.Error(), "set AWS_PROFILE, or AWS_ACCESS_KEY_ID") {
		t.Errorf("without credentials: %v", err)
	}
}
