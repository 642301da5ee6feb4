// Package crashpoint names the moments just before and just after everything
// that the operator changes outside itself. An operator built with the tag
// chaos kills itself at one of them when it is told to; any other build does
// nothing there.
package crashpoint

// Point is a moment: an effect, and ".before" or ".after" it. What comes after
// an effect comes whether that has failed or not.
type Point string

// The points of the Cells' controller.
const (
	CellFinalizerAddBefore    Point = "cell-finalizer-add.before"
	CellFinalizerAddAfter     Point = "cell-finalizer-add.after"
	CellFinalizerRemoveBefore Point = "cell-finalizer-remove.before"
	CellFinalizerRemoveAfter  Point = "cell-finalizer-remove.after"
	CellStatusBefore          Point = "cell-status.before"
	CellStatusAfter           Point = "cell-status.after"
	LaunchBefore              Point = "launch.before"
	LaunchAfter               Point = "launch.after"
	TerminateBefore           Point = "terminate.before"
	TerminateAfter            Point = "terminate.after"
	ParameterPutBefore        Point = "parameter-put.before"
	ParameterPutAfter         Point = "parameter-put.after"
	ParameterDeleteBefore     Point = "parameter-delete.before"
	ParameterDeleteAfter      Point = "parameter-delete.after"
	ForwardingBefore          Point = "forwarding.before"
	ForwardingAfter           Point = "forwarding.after"
	RouteCreateBefore         Point = "route-create.before"
	RouteCreateAfter          Point = "route-create.after"
	RouteDeleteBefore         Point = "route-delete.before"
	RouteDeleteAfter          Point = "route-delete.after"
	CredentialsBefore         Point = "credentials.before"
	CredentialsAfter          Point = "credentials.after"
)

// The points of the pods' controller.
const (
	CellCreateBefore Point = "cell-create.before"
	CellCreateAfter  Point = "cell-create.after"
	CellClaimBefore  Point = "cell-claim.before"
	CellClaimAfter   Point = "cell-claim.after"
	CellDeleteBefore Point = "cell-delete.before"
	CellDeleteAfter  Point = "cell-delete.after"
	PodPatchBefore   Point = "pod-patch.before"
	PodPatchAfter    Point = "pod-patch.after"
	VolumeBefore     Point = "volume.before"
	VolumeAfter      Point = "volume.after"
	DispatchBefore   Point = "dispatch.before"
	DispatchAfter    Point = "dispatch.after"
	StopBefore       Point = "stop.before"
	StopAfter        Point = "stop.after"
	PodStatusBefore  Point = "pod-status.before"
	PodStatusAfter   Point = "pod-status.after"
	PodRemoveBefore  Point = "pod-remove.before"
	PodRemoveAfter   Point = "pod-remove.after"
)

// The points of the standby cells' controller.
const (
	StandbyCreateBefore Point = "standby-create.before"
	StandbyCreateAfter  Point = "standby-create.after"
	StandbyDeleteBefore Point = "standby-delete.before"
	StandbyDeleteAfter  Point = "standby-delete.after"
	EvictBefore         Point = "evict.before"
	EvictAfter          Point = "evict.after"
)

// All lists the points: each effect's before its after.
func All() []Point {
	return []Point{
		CellFinalizerAddBefore, CellFinalizerAddAfter, CellFinalizerRemoveBefore, CellFinalizerRemoveAfter, CellStatusBefore, CellStatusAfter,
		LaunchBefore, LaunchAfter, TerminateBefore, TerminateAfter, ParameterPutBefore, ParameterPutAfter,
		ParameterDeleteBefore, ParameterDeleteAfter, ForwardingBefore, ForwardingAfter, RouteCreateBefore, RouteCreateAfter,
		RouteDeleteBefore, RouteDeleteAfter, CredentialsBefore, CredentialsAfter,
		CellCreateBefore, CellCreateAfter, CellClaimBefore, CellClaimAfter, CellDeleteBefore, CellDeleteAfter, PodPatchBefore, PodPatchAfter, VolumeBefore, VolumeAfter,
		DispatchBefore, DispatchAfter, StopBefore, StopAfter, PodStatusBefore, PodStatusAfter, PodRemoveBefore, PodRemoveAfter,
		StandbyCreateBefore, StandbyCreateAfter, StandbyDeleteBefore, StandbyDeleteAfter, EvictBefore, EvictAfter,
	}
}

// EnvPlan names the environment variable in which an operator with crash points
// finds the path of a Plan as JSON; without it, or without the file, nothing
// happens. The file is read at each point, so it may change under way.
const EnvPlan = "KIP_CRASH_PLAN"

// Plan says when an operator ends itself.
type Plan struct {
	// Dir is where a file for each rule, of the rule's name, gets a line at each
	// point that the rule is about: the point and the key. The line of the one that
	// ended the operator is its N-th.
	Dir   string `json:"dir"`
	Rules []Rule `json:"rules"`
}

// Rule ends an operator once.
type Rule struct {
	// Name is one that a file can have.
	Name  string `json:"name"`
	Point Point  `json:"point"`
	// Key is the namespace/name of the pod, of a Cell without one its own name; *
	// and ? match, empty matches all.
	Key string `json:"key,omitempty"`
	// N is at which time the point is to be the last, from 1; operators before this
	// one count.
	N int `json:"n"`
}
