package itzo

import (
	"slices"
	"time"
)

// Notices are what the cloud has told a cell of its own end.
type Notices struct {
	// Interruption is when and how the instance is going to be taken back; nil:
	// nothing was told.
	Interruption *Interruption `json:"interruption,omitempty"`
	// Rebalance is when the cloud said that an interruption is more likely than
	// usual; nil: it has not.
	Rebalance *time.Time `json:"rebalance,omitempty"`
	// Maintenance is what the cloud is going to do to the instance, in its order.
	Maintenance []Maintenance `json:"maintenance,omitempty"`
}

// Interruption is EC2's notice that an instance is going to be taken back
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html).
type Interruption struct {
	// Action is terminate, stop or hibernate; of an instance that is retired, the
	// code of its event.
	Action string    `json:"action"`
	Time   time.Time `json:"time"`
}

// Maintenance is a scheduled event
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-instances-status-check_sched.html).
type Maintenance struct {
	// Code is instance-reboot, system-reboot, system-maintenance,
	// instance-retirement or instance-stop.
	Code        string `json:"code"`
	Description string `json:"description,omitempty"`
	// NotBefore and NotAfter are when; zero where that is not told.
	NotBefore time.Time `json:"notBefore,omitzero"`
	NotAfter  time.Time `json:"notAfter,omitzero"`
}

// Ends says whether the instance does not run on after it.
func (m Maintenance) Ends() bool { return m.Code == "instance-retirement" || m.Code == "instance-stop" }

// Empty says whether nothing was told.
func (n Notices) Empty() bool {
	return n.Interruption == nil && n.Rebalance == nil && len(n.Maintenance) == 0
}

// Equal says whether the same was told.
func (n Notices) Equal(o Notices) bool {
	return (n.Interruption == nil) == (o.Interruption == nil) && (n.Interruption == nil || n.Interruption.equal(*o.Interruption)) &&
		(n.Rebalance == nil) == (o.Rebalance == nil) && (n.Rebalance == nil || n.Rebalance.Equal(*o.Rebalance)) &&
		slices.EqualFunc(n.Maintenance, o.Maintenance, Maintenance.Equal)
}

func (i Interruption) equal(o Interruption) bool { return i.Action == o.Action && i.Time.Equal(o.Time) }

// Equal says whether it is the same event at the same time.
func (m Maintenance) Equal(o Maintenance) bool {
	return m.Code == o.Code && m.Description == o.Description && m.NotBefore.Equal(o.NotBefore) && m.NotAfter.Equal(o.NotAfter)
}
