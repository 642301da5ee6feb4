// Package cgroups makes one control group per cell in every hierarchy of the
// host, as a child of this process's own group, on hosts with version 1
// hierarchies (hybrid) and with version 2 alone.
package cgroups

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Hierarchy is one cgroup hierarchy that cells take part in.
type Hierarchy struct {
	// Name is the directory's name under /sys/fs/cgroup; empty for version 2.
	Name string `json:"name"`
	// Options mount it: controllers, or none,name=systemd. Empty for version 2.
	Options string `json:"options"`
	// Controllers are those of version 1; empty for systemd's and version 2.
	Controllers []string `json:"controllers"`
	// Own is the directory of this process's group.
	Own string `json:"own"`
}

// Layout is what the host has.
type Layout struct {
	// Unified says that version 2 holds the controllers. Otherwise its
	// hierarchy, if there is one, is left alone.
	Unified     bool
	Hierarchies []Hierarchy
}

// Detect reads this process's groups and where their hierarchies are mounted.
func Detect() (Layout, error) {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return Layout{}, fmt.Errorf("reading this process's cgroups: %w", err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Layout{}, fmt.Errorf("reading the mounts: %w", err)
	}
	return parse(groups, mounts)
}

// mount is one line of mountinfo of type cgroup or cgroup2.
type mount struct {
	root, point string
	v2          bool
	options     []string // of the superblock
}

func parse(groups, mountinfo []byte) (Layout, error) {
	mounts := parseMounts(mountinfo)
	var v1 []Hierarchy
	var v2 *Hierarchy
	scan := bufio.NewScanner(bytes.NewReader(groups))
	for scan.Scan() {
		fields := strings.SplitN(scan.Text(), ":", 3)
		if len(fields) != 3 {
			return Layout{}, fmt.Errorf("%q in /proc/self/cgroup", scan.Text())
		}
		m, ok := find(mounts, fields[1])
		if !ok {
			continue
		}
		h := Hierarchy{Own: ownDir(m, fields[2])}
		if m.v2 {
			v2 = &h
			continue
		}
		h.Name, h.Options = filepath.Base(m.point), fields[1]
		if strings.HasPrefix(fields[1], "name=") {
			h.Options = "none," + fields[1]
		} else {
			h.Controllers = strings.Split(fields[1], ",")
		}
		v1 = append(v1, h)
	}
	switch {
	case slices.ContainsFunc(v1, func(h Hierarchy) bool { return slices.Contains(h.Controllers, "memory") }):
		return Layout{Hierarchies: v1}, nil
	case v2 != nil:
		return Layout{Unified: true, Hierarchies: []Hierarchy{*v2}}, nil
	default:
		return Layout{}, errors.New("no cgroup hierarchy with a memory controller is mounted")
	}
}

// parseMounts reads proc_pid_mountinfo(5).
func parseMounts(mountinfo []byte) []mount {
	var mounts []mount
	scan := bufio.NewScanner(bytes.NewReader(mountinfo))
	for scan.Scan() {
		before, after, ok := strings.Cut(scan.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 || !strings.HasPrefix(right[0], "cgroup") {
			continue
		}
		mounts = append(mounts, mount{
			root: unescape(left[3]), point: unescape(left[4]), v2: right[0] == "cgroup2", options: strings.Split(right[2], ","),
		})
	}
	return mounts
}

// unescape undoes mountinfo's octal escapes of blanks and backslashes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// find is the mount of the hierarchy with these controllers; an empty list is
// version 2.
func find(mounts []mount, controllers string) (mount, bool) {
	for _, m := range mounts {
		if controllers == "" {
			if m.v2 {
				return m, true
			}
			continue
		}
		all := !m.v2
		for c := range strings.SplitSeq(controllers, ",") {
			all = all && slices.Contains(m.options, c)
		}
		if all {
			return m, true
		}
	}
	return mount{}, false
}

// ownDir is where a group of that path is visible. A path outside what is
// mounted (a container without a cgroup namespace) leaves the mount's root.
func ownDir(m mount, path string) string {
	if m.root == "/" {
		return filepath.Join(m.point, path)
	}
	if rel, ok := strings.CutPrefix(path, m.root); ok && (rel == "" || rel[0] == '/') {
		return filepath.Join(m.point, rel)
	}
	return m.point
}
