package main

import (
	"slices"
	"strings"
)

// translate makes of a command line of the first Kip's agents and their launchers
// one of this agent's: long flags with one dash get two, and -port becomes
// --listen. ignored are those flags of old agents that have no meaning here.
func translate(args []string) (translated, ignored []string) {
	for len(args) > 0 {
		name, value, given := flagOf(args[0])
		switch {
		case name == "":
			translated, args = append(translated, args[0]), args[1:]
		case slices.Contains(oldSwitches(), name):
			ignored, args = append(ignored, args[0]), args[1:]
			// Launchers know flags with a value only.
			if !given && len(args) > 0 && (args[0] == "true" || args[0] == "false") {
				args = args[1:]
			}
		case slices.Contains(oldValues(), name) || name == "port":
			old := args[0]
			args = args[1:]
			if !given && len(args) > 0 {
				value, args = args[0], args[1:]
			}
			if name == "port" {
				translated = append(translated, "--listen", "0.0.0.0:"+value)
			} else {
				ignored = append(ignored, old)
			}
		case len(name) > 1:
			translated, args = append(translated, "--"+strings.TrimLeft(args[0], "-")), args[1:]
		default:
			translated, args = append(translated, args[0]), args[1:]
		}
	}
	return translated, ignored
}

// flagOf takes an argument apart; the name is empty when it is no flag.
func flagOf(arg string) (name, value string, given bool) {
	if !strings.HasPrefix(arg, "-") {
		return "", "", false
	}
	return strings.Cut(strings.TrimLeft(arg, "-"), "=")
}

// oldSwitches are flags of old agents without a value, oldValues those with one.
func oldSwitches() []string {
	return []string{"disable-tls", "use-podman", "use-anka", "logtostderr", "alsologtostderr"}
}

func oldValues() []string {
	return []string{"rootdir", "stderrthreshold", "vmodule", "log_dir", "log_backtrace_at"}
}
