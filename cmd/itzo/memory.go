package main

import (
	"context"
	"runtime/debug"
	"time"
)

const (
	// garbagePercent is how much the heap may grow before it is collected, in
	// percent of what is in use: the cell's memory is its pod's, and the agent has
	// little to do.
	garbagePercent = 30
	// giveBackEvery is how often what was needed for a moment, such as for a pod's
	// start, goes back to the cell. It takes a few milliseconds.
	giveBackEvery = 15 * time.Second
)

// saveMemory keeps the agent small until ctx ends.
func saveMemory(ctx context.Context) {
	debug.SetGCPercent(garbagePercent)
	ticker := time.NewTicker(giveBackEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			debug.FreeOSMemory()
		}
	}
}
