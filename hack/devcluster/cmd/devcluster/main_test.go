package main

import (
	"testing"

	"kip.elotl.co/hack/proc"
)

func TestRunRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"no command":      {"-dir", dir, "-bin", dir},
		"unknown command": {"-dir", dir, "-bin", dir, "restart"},
		"unknown flag":    {"-nonsense", "down"},
		"no address":      {"-dir", dir, "-bin", dir, "-address", "nonsense", "up"},
		"no repository":   {"-dir", dir, "-bin", dir, "-root", dir, "up"},
	} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if names, err := proc.Names(dir); err != nil || len(names) > 0 {
		t.Errorf("processes %v, %v", names, err)
	}
}

func TestDownOfNothing(t *testing.T) {
	if err := run(t.Context(), []string{"-dir", t.TempDir(), "down"}); err != nil {
		t.Error(err)
	}
}
