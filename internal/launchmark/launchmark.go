// Package launchmark is what an instance shows of the launch that made it.
// Anybody who may tag can copy tags; nobody can give an instance another client
// token, or a volume another age.
package launchmark

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// TagAttempt and TagStarted carry the attempt on what it has launched, for the
// case that the Cell's status is lost: number, and start in Unix seconds.
const (
	TagAttempt = "kip.elotl.co/attempt"
	TagStarted = "kip.elotl.co/attempt-start"
)

const (
	// attemptsTried is up to which number attempts are tried of a token whose
	// attempt the tags do not tell.
	attemptsTried = 1000
	// startSlack is how much earlier than its attempt, by two clocks, a volume may
	// have been made, and callsLast for how long after its start an attempt's call
	// may be made: the operator may be away for a while between the two.
	startSlack = time.Minute
	callsLast  = time.Hour
)

// Token makes the launch call of a Cell's attempt idempotent.
func Token(cell types.UID, attempt int32) string {
	sum := sha256.Sum256([]byte(string(cell) + "/" + strconv.Itoa(int(attempt))))
	return "kip-" + hex.EncodeToString(sum[:28])
}

// Attempt is the attempt of the Cell that a token is of, which the tags of what
// it launched may tell; false when it is of none.
func Attempt(cell types.UID, token string, tags map[string]string) (int32, bool) {
	if n, err := strconv.ParseInt(tags[TagAttempt], 10, 32); err == nil && Token(cell, int32(n)) == token {
		return int32(n), true
	}
	for n := range int32(attemptsTried) {
		if Token(cell, n+1) == token {
			return n + 1, true
		}
	}
	return 0, false
}

// MadeAtLaunch says whether something was made at about the time at which, by
// its tags, its launch was attempted.
func MadeAtLaunch(made time.Time, tags map[string]string) bool {
	started, err := strconv.ParseInt(tags[TagStarted], 10, 64)
	if err != nil {
		return false
	}
	after := made.Sub(time.Unix(started, 0))
	return after >= -startSlack && after <= callsLast
}
