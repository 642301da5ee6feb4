package cell

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/launchmark"
)

// Codes of attempts that ended otherwise than by a refusal of the cloud.
const (
	codeInstanceTerminated = "InstanceTerminated"
	codeAbandoned          = "Abandoned"
)

const (
	keptAttempts = 10
	maxMessage   = 1024
)

const (
	// tagAuthority is the ID of the authority of the attempt's certificate.
	tagAuthority     = "kip.elotl.co/authority"
	tagParameterRole = "kip.elotl.co/parameter-role"
	// tagShape is the attempt's shape.
	tagShape = "kip.elotl.co/shape"
)

// openAttempt is the attempt that has not ended, nil when there is none.
func openAttempt(cell *v1beta1.Cell) *v1beta1.LaunchAttempt {
	if n := len(cell.Status.Attempts); n > 0 && cell.Status.Attempts[n-1].EndTime == nil {
		return &cell.Status.Attempts[n-1]
	}
	return nil
}

func lastNumber(cell *v1beta1.Cell) int32 {
	if n := len(cell.Status.Attempts); n > 0 {
		return cell.Status.Attempts[n-1].Number
	}
	return 0
}

func appendAttempt(cell *v1beta1.Cell, attempt v1beta1.LaunchAttempt) {
	attempts := append(cell.Status.Attempts, attempt)
	for len(attempts) > keptAttempts {
		// What did not come up is counted, so that is kept.
		oldest := slices.IndexFunc(attempts, func(a v1beta1.LaunchAttempt) bool { return a.Code != codeBootTimeout || a.Fingerprint == "" })
		attempts = slices.Delete(attempts, oldest, oldest+1)
	}
	cell.Status.Attempts = attempts
}

// failAttempt ends an attempt with the cloud's code and message.
func (c *Controller) failAttempt(cell *v1beta1.Cell, attempt *v1beta1.LaunchAttempt, err error) {
	attempt.Code, attempt.Message = "Error", err.Error()
	if e := (*cloud.Error)(nil); errors.As(err, &e) && e.Code != "" {
		attempt.Code = e.Code
	}
	attempt.Message = strings.ToValidUTF8(attempt.Message[:min(len(attempt.Message), maxMessage)], "")
	attempt.EndTime = &metav1.Time{Time: c.Clock.Now()}
	status := &cell.Status
	status.InstanceID, status.IP, status.PodIP, status.Agent, status.Identity = "", "", "", nil, nil
	status.InstanceType, status.Zone, status.ImageID, status.LaunchType = "", "", "", ""
	status.PricePerHour, status.Price, status.RunnersUp = "", nil, nil
}

// giveUp ends an attempt that came to nothing for another reason than want of
// capacity: others may try its offering.
func (c *Controller) giveUp(cell *v1beta1.Cell, attempt *v1beta1.LaunchAttempt, err error) {
	c.capacity.Released(cell.UID)
	c.failAttempt(cell, attempt, err)
}

// backOff is how long to wait before a request with this fingerprint: the
// longer the more often just this one has failed in a row. Want of capacity
// does not count: its offering is left alone for a while, and others are not.
func (c *Controller) backOff(cell *v1beta1.Cell, fingerprint string) time.Duration {
	attempts := cell.Status.Attempts
	delay, since := time.Duration(0), time.Time{}
	for i := len(attempts) - 1; i >= 0; i-- {
		switch {
		case attempts[i].Fingerprint == "", attempts[i].Code == codeBootTimeout:
			continue
		case attempts[i].EndTime == nil || attempts[i].Fingerprint != fingerprint:
			return max(0, delay-c.Clock.Since(since))
		case since.IsZero():
			delay, since = refusedFirst, attempts[i].EndTime.Time
		default:
			delay = min(2*delay, refusedMost)
		}
	}
	return max(0, delay-c.Clock.Since(since))
}

// clientToken makes the launch call of an attempt idempotent.
func clientToken(cell *v1beta1.Cell, number int32) string {
	return launchmark.Token(cell.UID, number)
}

// fingerprint hashes what class and Cell put into a launch request, leaving out
// what differs from attempt to attempt: what was refused, or did not live, in
// one zone will hardly do in the next.
func fingerprint(request cloud.LaunchRequest, class *v1beta1.CellClass, document string) string {
	request.ClientToken, request.UserData, request.Tags = "", nil, nil
	request.InstanceType, request.SubnetID, request.Market = "", "", ""
	request.CPUCredits, request.SpotMaxPrice = "", ""
	inputs, err := json.Marshal(struct {
		Request    cloud.LaunchRequest
		Class      types.UID
		Generation int64
		Document   string
	}{request, class.UID, class.Generation, document})
	if err != nil {
		panic("a launch request cannot be encoded: " + err.Error())
	}
	sum := sha256.Sum256(inputs)
	return hex.EncodeToString(sum[:16])
}

// identityTags are the tags by which the instances of a Cell are found.
func (c *Controller) identityTags(cell *v1beta1.Cell) map[string]string {
	return map[string]string{v1beta1.TagCluster: c.ClusterID, v1beta1.TagCell: string(cell.UID)}
}

// ownTags are those of all that is made for a Cell. Where an ID is given to the
// cluster its UID tells it from others that are given the same.
func (c *Controller) ownTags(cell *v1beta1.Cell) map[string]string {
	tags := c.identityTags(cell)
	if c.ClusterUID != "" {
		tags[v1beta1.TagClusterUID] = c.ClusterUID
	}
	return tags
}

func (c *Controller) tags(s *scope, attempt *v1beta1.LaunchAttempt) map[string]string {
	tags := map[string]string{}
	for key, value := range s.class.Spec.AWS.Tags {
		tags[key] = string(value)
	}
	for key, value := range c.ownTags(s.cell) {
		tags[key] = value
	}
	tags[v1beta1.TagClass] = s.class.Name
	tags[launchmark.TagAttempt] = strconv.Itoa(int(attempt.Number))
	tags[launchmark.TagStarted] = strconv.FormatInt(attempt.StartTime.Unix(), 10)
	if attempt.ParameterRole != "" {
		tags[tagParameterRole] = attempt.ParameterRole
	}
	if attempt.Shape != "" {
		tags[tagShape] = attempt.Shape
	}
	if attempt.Authority != "" { // attempts of earlier releases repeat their own call
		tags[tagAuthority] = attempt.Authority
	}
	if _, named := tags[v1beta1.TagName]; !named {
		tags[v1beta1.TagName] = s.cell.Name
	}
	return tags
}

// attemptFromTags is the attempt that an instance says it came from.
func attemptFromTags(instance cloud.Instance) (v1beta1.LaunchAttempt, bool) {
	number, err := strconv.ParseInt(instance.Tags[launchmark.TagAttempt], 10, 32)
	if err != nil || number < 1 {
		return v1beta1.LaunchAttempt{}, false
	}
	started, err := strconv.ParseInt(instance.Tags[launchmark.TagStarted], 10, 64)
	if err != nil {
		return v1beta1.LaunchAttempt{}, false
	}
	return v1beta1.LaunchAttempt{
		Number:       int32(number),
		InstanceType: instance.InstanceType,
		Zone:         instance.Zone,
		SubnetID:     instance.SubnetID,
		ImageID:      instance.ImageID,
		LaunchType:   launchTypeOf(instance),
		StartTime:    metav1.Unix(started, 0),
		Authority:    instance.Tags[tagAuthority],

		ParameterRole: instance.Tags[tagParameterRole],
		Shape:         instance.Tags[tagShape],
	}, true
}
