package aws

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

const (
	instance = "i-0123456789abcdef0"
	name     = "/kip/cells/" + instance + "/config"
	token    = "the-session"
)

// answer is what the parameter store says instead of a value.
type answer struct {
	status int
	body   string
}

// fakeAWS is the instance's metadata and the parameter store, as they look on
// the wire.
type fakeAWS struct {
	*httptest.Server
	t *testing.T

	mu         sync.Mutex
	profile    bool // the instance has one
	parameters map[string]string
	answers    map[string]answer
	asked      []string
	// changed is called before each answer of the parameter store.
	changed func(asked []string)
}

func newFakeAWS(t *testing.T) *fakeAWS {
	f := &fakeAWS{t: t, profile: true, parameters: map[string]string{}, answers: map[string]answer{}}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
		_, _ = io.WriteString(w, token)
	})
	mux.HandleFunc("GET /latest/meta-data/", f.metadata)
	mux.HandleFunc("POST /{$}", f.ssm)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeAWS) metadata(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Header.Get("X-Aws-Ec2-Metadata-Token") != token {
		http.Error(w, "no token", http.StatusUnauthorized)
		return
	}
	switch path := strings.TrimPrefix(r.URL.Path, "/latest/meta-data/"); {
	case path == "instance-id":
		_, _ = io.WriteString(w, instance)
	case path == "placement/region":
		_, _ = io.WriteString(w, "eu-central-1")
	case path == "iam/security-credentials/" && f.profile:
		_, _ = io.WriteString(w, "cells")
	case path == "iam/security-credentials/cells" && f.profile:
		_, _ = io.WriteString(w, `{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"secret",`+
			`"Token":"session","Expiration":"2199-01-01T00:00:00Z"}`)
	default:
		http.NotFound(w, r)
	}
}

func (f *fakeAWS) ssm(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var in struct {
		Name           string
		WithDecryption bool
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		f.t.Error(err)
	}
	authorization := r.Header.Get("Authorization")
	if r.Header.Get("X-Amz-Target") != "AmazonSSM.GetParameter" || !in.WithDecryption || r.Header.Get("X-Amz-Security-Token") != "session" ||
		!strings.Contains(authorization, "Credential=ASIAEXAMPLE/") || !strings.Contains(authorization, "/eu-central-1/ssm/aws4_request") {
		f.t.Errorf("request %v %+v", r.Header, in)
	}
	f.asked = append(f.asked, strings.TrimPrefix(in.Name, name))
	if f.changed != nil {
		f.changed(f.asked)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", fmt.Sprint(len(f.asked)))
	value, there := f.parameters[in.Name]
	other, spoilt := f.answers[in.Name]
	switch {
	case spoilt:
		w.WriteHeader(other.status)
		_, _ = io.WriteString(w, other.body)
	case !there:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"ParameterNotFound"}`)
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"Parameter": map[string]any{
			"ARN": "arn:aws:ssm:eu-central-1:123456789012:parameter" + in.Name, "DataType": "text", "LastModifiedDate": 1.7e9,
			"Name": in.Name, "Type": "SecureString", "Value": value, "Version": 1,
		}})
	}
}

func denied(name string) answer {
	return answer{http.StatusBadRequest, `{"__type":"AccessDeniedException","Message":"User: arn:aws:sts::123456789012:assumed-role/cells/` +
		instance + ` is not authorized to perform: ssm:GetParameter on resource: arn:aws:ssm:eu-central-1:123456789012:parameter` + name + `"}`}
}
