package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/internal/agent"
)

var _ agent.Power = (*Power)(nil)

func TestSilenceIsKept(t *testing.T) {
	dir := t.TempDir()
	p := &Power{dir: dir}
	if note, err := p.LoadSilence(); note != nil || err != nil {
		t.Fatalf("without a note: %q, %v", note, err)
	}
	for _, note := range []string{"first", "second"} {
		if err := p.SaveSilence([]byte(note)); err != nil {
			t.Fatal(err)
		}
	}
	if note, err := (&Power{dir: dir}).LoadSilence(); string(note) != "second" || err != nil {
		t.Errorf("%q, %v", note, err)
	}
}

func TestUptimeGrows(t *testing.T) {
	p := &Power{}
	first := p.Uptime()
	for p.Uptime() <= first {
		t.Log("not yet")
	}
}

// TestPowerOffCommands: the first that is there and works is run, and no other.
func TestPowerOffCommands(t *testing.T) {
	const works, fails = "#!/bin/sh\necho ${0##*/} $* >>$LOG\n", "#!/bin/sh\necho ${0##*/} $* >>$LOG\necho it is broken\nexit 3\n"
	for name, test := range map[string]struct {
		systemd  bool
		programs map[string]string
		ran      string
		err      []string
	}{
		"systemd":         {true, map[string]string{"systemctl": works, "poweroff": works}, "systemctl poweroff\n", nil},
		"systemd refuses": {true, map[string]string{"systemctl": fails, "poweroff": works}, "systemctl poweroff\npoweroff\n", nil},
		"no systemd":      {false, map[string]string{"systemctl": works, "poweroff": works, "shutdown": works}, "poweroff\n", nil},
		"shutdown only":   {false, map[string]string{"shutdown": works}, "shutdown -h now\n", nil},
		"busybox only":    {false, map[string]string{"busybox": works}, "busybox poweroff\n", nil},
		"none works":      {false, map[string]string{"poweroff": fails, "halt": fails}, "poweroff\nhalt -p\n", []string{"poweroff: exit status 3", "halt -p", "it is broken"}},
		"nothing there":   {true, nil, "", []string{"there is no command"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			log := filepath.Join(dir, "log")
			t.Setenv("LOG", log)
			for program, script := range test.programs {
				if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			err := powerOff(t.Context(), offCommands(test.systemd), []string{filepath.Join(dir, "nowhere"), dir})
			if (err != nil) != (test.err != nil) {
				t.Fatalf("error %v", err)
			}
			for _, want := range test.err {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			ran, _ := os.ReadFile(log)
			if diff := cmp.Diff(test.ran, strings.ReplaceAll(string(ran), " \n", "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
