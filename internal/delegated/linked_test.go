package delegated_test

import (
	"os/exec"
	"strings"
	"testing"
)

// Packages that the operator must not link, because their use makes the
// linker keep every exported method of all packages: the program becomes more
// than twice as large, on disk and in memory.
func TestLinked(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "kip.elotl.co").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dependency := range strings.Lines(string(out)) {
		switch dependency = strings.TrimSpace(dependency); dependency {
		case "text/template", "html/template":
			t.Errorf("the operator depends on %s", dependency)
		}
	}
}
