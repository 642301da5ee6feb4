package aws

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestNewNeedsARegion(t *testing.T) {
	quietEnvironment(t)
	if _, err := New(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("error %v", err)
	}
	t.Setenv("AWS_REGION", "eu-west-3")
	c, err := New(t.Context(), Options{})
	if err != nil || c.Region() != "eu-west-3" {
		t.Errorf("region %v, %v", c, err)
	}
	if c, err = New(t.Context(), Options{Region: "us-east-1"}); err != nil || c.Region() != "us-east-1" {
		t.Errorf("region %v, %v", c, err)
	}
}

func TestEndpointAndUserAgent(t *testing.T) {
	seen := make(chan *http.Request, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		w.WriteHeader(http.StatusBadRequest)
	}))
	t.Cleanup(server.Close)
	for name, configure := range map[string]func(o *Options){
		"option":      func(o *Options) { o.EndpointURL = server.URL },
		"environment": func(*Options) { t.Setenv("AWS_ENDPOINT_URL", server.URL) },
		"over both": func(o *Options) {
			t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
			o.EndpointURL = server.URL
		},
	} {
		quietEnvironment(t)
		o := Options{Region: "us-east-1", Version: "2.0.1"}
		configure(&o)
		c, err := New(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Subnets(t.Context(), []string{"subnet-1"})
		select {
		case r := <-seen:
			if !strings.Contains(r.UserAgent(), "kip/2.0.1") || !strings.Contains(r.Header.Get("Authorization"), "/us-east-1/ec2/") {
				t.Errorf("%s: user agent %q, authorization %q", name, r.UserAgent(), r.Header.Get("Authorization"))
			}
		default:
			t.Errorf("%s: the endpoint was not called", name)
		}
	}
}
