package firstboot

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestImageEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "environment")
	if got := imageEnvironment(path); got != nil {
		t.Errorf("without a file: %q", got)
	}
	if err := os.WriteFile(path, []byte("# A=comment\nAWS_ENDPOINT_URL_ECR=http://10.0.0.1:4566/?a=b\n\n=none\nnothing\nLAST=1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"AWS_ENDPOINT_URL_ECR=http://10.0.0.1:4566/?a=b", "LAST=1"}, imageEnvironment(path)); diff != "" {
		t.Error(diff)
	}
}
