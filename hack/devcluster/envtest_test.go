package devcluster

import (
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// TestEnvtest shows that bin/ serves as KUBEBUILDER_ASSETS.
func TestEnvtest(t *testing.T) {
	log.SetLogger(logr.Discard())
	env := &envtest.Environment{BinaryAssetsDirectory: must[string](t)(filepath.Abs(executables(t)))}
	config, err := env.Start()
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clientFor(t, config).CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}
