package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"

	"kip.elotl.co/internal/cloud"
)

// changing is an endpoint whose answers have another request ID, and where %[1]d
// stands another number, each time.
func changing(t *testing.T, status int, body string) *Client {
	t.Helper()
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i := n.Add(1)
		w.Header().Set("X-Amzn-Requestid", fmt.Sprintf("request-%d", i))
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, body, i)
	}))
	t.Cleanup(server.Close)
	return newClient(t, server.URL, Options{Region: "us-east-1", Limits: Unlimited(), maxBackoff: time.Millisecond})
}

// cutting is an endpoint that closes every connection without an answer.
func cutting(t *testing.T) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // the client sees a reset, with its own port in the error
		}
		_ = conn.Close()
	}))
	t.Cleanup(server.Close)
	return newClient(t, server.URL, Options{Region: "us-east-1", Limits: Unlimited(), maxBackoff: time.Millisecond})
}

// TestTextIsTheSameEachTime: what goes into conditions must not differ from
// call to call, or each retry writes again.
func TestTextIsTheSameEachTime(t *testing.T) {
	const document = `<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>r-%%[1]d</RequestID></Response>`
	for name, client := range map[string]*Client{
		"an error of EC2's": changing(t, 500, fmt.Sprintf(document, "InternalError", "An internal error has occurred")),
		"a time in it":      changing(t, 400, fmt.Sprintf(document, "RequestExpired", "Request has expired. Timestamp date is 2026-01-02T03:04:0%[1]dZ.")),
		"a request ID":      changing(t, 403, fmt.Sprintf(document, "AccessDenied", "Not you (Request ID: 0-%[1]d)")),
		"a proxy's page":    changing(t, 502, "<html>Bad gateway %[1]d</html>"),
		"a cut connection":  cutting(t),
	} {
		t.Run(name, func(t *testing.T) {
			texts := map[string]bool{}
			for range 4 {
				_, err := client.Launch(t.Context(), request("token"))
				var refusal *cloud.Error
				if !errors.As(err, &refusal) {
					t.Fatalf("error %v", err)
				}
				texts[fmt.Errorf("launching: %w", err).Error()] = true
			}
			if len(texts) != 1 {
				t.Errorf("texts %v", texts)
			}
			for text := range texts {
				if strings.Contains(strings.ToLower(text), "request-") || strings.Contains(text, "RequestID") {
					t.Errorf("text %q", text)
				}
			}
		})
	}
}

func TestCauses(t *testing.T) {
	t.Run("no such host", func(t *testing.T) {
		got := networkCause(fmt.Errorf("dial: %w", &net.DNSError{Err: "no such host", Name: "ec2.example", Server: "192.0.2.1:53", IsNotFound: true}))
		if got != "no such host" {
			t.Errorf("cause %q", got)
		}
	})
	t.Run("name server", func(t *testing.T) {
		got := networkCause(&net.DNSError{Err: "read udp 192.0.2.7:40000->192.0.2.1:53: i/o timeout", IsTimeout: true})
		if got != "the name server does not answer" {
			t.Errorf("cause %q", got)
		}
	})
	t.Run("an old certificate", func(t *testing.T) {
		got := stable("x509: certificate has expired or is not yet valid: current time 2026-11-21T15:23:31Z is after 2026-01-01T00:00:00Z")
		if strings.Contains(got, "2026") || !strings.Contains(got, "expired") {
			t.Errorf("cause %q", got)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // the server notices that the client leaves only after that
			<-r.Context().Done()
		}))
		t.Cleanup(server.Close)
		c := newClient(t, server.URL, Options{Region: "us-east-1", Limits: Unlimited()})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := c.Launch(ctx, request("token"))
		wantKind(t, err, cloud.KindTransient, "no answer came in time")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v is not context.DeadlineExceeded", err)
		}
	})
}

// TestFailuresAreLogged: with the request's ID, which the error does not tell.
func TestFailuresAreLogged(t *testing.T) {
	var lines []string
	logger := funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{})
	c := changing(t, 400, `<Response><Errors><Error><Code>InvalidParameterValue</Code><Message>x</Message></Error></Errors><RequestID>r-%[1]d</RequestID></Response>`)
	_, err := c.Launch(logr.NewContext(t.Context(), logger), request("token"))
	wantKind(t, err, cloud.KindInvalid)
	if len(lines) != 1 || !strings.Contains(lines[0], `"requestID"="request-1"`) || !strings.Contains(lines[0], `"action"="RunInstances"`) {
		t.Errorf("log %q", lines)
	}
}
