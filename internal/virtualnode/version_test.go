package virtualnode

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/version"
)

// TestKubeletVersion: it is one that Kubernetes' own tools can read, and equal
// to the version of Kubernetes that it names.
func TestKubeletVersion(t *testing.T) {
	for _, test := range []struct{ server, own, want string }{
		{"v1.36.3", "v1.2.0", "v1.36.3+kip.1.2.0"},
		{"v1.33.1-eks-ae6a7bf", "v1.2.0-4-gabcdef0-dirty", "v1.33.1+kip.1.2.0-4-gabcdef0-dirty"},
		{"v1.34.0+k3s1", "dev", "v1.34.0+kip.dev"},
		{"v1.34.2", "", "v1.34.2+kip.dev"},
		{"v1.34.2", "my build/7", "v1.34.2+kip.my-build-7"},
	} {
		got, err := KubeletVersion(test.server, test.own)
		if err != nil || got != test.want {
			t.Errorf("%s, %s: %q, %v; want %q", test.server, test.own, got, err, test.want)
		}
		parsed, err := version.ParseSemantic(got)
		if err != nil {
			t.Errorf("%s cannot be read: %v", got, err)
			continue
		}
		plain := version.MustParseSemantic("v" + version.MustParseGeneric(test.server).String())
		if parsed.LessThan(plain) || plain.LessThan(parsed) {
			t.Errorf("%s is not equal to %s", got, plain)
		}
	}
	if got, err := KubeletVersion("soon", "v1"); err == nil {
		t.Errorf("of no version: %q", got)
	}
}

func TestLibraryOf(t *testing.T) {
	for module, want := range map[string]string{"v0.37.2": "v1.37.2", "v0.38.0-alpha.1": "v1.38.0", "(devel)": "", "": ""} {
		if got := libraryOf(module); got != want {
			t.Errorf("%s: %q, want %q", module, got, want)
		}
	}
}
