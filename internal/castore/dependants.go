package castore

import (
	"slices"

	"kip.elotl.co/api/v1beta1"
)

// trusting names the instance that a Cell has, or may have because it was
// being launched when the last operator ended; empty when there is none.
func trusting(cell *v1beta1.Cell) string {
	switch {
	case cell.Status.Phase == v1beta1.CellFailed:
		return "" // its instance is gone
	case cell.Status.InstanceID != "":
		return "instance " + cell.Status.InstanceID
	case openAttempt(cell) != nil:
		return "an instance that is being launched"
	}
	return ""
}

func openAttempt(cell *v1beta1.Cell) *v1beta1.LaunchAttempt {
	if n := len(cell.Status.Attempts); n > 0 && cell.Status.Attempts[n-1].EndTime == nil {
		return &cell.Status.Attempts[n-1]
	}
	return nil
}

// AuthorityOf is the ID of the authority by which the instance of a Cell proves
// itself, as far as that is known for sure; empty where it was launched before
// IDs were recorded.
func AuthorityOf(cell *v1beta1.Cell) string {
	attempt, identity := openAttempt(cell), cell.Status.Identity
	switch {
	case attempt == nil:
		return ""
	case identity != nil && identity.Attempt == attempt.Number:
		return identity.Authority
	}
	return attempt.Authority
}

// DependsOn says whether a Cell has, or may have, an instance that could not be
// reached any more without the authority of this ID. IDs that were not recorded
// count as any.
func DependsOn(cell *v1beta1.Cell, authority string) bool {
	if trusting(cell) == "" {
		return false
	}
	held := AuthorityOf(cell)
	return held == "" || held == authority
}

// TrustsOthers says whether the agent of a Cell still lets in the clients of
// another authority than the one of this ID, as far as is recorded.
func TrustsOthers(cell *v1beta1.Cell, authority string) bool {
	attempt, identity := openAttempt(cell), cell.Status.Identity
	if trusting(cell) == "" || attempt == nil || identity == nil || identity.Attempt != attempt.Number {
		return false
	}
	return slices.ContainsFunc(identity.Trusts, func(id string) bool { return id != authority })
}

// HasInstance says whether a Cell has, or may have, an instance.
func HasInstance(cell *v1beta1.Cell) bool { return trusting(cell) != "" }
