package itzo

import "time"

// Notices are what the cloud has told a cell of its own end.
type Notices struct {
	// Interruption is when and how the instance is going to be taken back; nil:
	// nothing was told.
	Interruption *Interruption `json:"interruption,omitempty"`
	// Rebalance is when the cloud said that an interruption is more likely than
	// usual; nil: it has not.
	Rebalance *time.Time `json:"rebalance,omitempty"`
}

// Interruption is EC2's notice that an instance is going to be taken back
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html).
type Interruption struct {
	// Action is terminate, stop or hibernate.
	Action string    `json:"action"`
	Time   time.Time `json:"time"`
}
