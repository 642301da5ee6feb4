package cloud

import (
	"context"
	"time"
)

// Statuses tells how the cloud itself sees instances.
type Statuses interface {
	// Status tells of one that runs. KindNotFound when the cloud does not know
	// it. Of one that does not run, and of one that is too young to have been
	// looked at, nothing is told: the zero Status. Calls at about the same time
	// share one request.
	Status(ctx context.Context, id string) (Status, error)
}

// Status is how the cloud sees an instance
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-system-instance-status-check.html).
type Status struct {
	// SystemImpaired: what the instance runs on has failed; InstanceImpaired: what
	// runs on the instance does not answer.
	SystemImpaired, InstanceImpaired bool
	// Events are to come.
	Events []ScheduledEvent
}

// ScheduledEvent is what the cloud is going to do to an instance.
type ScheduledEvent struct {
	// Code is EC2's: instance-reboot, system-reboot, system-maintenance,
	// instance-retirement or instance-stop.
	Code        string
	Description string
	// NotBefore and NotAfter are when; zero where that is not told.
	NotBefore, NotAfter time.Time
}
