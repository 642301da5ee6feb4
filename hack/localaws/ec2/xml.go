package ec2

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const namespace = "http://ec2.amazonaws.com/doc/" + Version + "/"

// response is the body of an answer. Its element is named after the action.
type response interface{ setRequestID(string) }

// header is embedded in every response.
type header struct {
	RequestID string `xml:"requestId"`
}

func (h *header) setRequestID(id string) { h.RequestID = id }

// done is the answer of actions that tell nothing but that they worked.
type done struct {
	header
	Return bool `xml:"return"`
}

type errorBody struct {
	XMLName   xml.Name `xml:"Response"`
	Code      string   `xml:"Errors>Error>Code"`
	Message   string   `xml:"Errors>Error>Message"`
	RequestID string   `xml:"RequestID"`
}

// write sends the answer, or the error when there is one.
func (s *Server) write(rw http.ResponseWriter, c *Call, resp response, err error) error {
	var body bytes.Buffer
	body.WriteString(xml.Header)
	status := http.StatusOK
	if err != nil {
		api := asAPIError(err)
		if api.Code == "InternalError" {
			s.Log.Error(err, "call failed", "action", c.Action, "requestID", c.RequestID)
		}
		status = api.Status()
		e := errorBody{Code: api.Code, Message: api.Message, RequestID: c.RequestID}
		if err := xml.NewEncoder(&body).Encode(e); err != nil {
			return fmt.Errorf("encode error: %w", err)
		}
	} else {
		resp.setRequestID(c.RequestID)
		start := xml.StartElement{Name: xml.Name{Local: c.Action + "Response"}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}}
		if err := xml.NewEncoder(&body).EncodeElement(resp, start); err != nil {
			return fmt.Errorf("encode response: %w", err)
		}
	}
	rw.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	rw.Header().Set("x-amzn-RequestId", c.RequestID)
	rw.WriteHeader(status)
	_, err = rw.Write(body.Bytes())
	return err
}

// timestamp is a time as EC2 writes it: UTC, whole seconds, with milliseconds
// that are always zero.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05") + ".000Z" }

type tagXML struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// tagSet lists tags in the order of their keys.
func tagSet(tags map[string]string) []tagXML {
	var out []tagXML
	for k, v := range tags {
		out = append(out, tagXML{k, v})
	}
	slices.SortFunc(out, func(a, b tagXML) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	return out
}
