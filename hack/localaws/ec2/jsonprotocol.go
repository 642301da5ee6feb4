package ec2

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
)

// The services behind the endpoint, as signatures name them.
const (
	serviceEC2     = "ec2"
	servicePricing = "pricing"
)

// targetPrefix is what X-Amz-Target begins with in calls of the price list
// service, which speak JSON 1.1.
const targetPrefix = "AWSPriceListService."

// readTarget takes a call that X-Amz-Target names.
func (s *Server) readTarget(r *http.Request, c *Call) error {
	target := r.Header.Get("X-Amz-Target")
	if v := s.byTarget(target); v != nil {
		return s.readService(r, c, v)
	}
	c.Service = servicePricing
	action, ok := strings.CutPrefix(target, targetPrefix)
	if !ok {
		return awserr.New("UnknownOperationException", "The target %q is not known", target)
	}
	c.Action = action
	var err error
	if c.Body, err = io.ReadAll(r.Body); err != nil {
		return awserr.New("SerializationException", "The body cannot be read: %s", err)
	}
	c.Form = map[string]string{"Body": string(c.Body)}
	return nil
}

// decode reads the body of a JSON call.
func (c *Call) decode(into any) error {
	err := json.Unmarshal(c.Body, into)
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind):
		return awserr.New("SerializationException", "%s cannot be a %s", kind.Field, kind.Value)
	case err != nil:
		return awserr.New("SerializationException", "The body is not JSON: %s", err)
	}
	return nil
}

// writeJSON sends the answer to a JSON call, or the error when there is one.
func (s *Server) writeJSON(rw http.ResponseWriter, c *Call, resp response, err error) error {
	status, answer := http.StatusOK, any(resp)
	if err != nil {
		api := asAPIError(err)
		if api.Code == "InternalError" {
			s.Log.Error(err, "call failed", "action", c.Action, "requestID", c.RequestID)
		}
		status = api.Status()
		rw.Header().Set("X-Amzn-Errortype", api.Code)
		answer = struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}{api.Code, api.Message}
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode response: %w", err)
	}
	rw.Header().Set("Content-Type", "application/x-amz-json-1.1")
	rw.Header().Set("X-Amzn-Requestid", c.RequestID)
	rw.WriteHeader(status)
	_, err = rw.Write(body)
	return err
}
