package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/internal/crashpoint"
)

// fault is what goes wrong in the cloud during an experiment.
type fault string

const (
	normal    fault = "normal"
	lostReply fault = "lost-reply"
	throttled fault = "throttled"
	broken    fault = "500"
	slow      fault = "slow"
)

func allFaults() []fault { return []fault{normal, lostReply, throttled, broken, slow} }

// Of how many in a hundred calls the reply is lost, the call refused, the answer late.
const (
	lostPercent    = 30
	refusedPercent = 30
	latePercent    = 10
	lateBy         = 30 * time.Second
)

// changing are the calls by which the operator changes something in the cloud, and those by which it looks after it.
func changing() []string {
	return []string{
		"RunInstances", "TerminateInstances", "PutParameter", "DeleteParameters", "CreateRoute", "DeleteRoute", "ModifyInstanceAttribute",
		"DescribeInstances", "GetParametersByPath", "DescribeParameters", "DescribeRouteTables",
	}
}

// plan is the fault as the emulated cloud is told it. Which calls it strikes follows from the seed and their order.
func (f fault) plan(seed uint64) faults.Plan {
	plan := faults.Plan{Seed: seed}
	for _, action := range changing() {
		systems := strings.Contains(action, "Parameter")
		switch f {
		case normal:
		case lostReply:
			plan.LostReplies = append(plan.LostReplies, faults.Loss{Action: action, Percent: lostPercent})
		case throttled:
			code := "RequestLimitExceeded"
			if systems {
				code = "ThrottlingException"
			}
			plan.Errors = append(plan.Errors, faults.Refusal{Action: action, Code: code, Percent: refusedPercent})
		case broken:
			code := "InternalError"
			if systems {
				code = "InternalServerError"
			}
			plan.Errors = append(plan.Errors, faults.Refusal{Action: action, Code: code, Percent: refusedPercent})
		case slow:
			plan.Delays = append(plan.Delays, faults.Delay{Action: action, Delay: faults.Duration(lateBy), Percent: latePercent, Late: true})
		}
	}
	return plan
}

// experiment is one cell of the matrix: pods that run to their end under a fault, and an operator that dies at a point for one of them.
type experiment struct {
	number int // from 1, in the whole matrix
	point  crashpoint.Point
	fault  fault
	pods   int
	// victim is the number of the pod at which the operator dies, times at which time.
	victim, times int
}

// name is what its pods' names begin with.
func (e experiment) name() string { return fmt.Sprintf("chaos-%d", e.number) }

// key is whom the crash is for, as a crash point knows it.
func (e experiment) key() string {
	if e.wantsCell() {
		return e.name()
	}
	return namespace + "/" + e.podName(e.victim)
}

func (e experiment) podName(i int) string { return fmt.Sprintf("%s-%d", e.name(), i) }

// wantsCell: only a Cell that somebody applies gets its finalizer from the operator.
func (e experiment) wantsCell() bool {
	return strings.HasPrefix(string(e.point), "cell-finalizer-add.")
}

func (e experiment) rule() crashpoint.Rule {
	return crashpoint.Rule{Name: e.name(), Point: e.point, Key: e.key(), N: e.times}
}

// Of the pods of an experiment the first have routes, the last run until they are deleted; all others end by themselves.
const (
	routed  = 3
	stopped = 3
)

func (e experiment) hasRoute(i int) bool  { return i < routed }
func (e experiment) isStopped(i int) bool { return i >= e.pods-stopped }

// notInMatrix are the points that no pod's life leads to.
func notInMatrix() []crashpoint.Point {
	return []crashpoint.Point{
		crashpoint.CredentialsBefore, crashpoint.CredentialsAfter, crashpoint.CellClaimBefore, crashpoint.CellClaimAfter,
		crashpoint.StandbyCreateBefore, crashpoint.StandbyCreateAfter, crashpoint.StandbyDeleteBefore, crashpoint.StandbyDeleteAfter,
		crashpoint.EvictBefore, crashpoint.EvictAfter,
	}
}

// repeated is how often at least each pod's life leads to a point, where that is more than once.
func repeated(p crashpoint.Point) int {
	switch p {
	case crashpoint.CellStatusBefore, crashpoint.CellStatusAfter, crashpoint.PodStatusBefore, crashpoint.PodStatusAfter:
		return 2
	}
	return 1
}

// matrix is every point with every fault: first the points before all effects, then those after. The same seed gives the same.
func matrix(seed uint64, pods int, points []crashpoint.Point, under []fault) []experiment {
	var all []experiment
	for f, fault := range allFaults() {
		for n := range crashpoint.All() {
			p := 2*n%len(crashpoint.All()) + 2*n/len(crashpoint.All())
			point := crashpoint.All()[p]
			e := experiment{number: f*len(crashpoint.All()) + p + 1, point: point, fault: fault, pods: pods}
			random := rand.New(rand.NewPCG(seed, uint64(e.number)))
			e.times, e.victim = 1+random.IntN(repeated(point)), e.pick(random)
			if slices.Contains(points, point) && slices.Contains(under, fault) && !slices.Contains(notInMatrix(), point) {
				all = append(all, e)
			}
		}
	}
	return all
}

// pick chooses among the pods whose life leads to the point.
func (e experiment) pick(random *rand.Rand) int {
	switch effect, _, _ := strings.Cut(string(e.point), "."); effect {
	case "forwarding", "route-create", "route-delete":
		return random.IntN(routed)
	case "stop":
		return e.pods - 1 - random.IntN(stopped)
	}
	return random.IntN(e.pods)
}
