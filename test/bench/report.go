package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"kip.elotl.co/hack/localaws/journal"
)

// figures are what one batch of pods took. Times are in seconds.
type figures struct {
	Pods int `json:"pods"`
	// BoundToLaunch is from the first pod being seen bound to the first launch call.
	BoundToLaunch float64 `json:"boundToLaunch"`
	// FirstLaunch and LastLaunch are counted from the creation of the first pod.
	FirstLaunch float64 `json:"firstLaunch"`
	LastLaunch  float64 `json:"lastLaunch"`
	// Running is from each pod's creation to the moment it was seen Running.
	RunningP50 float64 `json:"runningP50"`
	RunningMax float64 `json:"runningMax"`
	// Gone is from the deletion of all to the moment the last was seen gone.
	Gone float64 `json:"gone"`
	// RSS, in bytes, is the operator's before and after; Peak the most it ever was.
	RSSBefore  int64   `json:"rssBefore"`
	RSSAfter   int64   `json:"rssAfter"`
	Peak       int64   `json:"peak"`
	CPUSeconds float64 `json:"cpuSeconds"`
	// AWSCalls and Writes are by kind; PerPod what that makes for each pod.
	AWSCalls       map[string]int `json:"awsCalls"`
	AWSCallsPerPod float64        `json:"awsCallsPerPod"`
	Writes         map[string]int `json:"writes"`
	WritesPerPod   float64        `json:"writesPerPod"`
	// CellWritesPerPod is the part of these that is on Cells.
	CellWritesPerPod float64 `json:"cellWritesPerPod"`
}

// result is a whole measurement.
type result struct {
	Singles []figures `json:"singles"`
	Batch   figures   `json:"batch"`
}

func sumUp(pods map[string]*times, launched []time.Time, calls []journal.Entry, writes map[string]int, before, after usage) figures {
	f := figures{
		Pods: len(pods), RSSBefore: before.RSS, RSSAfter: after.RSS, Peak: after.Peak, CPUSeconds: (after.CPU - before.CPU).Seconds(),
		AWSCalls: map[string]int{}, Writes: writes,
	}
	var bound, running, gone []time.Duration
	begin := earliest(pods)
	for _, t := range pods {
		bound = append(bound, t.bound.Sub(begin))
		running = append(running, t.running.Sub(t.created))
		gone = append(gone, t.gone.Sub(t.created))
	}
	f.RunningP50, f.RunningMax, f.Gone = percentile(running, 50), percentile(running, 100), percentile(gone, 100)
	if len(launched) > 0 {
		first, last := slices.MinFunc(launched, time.Time.Compare), slices.MaxFunc(launched, time.Time.Compare)
		f.FirstLaunch, f.LastLaunch = first.Sub(begin).Seconds(), last.Sub(begin).Seconds()
		f.BoundToLaunch = f.FirstLaunch - percentile(bound, 0)
	}
	for _, call := range calls {
		f.AWSCalls[call.Action]++
	}
	f.AWSCallsPerPod = float64(len(calls)) / float64(len(pods))
	for what, n := range writes {
		f.WritesPerPod += float64(n) / float64(len(pods))
		if strings.HasSuffix(what, " cells") || strings.HasSuffix(what, " cells/status") {
			f.CellWritesPerPod += float64(n) / float64(len(pods))
		}
	}
	return f
}

func earliest(pods map[string]*times) time.Time {
	return slices.MinFunc(slices.Collect(maps.Values(pods)), func(a, b *times) int { return a.created.Compare(b.created) }).created
}

// percentile is the smallest value that so many percent do not exceed, in seconds; 0 when there are none.
func percentile(values []time.Duration, percent int) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	rank := (percent*len(values) + 99) / 100
	return values[max(rank, 1)-1].Seconds()
}

// print shows the figures beside the aims and beside what was measured of the first Kip, on two cores, with cells that answered at once.
func (r result) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(what, first, aim, format string, values ...any) {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", what, first, aim, fmt.Sprintf(format, values...))
	}
	fmt.Fprintln(table, "\tfirst Kip\taim\tnow")
	low, high := r.singles(func(f figures) float64 { return f.RunningMax })
	launchLow, launchHigh := r.singles(func(f figures) float64 { return f.BoundToLaunch })
	goneLow, goneHigh := r.singles(func(f figures) float64 { return f.Gone })
	line(fmt.Sprintf("1 pod (%d times): Running after", len(r.Singles)), "4.2–11.3 s", "< 0.5 s", "%.2f–%.2f s", low, high)
	line("  bound → launch call", "", "", "%.3f–%.3f s", launchLow, launchHigh)
	line("  gone after delete", "", "", "%.2f–%.2f s", goneLow, goneHigh)
	b := r.Batch
	line(fmt.Sprintf("%d pods: first launch call", b.Pods), "3.3 s", "", "%.2f s", b.FirstLaunch)
	line("  last launch call", "66.4 s", "", "%.2f s", b.LastLaunch)
	line("  Running p50", "41.2 s", "< 2 s", "%.2f s", b.RunningP50)
	line("  Running max", "74.4 s", "< 5 s", "%.2f s", b.RunningMax)
	line("  gone after delete", "30–49 s", "", "%.2f s", b.Gone)
	const mb = 1e6
	line("  operator's memory", "72 → 119 MB", "≤ 100 MB", "%.0f → %.0f MB (most: %.0f)", float64(b.RSSBefore)/mb, float64(b.RSSAfter)/mb, float64(b.Peak)/mb)
	line("  operator's processor time", "3.7 s", "", "%.1f s", b.CPUSeconds)
	line("  AWS calls per pod", "5.0", "≤ 2.2", "%.2f", b.AWSCallsPerPod)
	line("  API-server writes per cell", "", "≤ 8", "%.2f (on the Cell itself: %.2f)", b.WritesPerPod, b.CellWritesPerPod)
	if err := table.Flush(); err != nil {
		return err
	}
	for _, note := range b.bounds() {
		fmt.Fprintln(w, note)
	}
	for title, counts := range map[string]map[string]int{"AWS calls": b.AWSCalls, "API-server writes": b.Writes} {
		fmt.Fprintf(w, "\n%s for %d pods:\n", title, b.Pods)
		for _, what := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(w, "  %-32s %d\n", what, counts[what])
		}
	}
	return nil
}

// bounds says of each missed aim what it is bound by.
func (f figures) bounds() []string {
	var notes []string
	if f.RunningP50 >= 2 || f.RunningMax >= 5 {
		notes = append(notes, fmt.Sprintf("Running: the control plane and all agents share this machine's processors; the operator took %.1f s of them.", f.CPUSeconds))
	}
	if f.Peak > 100e6 {
		notes = append(notes, "Memory: a long poll with TLS and its buffers for each pod, and the pages of the program.")
	}
	if f.WritesPerPod > 8 {
		notes = append(notes, "Writes: those on the Cell are create, attempt, launched, ready, delete and finalizer. The pod takes the others: "+
			"mark, token, Running, its end, removal; the launch has an event of its own.")
	}
	return notes
}

// singles is the range of a figure over the batches of one.
func (r result) singles(figure func(figures) float64) (low, high float64) {
	var values []float64
	for _, f := range r.Singles {
		values = append(values, figure(f))
	}
	if len(values) == 0 {
		return 0, 0
	}
	return slices.Min(values), slices.Max(values)
}
