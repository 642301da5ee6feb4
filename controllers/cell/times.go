package cell

import "time"

// All waits of this package. Each has a bound, and none is shorter after a
// failure than before it. What ends in an error is tried again by package retry.

// Launching.
const (
	// A request that was refused (not authorized, invalid, over a quota) is
	// repeated after refusedFirst, doubling to refusedMost; one that differs,
	// because the class was changed, at once.
	refusedFirst = 10 * time.Second
	refusedMost  = 5 * time.Minute
	// noCapacityRetry is when to try again after every offering was dry.
	noCapacityRetry = 30 * time.Second
	// typeRetry is when an instance type that does not exist is looked up again:
	// AWS may introduce it.
	typeRetry = 10 * time.Minute
	// catalogueRetry is for the time before instance types are known; the
	// class, which waits for them too, says when they are.
	catalogueRetry = 5 * time.Second
	// bootFailedAgain is how often it is looked whether the cloud-init document of
	// a Cell has changed none of whose instances came up.
	bootFailedAgain = time.Minute
	// sayTurnAfter is how long a Cell may wait for the rate limit before it says so.
	sayTurnAfter = 5 * time.Second
	// atOnce asks for another look without an event.
	atOnce = time.Millisecond
)

// Finding what a launch call left behind.
const (
	// launchVisible is how long after a launch call the cloud may not show its
	// instance. EC2 gives no figure; its guide on eventual consistency speaks of
	// waits of up to several minutes only as the end of a back-off
	// (docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html).
	launchVisible = 2 * time.Minute
	// reusedVisible is the same where the cloud says that the attempt's token has
	// been used: longer than anything that is said of visibility anywhere. What
	// is not shown by then ended over an hour before, or never came to be.
	reusedVisible = 10 * time.Minute
	// What is not shown yet is looked for after as long again as it has been
	// looked for, within these bounds.
	lookAgainFirst = 2 * time.Second
	lookAgainMost  = time.Minute
)

// Watching an instance. The checks of all cells fall on multiples of these, so
// that they share requests.
const (
	bootCheckEvery  = 5 * time.Second
	readyCheckEvery = 30 * time.Second
	// slowBoot is how long a cell may take to answer before that is said on it
	// and on its pod. Instances take about a minute.
	slowBoot = 2 * time.Minute
)

// Asking the agent of a booting cell. A booting cell cannot call: it does not
// know the operator. So its agent is asked, often at first and then less so.
const (
	probeFirst   = 20 * time.Millisecond
	probeMost    = time.Second
	probeTimeout = 3 * time.Second
)

// Asking the agent of a ready cell whose spec says how long it may be silent:
// each quarter of that, within these bounds.
const (
	healthFirst = time.Second
	healthMost  = 30 * time.Second
)

// signEvery is how often an agent hears of the operator that nobody asks. The
// least that a class may have its cells wait before they power themselves off is
// 2 minutes.
const signEvery = 30 * time.Second

// How often the cloud is asked how it sees a ready cell: one that is given up by
// that, and one of which it may only tell what is scheduled. Status checks are
// made every minute
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-system-instance-status-check.html).
const (
	statusEvery    = 30 * time.Second
	scheduledEvery = 5 * time.Minute
)

// routeRetry is when routes are tried again that another has, or that the cloud
// refused: it takes a person.
const routeRetry = 30 * time.Second

// Giving cells new certificates. One is due after two thirds of its
// predecessor's life, and up to a twelfth later, so that cells that were
// launched together do not come together.
const (
	renewTimeout = 10 * time.Second
	// renewRetry is when an agent that has not taken its credentials is given them
	// again, takesNoneRetry when one that takes none is asked again.
	renewRetry     = time.Minute
	takesNoneRetry = time.Hour
	// plannedFor is how long credentials that were written down, and that the
	// agent may have or not, are given as they are.
	plannedFor = 24 * time.Hour
)

// Ending an instance.
const (
	// How soon and how often to look whether an instance has ended: after a
	// tenth of the time waited, within these bounds. EC2 takes about half a
	// minute for it.
	endCheckFirst = 300 * time.Millisecond
	endCheckMost  = 5 * time.Second
	// slowEnd is how long an instance may take to end before the Cell says that
	// it is terminating: one that is gone at once needs no write.
	slowEnd = time.Second
)

// longerEach is a wait as long as has been waited already, within bounds, so
// that the waits double.
func longerEach(waited, first, most time.Duration) time.Duration {
	return min(max(waited, first), most)
}

const (
	// storeAgain is how soon it is looked whether the parameters of a cell whose
	// agent has not answered are as they were written: somebody may have deleted
	// them. Each look comes after half of the time since the attempt began, up to
	// storeAgainMost.
	storeAgain     = time.Minute
	storeAgainMost = 10 * time.Minute
	// storeRetry is how soon Parameter Store is asked again that did not do as
	// asked, up to storeRetryMost in the same way.
	storeRetry     = 10 * time.Second
	storeRetryMost = 5 * time.Minute
	// profileRetry is when an instance profile that does not exist is looked up
	// again.
	profileRetry = time.Minute
	// roleKnownFor is how long the role of an instance profile is taken to stay.
	roleKnownFor = 10 * time.Minute
)
