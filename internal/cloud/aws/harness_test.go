package aws

import (
	"context"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/account"
	"kip.elotl.co/hack/localaws/boot/boottest"
	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/ec2"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/journal"
	"kip.elotl.co/hack/localaws/world"
	"kip.elotl.co/internal/cloud"
)

// emulator is EC2 over its wire protocol, with a Client in front of it.
type emulator struct {
	*Client
	world   *world.World
	faults  *faults.Set
	journal *journal.Journal
	account account.Account
}

type worldConfig = world.Config

type option func(*worldConfig, *Options)

func newEmulator(t *testing.T, options ...option) *emulator {
	t.Helper()
	regional, err := catalog.New("us-east-1", netip.MustParsePrefix("10.9.0.0/22"))
	if err != nil {
		t.Fatal(err)
	}
	e := &emulator{faults: &faults.Set{}}
	dir := t.TempDir()
	worldly := world.Config{Catalog: regional, Backend: &boottest.Backend{}, Capacity: e.faults, Clock: clock.RealClock{}, Log: logr.Discard(), Dir: dir}
	settings := Options{Region: "us-east-1", Version: "2.0.0", Limits: Unlimited(), maxBackoff: time.Millisecond}
	for _, o := range options {
		o(&worldly, &settings)
	}
	outside, err := account.Open(regional, dir, worldly.Clock)
	if err != nil {
		t.Fatal(err)
	}
	worldly.IAM, e.account = outside.Roles, outside
	if e.world, err = world.Open(t.Context(), worldly); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.world.Close(context.Background(), true) })
	if e.journal, err = journal.Open(filepath.Join(dir, "journal.jsonl")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.journal.Close() })
	server := httptest.NewServer(ec2.New(ec2.Config{World: e.world, Journal: e.journal, Faults: e.faults, Clock: clock.RealClock{}, Log: logr.Discard(), Services: outside.Services()}))
	t.Cleanup(server.Close)
	e.Client = newClient(t, server.URL, settings)
	return e
}

// newClient makes a Client that depends on nothing outside the test.
func newClient(t *testing.T, url string, settings Options) *Client {
	t.Helper()
	quietEnvironment(t)
	t.Setenv("AWS_ENDPOINT_URL", url)
	c, err := New(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func quietEnvironment(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDLOCAL", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_PROFILE": "",
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_EC2": "", "HTTP_PROXY": "", "http_proxy": "",
	} {
		t.Setenv(name, value)
	}
}

// calls are the calls of an action so far.
func (e *emulator) calls(action string) []journal.Entry { return e.journal.Since(0, action) }

func (e *emulator) plan(t *testing.T, p faults.Plan) {
	t.Helper()
	if err := e.faults.Replace(p); err != nil {
		t.Fatal(err)
	}
}

const (
	x86Image = "ami-0c0ffee0000000002"
	subnetA  = "subnet-0000000c0ffee0010"
	group    = "sg-0000000c0ffee0020"
)

// request is a launch like a cell's, under a token.
func request(token string) cloud.LaunchRequest {
	return cloud.LaunchRequest{
		ClientToken: token, InstanceType: "t3.nano", ImageID: x86Image, SubnetID: subnetA, SecurityGroups: []string{group},
		UserData: []byte("#cloud-config\n"), RootDevice: "/dev/xvda", Volume: cloud.Volume{GiB: 9},
		Tags: map[string]string{"Name": "a cell", "kip.elotl.co/cluster": "c1", "b": "2", "a": "1"},
	}
}

func (e *emulator) launch(t *testing.T, token string) cloud.Instance {
	t.Helper()
	instance, err := e.Launch(t.Context(), request(token))
	if err != nil {
		t.Fatal(err)
	}
	return instance
}

// launchMany launches n instances at once.
func (e *emulator) launchMany(t *testing.T, n int) []string {
	t.Helper()
	ids := make([]string, n)
	parallel(n, func(i int) {
		instance, err := e.Launch(t.Context(), request("many-"+strconv.Itoa(i)))
		if err != nil {
			t.Error(err)
		}
		ids[i] = instance.ID
	})
	if t.Failed() {
		t.FailNow()
	}
	slices.Sort(ids)
	return ids
}

// parallel runs n functions at the same time.
func parallel(n int, run func(i int)) {
	done := make(chan struct{})
	for i := range n {
		go func() {
			run(i)
			done <- struct{}{}
		}()
	}
	for range n {
		<-done
	}
}

// waitFor waits until an instance is in a state.
func (e *emulator) waitFor(t *testing.T, id string, state cloud.State) cloud.Instance {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		instance, err := e.Instance(ctx, id)
		if err != nil {
			t.Fatalf("waiting for %s to be %s: %v", id, state, err)
		}
		if instance.State == state {
			return instance
		}
	}
}

func wantKind(t *testing.T, err error, kind cloud.Kind, texts ...string) {
	t.Helper()
	if err == nil || cloud.KindOf(err) != kind {
		t.Errorf("error %v of kind %d, want kind %d", err, cloud.KindOf(err), kind)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q lacks %q", err, text)
		}
	}
}
