package ec2_test

import (
	"errors"
	"net/http"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"kip.elotl.co/hack/localaws/faults"
)

// A planned refusal is told under the HTTP status of its code, and the call it
// spoils does nothing.
func TestRefusalsByStatus(t *testing.T) {
	for code, status := range map[string]int{
		"RequestLimitExceeded": http.StatusServiceUnavailable, "InternalError": http.StatusInternalServerError,
		"InsufficientInstanceCapacity": http.StatusInternalServerError, "UnauthorizedOperation": http.StatusForbidden, "MaxSpotInstanceCountExceeded": http.StatusBadRequest,
	} {
		c := newCloud(t)
		if err := c.faults.Replace(faults.Plan{Errors: []faults.Refusal{{Action: "Run*", Code: code}}}); err != nil {
			t.Fatal(err)
		}
		_, err := c.RunInstances(t.Context(), launch())
		wantCode(t, err, code)
		var answer *smithyhttp.ResponseError
		if !errors.As(err, &answer) || answer.HTTPStatusCode() != status {
			t.Errorf("%s: %v, want status %d", code, err, status)
		}
		if ids := c.list(t); len(ids) != 0 {
			t.Errorf("a refused launch made %v", ids)
		}
	}
}

// A lost reply is of a call that was done.
func TestLostTermination(t *testing.T) {
	c := newCloud(t)
	id := c.run(t)[0]
	if err := c.faults.Replace(faults.Plan{LostReplies: []faults.Loss{{Action: "TerminateInstances", Count: 1}}}); err != nil {
		t.Fatal(err)
	}
	in := &sdk.TerminateInstancesInput{InstanceIds: []string{id}}
	if _, err := c.TerminateInstances(t.Context(), in); err == nil {
		t.Error("the reply was not lost")
	}
	c.inState(t, id, types.InstanceStateNameTerminated)
	if _, err := c.TerminateInstances(t.Context(), in); err != nil {
		t.Errorf("the same call again: %v", err)
	}
}
