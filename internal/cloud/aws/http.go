package aws

import (
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// newHTTPClient is of a type that the SDK can add a CA bundle to.
func newHTTPClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTimeout(attemptTimeout).WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConnsPerHost = idleConnections
	})
}

// plainBody hides WriteTo of request bodies. smithy-go closes a body as soon
// as the answer is there, and WriteTo on a closed one answers io.EOF, which
// net/http takes for a failure to send the request when it looks for more than
// the announced length: the connection is cut under the answer.
type plainBody struct{ client aws.HTTPClient }

// Do sends the request.
func (p plainBody) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.client.Do(r)
}
