package virtualnode

import (
	"fmt"
	"regexp"
	"runtime/debug"

	"k8s.io/apimachinery/pkg/util/version"
)

// KubeletVersion is what the nodes say as their kubelet's version: that of the
// Kubernetes whose kubelet API the operator serves, with the operator's own
// version as build metadata, such as v1.36.3+kip.1.2.0. What reads it compares
// it with the API server's, than which no kubelet may be newer: so it is the
// lower of the two.
//
// Server is the API server's version, as it spells it; own the operator's.
func KubeletVersion(server, own string) (string, error) {
	is, err := version.ParseGeneric(server)
	if err != nil {
		return "", fmt.Errorf("reading the API server's version %q: %w", server, err)
	}
	if built, err := version.ParseGeneric(builtFor()); err == nil && built.LessThan(is) {
		is = built
	}
	return fmt.Sprintf("v%d.%d.%d+kip.%s", is.Major(), is.Minor(), is.Patch(), metadata(own)), nil
}

// builtFor is the Kubernetes version of the libraries; empty where the program
// does not know what it was built from, as in tests.
func builtFor() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, module := range build.Deps {
		if module.Path == "k8s.io/api" {
			return libraryOf(module.Version)
		}
	}
	return ""
}

// libraryOf is the Kubernetes version of a library's: v0.36.1 is of v1.36.1.
func libraryOf(module string) string {
	v, err := version.ParseGeneric(module)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("v1.%d.%d", v.Minor(), v.Patch())
}

// metadata makes of a version what semantic versions have behind their plus sign.
func metadata(own string) string {
	text := regexp.MustCompile(`[^0-9A-Za-z.-]+`).ReplaceAllString(own, "-")
	text = regexp.MustCompile(`^v([0-9])`).ReplaceAllString(text, "$1")
	if text == "" {
		return "dev"
	}
	return text
}
