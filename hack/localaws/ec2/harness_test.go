package ec2_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/go-logr/logr/testr"
	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/account"
	"kip.elotl.co/hack/localaws/boot/boottest"
	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/ec2"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/journal"
	"kip.elotl.co/hack/localaws/throttle"
	"kip.elotl.co/hack/localaws/world"
)

// cloud is an emulator with a client of the real SDK in front of it.
type cloud struct {
	*sdk.Client
	world   *world.World
	backend *boottest.Backend
	faults  *faults.Set
	journal *journal.Journal
	limits  *throttle.Throttle
	url     string
	dir     string
	server  *httptest.Server
}

// option changes the world's configuration.
type option func(*world.Config)

func withClock(c clock.Clock) option { return func(w *world.Config) { w.Clock = c } }

func newCatalog(t *testing.T, region, network string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.New(region, netip.MustParsePrefix(network))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newCloud(t *testing.T, options ...option) *cloud {
	t.Helper()
	return openCloud(t, t.TempDir(), &boottest.Backend{}, options...)
}

// openCloud starts an emulator on a state directory that may have been used.
func openCloud(t *testing.T, dir string, backend *boottest.Backend, options ...option) *cloud {
	t.Helper()
	c := &cloud{backend: backend, faults: &faults.Set{}, limits: throttle.New(clock.RealClock{}), dir: dir}
	log := testr.New(t)
	cfg := world.Config{Catalog: newCatalog(t, "us-east-1", "10.9.0.0/24"), Backend: backend, Capacity: c.faults, Clock: clock.RealClock{}, Log: log, Dir: dir}
	for _, o := range options {
		o(&cfg)
	}
	outside, err := account.Open(cfg.Catalog, dir, cfg.Clock)
	if err != nil {
		t.Fatal(err)
	}
	cfg.IAM = outside.Roles
	if c.world, err = world.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if c.journal, err = journal.Open(filepath.Join(dir, "journal.jsonl")); err != nil {
		t.Fatal(err)
	}
	c.server = httptest.NewServer(ec2.New(ec2.Config{
		World: c.world, Journal: c.journal, Faults: c.faults, Clock: clock.RealClock{}, Log: log, Limits: c.limits,
		Services: outside.Services(),
	}))
	c.url = c.server.URL
	c.Client = client(c.url, cfg.Catalog.Region, credentials.NewStaticCredentialsProvider("AKIDLOCAL", "secret", ""))
	t.Cleanup(c.crash)
	return c
}

// crash ends the process but not its machines.
func (c *cloud) crash() {
	c.server.Close()
	_ = c.world.Close(context.Background(), false)
	_ = c.journal.Close()
}

func client(url, region string, creds aws.CredentialsProvider) *sdk.Client {
	return sdk.New(sdk.Options{
		Region: region, BaseEndpoint: aws.String(url), Credentials: creds,
		Retryer: aws.NopRetryer{}, HTTPClient: plainBody{awshttp.NewBuildableClient()},
	})
}

// plainBody hides WriteTo of request bodies. smithy-go closes a body as soon
// as the answer is there, and WriteTo on a closed one answers io.EOF, which
// net/http takes for a failure to send the request when it looks for more than
// the announced length: the connection is cut under the answer.
type plainBody struct{ client aws.HTTPClient }

func (p plainBody) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.client.Do(r)
}

const (
	x86Image = "ami-0c0ffee0000000002"
	armImage = "ami-0c0ffee0000000005"
)

// launch is the smallest launch, changed by edits.
func launch(edits ...func(*sdk.RunInstancesInput)) *sdk.RunInstancesInput {
	in := &sdk.RunInstancesInput{
		ImageId: aws.String(x86Image), InstanceType: types.InstanceTypeT3Nano, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
	}
	for _, e := range edits {
		e(in)
	}
	return in
}

func count(n int32) func(*sdk.RunInstancesInput) {
	return func(in *sdk.RunInstancesInput) { in.MinCount, in.MaxCount = aws.Int32(n), aws.Int32(n) }
}

// run launches and returns the ids.
func (c *cloud) run(t *testing.T, edits ...func(*sdk.RunInstancesInput)) []string {
	t.Helper()
	out, err := c.RunInstances(t.Context(), launch(edits...))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, i := range out.Instances {
		ids = append(ids, *i.InstanceId)
	}
	return ids
}

// one describes one instance.
func (c *cloud) one(t *testing.T, id string) types.Instance {
	t.Helper()
	out, err := c.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Reservations[0].Instances[0]
}

// list describes by filters and returns the ids in the order of the answer.
func (c *cloud) list(t *testing.T, filters ...types.Filter) []string {
	t.Helper()
	out, err := c.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{Filters: filters})
	if err != nil {
		t.Fatal(err)
	}
	return idsOf(out)
}

func idsOf(out *sdk.DescribeInstancesOutput) []string {
	ids := []string{}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			ids = append(ids, *i.InstanceId)
		}
	}
	return ids
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// inState waits until an instance has a state.
func (c *cloud) inState(t *testing.T, id string, state types.InstanceStateName) types.Instance {
	t.Helper()
	var last types.Instance
	eventually(t, func() bool {
		last = c.one(t, id)
		return last.State.Name == state
	}, "instance %s in state %s", id, state)
	return last
}

func eventually(t *testing.T, ok func() bool, what string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never came: "+what, args...)
		}
	}
}

// wantCode checks the API error code; "" means success.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	switch {
	case code == "" && err != nil:
		t.Errorf("got error %v", err)
	case code == "":
	case !errors.As(err, &api):
		t.Errorf("got %v, want API error %s", err, code)
	case api.ErrorCode() != code:
		t.Errorf("got code %s (%s), want %s", api.ErrorCode(), api.ErrorMessage(), code)
	}
}
