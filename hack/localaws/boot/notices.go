package boot

import "time"

// Notices are what the metadata service tells an instance of its end; zero
// times where it tells nothing.
type Notices struct {
	// Interruption is when a Spot instance is taken back, Rebalance when that was
	// said to be more likely than usual.
	Interruption, Rebalance time.Time
	// Maintenance are scheduled events.
	Maintenance []Maintenance
}

// Maintenance is a scheduled event, with times that are zero where they are not told.
type Maintenance struct {
	ID, Code, Description string
	NotBefore, NotAfter   time.Time
}
