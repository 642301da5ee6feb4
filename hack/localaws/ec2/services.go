package ec2

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/iam"
	"kip.elotl.co/hack/localaws/service"
)

// globalRegion is where services without a region are called.
const globalRegion = "us-east-1"

// byTarget finds the service that a call's X-Amz-Target names; nil for none.
func (s *Server) byTarget(target string) *service.Service {
	i := slices.IndexFunc(s.Services, func(v service.Service) bool { return v.Target != "" && strings.HasPrefix(target, v.Target) })
	if i < 0 {
		return nil
	}
	return &s.Services[i]
}

// byVersion finds the service that speaks a version of the query protocol;
// nil for none.
func (s *Server) byVersion(version string) *service.Service {
	i := slices.IndexFunc(s.Services, func(v service.Service) bool { return v.Version != "" && v.Version == version })
	if i < 0 {
		return nil
	}
	return &s.Services[i]
}

// readService takes a call of a service that speaks JSON.
func (s *Server) readService(r *http.Request, c *Call, v *service.Service) error {
	c.via, c.Service = v, v.Name
	c.Action = strings.TrimPrefix(r.Header.Get("X-Amz-Target"), v.Target)
	var err error
	if c.Body, err = io.ReadAll(r.Body); err != nil {
		return awserr.New("SerializationException", "The body cannot be read: %s", err)
	}
	c.Form = v.Show(c.Body)
	return nil
}

// serve hands a call on to its service.
func (s *Server) serve(ctx context.Context, c *Call) (response, error) {
	out, err := c.via.Handle(ctx, service.Request{Caller: c.caller, Action: c.Action, Params: c.Params, Body: c.Body})
	if err != nil {
		return nil, err
	}
	return &served{result: out}, nil
}

// served is the answer of a service.
type served struct {
	result    any
	requestID string
}

func (v *served) setRequestID(id string) { v.requestID = id }

// MarshalJSON writes the result.
func (v *served) MarshalJSON() ([]byte, error) {
	if v.result == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(v.result)
}

// permit judges calls of EC2 and of the price list by the policies of the
// caller's role. Other services do so themselves: they know what a call is
// about.
func (s *Server) permit(ctx context.Context, c *Call) (response, error) {
	if c.via != nil {
		return s.serve(ctx, c)
	}
	if err := c.caller.Authorize(c.Service+":"+c.Action, "*", nil); err != nil {
		return nil, err
	}
	return s.dispatch(ctx, c)
}

// translate gives errors that all services have the code that each calls them
// by.
func (s *Server) translate(next Handler) Handler {
	return func(ctx context.Context, c *Call) (response, error) {
		resp, err := next(ctx, c)
		api, ok := err.(*awserr.Error) //nolint:errorlint // what is wrapped is no answer
		if !ok {
			return resp, err
		}
		code := codes(c)[api.Code]
		if code == "" {
			return resp, err
		}
		message := api.Message
		if code == "UnauthorizedOperation" {
			message = "You are not authorized to perform this operation. " + message
		}
		return resp, &awserr.Error{Code: code, Message: message}
	}
}

// codes are the names that a call's service has for errors: by EC2's, and for
// AccessDeniedException, which is not EC2's.
func codes(c *Call) map[string]string {
	switch {
	case c.via == nil && c.Service == serviceEC2:
		return map[string]string{"AccessDeniedException": "UnauthorizedOperation"}
	case c.via == nil:
		return nil
	case c.via.Target != "":
		return map[string]string{
			"AuthFailure": "UnrecognizedClientException", "RequestExpired": "ExpiredTokenException", "RequestLimitExceeded": "ThrottlingException",
			"MissingAuthenticationToken": "MissingAuthenticationTokenException", "IncompleteSignature": "IncompleteSignatureException",
		}
	}
	return map[string]string{
		"AuthFailure": "InvalidClientTokenId", "RequestExpired": "ExpiredToken", "RequestLimitExceeded": "Throttling",
		"AccessDeniedException": "AccessDenied", "InvalidParameterValue": "ValidationError", "MissingParameter": "ValidationError",
	}
}

// identify finds who calls, by key and session token.
func (s *Server) identify(accessKeyID string, c *Call) (iam.Caller, error) {
	return s.World.IAM.Identify(accessKeyID, c.Header.Get("X-Amz-Security-Token"))
}

// queryError is the form of errors of the query protocol outside EC2.
type queryError struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// writeQuery sends the answer to a call of the query protocol outside EC2, or
// the error when there is one.
func (s *Server) writeQuery(rw http.ResponseWriter, c *Call, resp response, err error) error {
	var body bytes.Buffer
	status := http.StatusOK
	encoder := xml.NewEncoder(&body)
	if err != nil {
		api := asAPIError(err)
		status = api.Status()
		who := "Sender"
		if status >= http.StatusInternalServerError {
			who = "Receiver"
			s.Log.Error(err, "call failed", "action", c.Action, "requestID", c.RequestID)
		}
		if err := encoder.Encode(queryError{Namespace: c.via.Namespace, Type: who, Code: api.Code, Message: api.Message, RequestID: c.RequestID}); err != nil {
			return fmt.Errorf("encode error: %w", err)
		}
	} else if err := encodeResult(encoder, c, resp); err != nil {
		return fmt.Errorf("encode response: %w", err)
	}
	rw.Header().Set("Content-Type", "text/xml")
	rw.Header().Set("x-amzn-RequestId", c.RequestID)
	rw.WriteHeader(status)
	_, err = rw.Write(body.Bytes())
	return err
}

// encodeResult writes <ActionResponse><ActionResult>…, and the request's ID.
func encodeResult(e *xml.Encoder, c *Call, resp response) error {
	start := xml.StartElement{Name: xml.Name{Local: c.Action + "Response"}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: c.via.Namespace}}}
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	if v, ok := resp.(*served); ok && v.result != nil {
		if err := e.EncodeElement(v.result, xml.StartElement{Name: xml.Name{Local: c.Action + "Result"}}); err != nil {
			return err
		}
	}
	metadata := struct {
		RequestID string `xml:"RequestId"`
	}{c.RequestID}
	if err := e.EncodeElement(metadata, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}}); err != nil {
		return err
	}
	if err := e.EncodeToken(start.End()); err != nil {
		return err
	}
	return e.Flush()
}
