package enter

import (
	"strings"
	"testing"
)

func TestOverlayRefusesPathsThatItCannotName(t *testing.T) {
	for _, path := range []string{"/a,b", "/a:b", `/a\b`} {
		for _, cfg := range []Config{{Upper: path, Work: "/w"}, {Upper: "/u", Work: path}} {
			if err := overlay(cfg); err == nil || !strings.Contains(err.Error(), "cannot be in it") {
				t.Errorf("%+v: %v", cfg, err)
			}
		}
	}
}

func TestSystemMountsComeParentsFirst(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range systemMounts() {
		if parent, _, nested := strings.Cut(m.target, "/"); nested && !seen[parent] {
			t.Errorf("%s is mounted before %s", m.target, parent)
		}
		seen[m.target] = true
	}
}
