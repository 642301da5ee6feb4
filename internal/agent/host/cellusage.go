package host

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// tick is the unit of /proc/stat: Linux shows 100 to a second everywhere.
const tick = 10 * time.Millisecond

// Usage implements agent.Host. The cell's times are those of its boot.
func (h *Host) Usage() (*statsapi.NodeStats, error) {
	content := map[string]string{}
	for _, name := range []string{"stat", "meminfo", "net/dev"} {
		text, err := os.ReadFile("/proc/" + name)
		if err != nil {
			return nil, fmt.Errorf("measuring the cell: %w", err)
		}
		content[name] = string(text)
	}
	now := metav1.Now()
	used, booted, err := parseStat(content["stat"])
	if err != nil {
		return nil, err
	}
	memory, err := parseMemory(content["meminfo"])
	if err != nil {
		return nil, err
	}
	memory.Time = now
	disk, err := fileSystem(h.dir)
	if err != nil {
		return nil, err
	}
	taken := *disk.CapacityBytes - min(*disk.AvailableBytes, *disk.CapacityBytes)
	inodes := *disk.Inodes - min(*disk.InodesFree, *disk.Inodes)
	disk.UsedBytes, disk.InodesUsed = &taken, &inodes
	stats := &statsapi.NodeStats{
		StartTime: metav1.Unix(booted, 0),
		CPU:       &statsapi.CPUStats{Time: now, UsageCoreNanoSeconds: &used},
		Memory:    memory,
		Fs:        &disk,
	}
	if interfaces := parseInterfaces(content["net/dev"]); len(interfaces) > 0 {
		stats.Network = &statsapi.NetworkStats{Time: now, InterfaceStats: interfaces[0], Interfaces: interfaces}
	}
	return stats, nil
}

// parseStat reads from /proc/stat how long the processors have worked, in
// nanoseconds, and when the cell was booted, in seconds since 1970.
func parseStat(text string) (used uint64, booted int64, err error) {
	found := false
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 9 && fields[0] == "cpu":
			// user nice system idle iowait irq softirq steal
			for _, i := range []int{1, 2, 3, 6, 7, 8} {
				ticks, err := strconv.ParseUint(fields[i], 10, 64)
				if err != nil || ticks > math.MaxUint64/8/uint64(tick) {
					return 0, 0, fmt.Errorf("reading the processors' times: %q is not a number of ticks", fields[i])
				}
				used += ticks * uint64(tick)
			}
			found = true
		case len(fields) == 2 && fields[0] == "btime":
			if booted, err = strconv.ParseInt(fields[1], 10, 64); err != nil {
				return 0, 0, fmt.Errorf("reading the time of boot: %w", err)
			}
		}
	}
	if !found {
		return 0, 0, errors.New("reading the processors' times: /proc/stat has no line of them")
	}
	return used, booted, nil
}

// parseMemory reads /proc/meminfo.
func parseMemory(text string) (*statsapi.MemoryStats, error) {
	values := map[string]uint64{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		kilobytes, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil || kilobytes > math.MaxUint64>>10 {
			return nil, fmt.Errorf("reading the use of memory: %q is not a number of kilobytes", fields[1])
		}
		values[strings.TrimSuffix(fields[0], ":")] = kilobytes << 10
	}
	total, available := values["MemTotal"], values["MemAvailable"]
	if total == 0 {
		return nil, errors.New("reading the use of memory: /proc/meminfo has no MemTotal")
	}
	usage, workingSet, rss := total-min(values["MemFree"], total), total-min(available, total), values["AnonPages"]
	return &statsapi.MemoryStats{AvailableBytes: &available, UsageBytes: &usage, WorkingSetBytes: &workingSet, RSSBytes: &rss}, nil
}

// parseInterfaces reads /proc/net/dev without what stays on the cell: the
// loopback device and the ends of pods' networks.
func parseInterfaces(text string) []statsapi.InterfaceStats {
	var interfaces []statsapi.InterfaceStats
	for line := range strings.Lines(text) {
		name, counters, found := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		fields := strings.Fields(counters)
		if !found || len(fields) < 11 || name == "lo" || strings.HasPrefix(name, "veth") {
			continue
		}
		one := statsapi.InterfaceStats{Name: name}
		for i, value := range map[int]**uint64{0: &one.RxBytes, 2: &one.RxErrors, 8: &one.TxBytes, 10: &one.TxErrors} {
			if number, err := strconv.ParseUint(fields[i], 10, 64); err == nil {
				*value = &number
			}
		}
		interfaces = append(interfaces, one)
	}
	return interfaces
}
