package cri

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent/limits"
)

// setting is one file of a cgroup. In version 1 each controller has a hierarchy
// of its own.
type setting struct {
	controller, file, value string
	// limits says that the pod asked for it: it must not be left out.
	limits bool
}

// limitPod gives the pod's cgroup, the parent of its sandbox and containers, what
// the pod may use as a whole; what it may use without limit is unlimited then.
func (r *Runtime) limitPod(ctx context.Context, parent string, pod *corev1.Pod) error {
	l := limits.Pod(pod)
	if strings.HasSuffix(parent, sliceSuffix) {
		// Otherwise systemd takes back what others have written.
		if err := setProperties(ctx, parent, properties(l, r.config.PodMaxPIDs)); err != nil {
			return err
		}
		parent = slicePath(parent)
	}
	if unifiedCgroups(cgroupRoot) {
		return limitUnified(cgroupRoot, parent, unifiedSettings(l, r.config.PodMaxPIDs))
	}
	for _, s := range separateSettings(l, r.config.PodMaxPIDs) {
		dir := filepath.Join(cgroupRoot, s.controller, parent)
		if err := s.write(dir); err != nil {
			return err
		}
	}
	return nil
}

func separateSettings(l limits.Limits, pids int64) []setting {
	return []setting{
		{"cpu", "cpu.shares", strconv.FormatInt(l.CPUShares, 10), true},
		{"cpu", "cpu.cfs_period_us", strconv.Itoa(limits.CPUPeriod), l.CPUQuota > 0},
		{"cpu", "cpu.cfs_quota_us", orElse(l.CPUQuota, "-1"), l.CPUQuota > 0},
		{"memory", "memory.limit_in_bytes", orElse(l.Memory, "-1"), l.Memory > 0},
		{"pids", "pids.max", orElse(pids, "max"), pids > 0},
	}
}

func unifiedSettings(l limits.Limits, pids int64) []setting {
	return []setting{
		{"cpu", "cpu.weight", strconv.FormatInt(weight(l.CPUShares), 10), true},
		{"cpu", "cpu.max", orElse(l.CPUQuota, "max") + " " + strconv.Itoa(limits.CPUPeriod), l.CPUQuota > 0},
		{"memory", "memory.max", orElse(l.Memory, "max"), l.Memory > 0},
		{"pids", "pids.max", orElse(pids, "max"), pids > 0},
	}
}

// weight makes the shares of version 1 a weight of version 2, 1 to 10000.
func weight(shares int64) int64 {
	return 1 + (shares-2)*9999/262142
}

// orElse spells a limit, or none.
func orElse(limit int64, none string) string {
	if limit <= 0 {
		return none
	}
	return strconv.FormatInt(limit, 10)
}

// limitUnified makes the cgroup and hands it the controllers from the root down.
func limitUnified(root, path string, settings []setting) error {
	dir := root
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+cpu +memory +pids"), 0o644); err != nil {
			return fmt.Errorf("handing controllers to cgroups below %s: %w", dir, err)
		}
		dir = filepath.Join(dir, name)
		if err := makeCgroup(dir); err != nil {
			return err
		}
	}
	for _, s := range settings {
		if err := s.write(dir); err != nil {
			return err
		}
	}
	return nil
}

func makeCgroup(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the pod's cgroup: %w", err)
	}
	return nil
}

// write sets the value, where the controller is there at all or has to be.
func (s *setting) write(dir string) error {
	if _, err := os.Stat(filepath.Dir(dir)); errors.Is(err, fs.ErrNotExist) && !s.limits {
		return nil
	}
	if err := makeCgroup(dir); err != nil {
		return err
	}
	err := os.WriteFile(filepath.Join(dir, s.file), []byte(s.value), 0o644)
	if err != nil && s.limits {
		return fmt.Errorf("limiting the pod: %w", err)
	}
	return nil
}

const sliceSuffix = ".slice"

// slicePath is where systemd has a slice: a-b.slice is in a.slice.
func slicePath(slice string) string {
	path, name := "", ""
	for part := range strings.SplitSeq(strings.TrimSuffix(slice, sliceSuffix), "-") {
		name = strings.TrimPrefix(name+"-"+part, "-")
		path += "/" + name + sliceSuffix
	}
	return path
}

// properties are the limits in systemd's words.
func properties(l limits.Limits, pids int64) []string {
	quota := ""
	if l.CPUQuota > 0 {
		hundredths := l.CPUQuota * 10_000 / limits.CPUPeriod
		quota = fmt.Sprintf("%d.%02d%%", hundredths/100, hundredths%100)
	}
	return []string{
		"CPUWeight=" + strconv.FormatInt(weight(l.CPUShares), 10), "CPUQuota=" + quota,
		"MemoryMax=" + orElse(l.Memory, "infinity"), "TasksMax=" + orElse(pids, "infinity"),
	}
}

func setProperties(ctx context.Context, slice string, properties []string) error {
	command := exec.CommandContext(ctx, "systemctl", append([]string{"set-property", "--runtime", slice}, properties...)...)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("limiting the pod's slice: %w: %s", err, strings.TrimSpace(string(output)))
	}
	return nil
}
