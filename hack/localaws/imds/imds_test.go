package imds

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/hack/localaws/boot"
)

// fleet is a Source: every address of a spec, the first as primary.
type fleet []boot.Spec

func (f fleet) BySourceIP(addr netip.Addr) (boot.Spec, Role, bool) {
	for _, spec := range f {
		for i, ip := range spec.PrivateIPs {
			if ip == addr {
				return spec, Role(min(i, 1)), true
			}
		}
	}
	return boot.Spec{}, 0, false
}

func specFor(id, ip string, more ...string) boot.Spec {
	spec := boot.Spec{
		InstanceID: id, InstanceType: "t3.nano", ImageID: "ami-1", Architecture: "x86_64", Region: "eu-west-1", Zone: "eu-west-1b",
		PrivateIPs: []netip.Addr{netip.MustParseAddr(ip)}, SubnetCIDR: netip.MustParsePrefix("10.0.0.0/24"), MAC: "02:00:00:00:00:01",
		UserData: []byte("#!\x00\xff"), InstanceProfileARN: "arn:aws:iam::123456789012:instance-profile/p",
		Metadata: boot.MetadataOptions{TokensRequired: true, HopLimit: 1},
	}
	for _, m := range more {
		spec.PrivateIPs = append(spec.PrivateIPs, netip.MustParseAddr(m))
	}
	return spec
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type reply struct {
	code int
	body string
}

func do(s *Server, method, path, from string, headers ...string) reply {
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = net.JoinHostPort(from, "40000")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return reply{w.Code, w.Body.String()}
}

func token(t *testing.T, s *Server, from string) string {
	t.Helper()
	got := do(s, http.MethodPut, "/latest/api/token", from, headerTTL, "60")
	if got.code != http.StatusOK || got.body == "" {
		t.Fatalf("token for %s: %+v", from, got)
	}
	return got.body
}

func TestTree(t *testing.T) {
	s := New(fleet{specFor("i-1", "10.0.0.5", "10.0.0.6")}, time.Now)
	tok := token(t, s, "10.0.0.5")
	mac := "/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01"
	tests := map[string]string{
		"/":                                             "1.0\n2009-04-04\n2016-09-02\n2018-09-24\n2020-10-27\n2021-03-23\nlatest",
		"/latest":                                       "dynamic/\nmeta-data/\nuser-data",
		"/latest/":                                      "dynamic/\nmeta-data/\nuser-data",
		"/latest/user-data":                             "#!\x00\xff",
		"/2009-04-04/user-data":                         "#!\x00\xff",
		"/latest/meta-data/":                            "ami-id\nami-launch-index\nhostname\niam/\ninstance-id\ninstance-type\nlocal-hostname\nlocal-ipv4\nmac\nnetwork/\nplacement/\nservices/",
		"/latest/meta-data/ami-id":                      "ami-1",
		"/latest/meta-data/instance-id":                 "i-1",
		"/latest/meta-data/instance-type":               "t3.nano",
		"/latest/meta-data/local-ipv4":                  "10.0.0.5",
		"/latest/meta-data/local-hostname":              "ip-10-0-0-5.eu-west-1.compute.internal",
		"/latest/meta-data/mac":                         "02:00:00:00:00:01",
		"/latest/meta-data/placement/":                  "availability-zone\nregion",
		"/latest/meta-data/placement/availability-zone": "eu-west-1b",
		"/latest/meta-data/placement/region":            "eu-west-1",
		"/latest/meta-data/services/domain":             "amazonaws.com",
		"/latest/meta-data/network/interfaces/macs/":    "02:00:00:00:00:01/",
		mac + "/":                            "device-number\nlocal-hostname\nlocal-ipv4s\nmac\nsubnet-ipv4-cidr-block",
		mac + "/local-ipv4s":                 "10.0.0.5\n10.0.0.6",
		mac + "/subnet-ipv4-cidr-block":      "10.0.0.0/24",
		"/latest/dynamic/":                   "instance-identity/",
		"/latest/dynamic/instance-identity/": "document",
	}
	for path, want := range tests {
		if got := do(s, http.MethodGet, path, "10.0.0.5", headerToken, tok); got != (reply{200, want}) {
			t.Errorf("%s: %+v, want %q", path, got, want)
		}
	}
	for _, path := range []string{
		"/latest/meta-data/public-keys", "/latest/meta-data/public-keys/", "/latest/meta-data/instance", "/nope", "/latest/nope",
		"/2001-01-01/meta-data/", "/latest/meta-data/instance-id/more", "/latest/api/token",
	} {
		if got := do(s, http.MethodGet, path, "10.0.0.5", headerToken, tok); got.code != http.StatusNotFound {
			t.Errorf("%s: %+v, want 404", path, got)
		}
	}
}

func TestIdentityDocument(t *testing.T) {
	s := New(fleet{specFor("i-1", "10.0.0.5")}, time.Now)
	got := do(s, http.MethodGet, "/latest/dynamic/instance-identity/document", "10.0.0.5", headerToken, token(t, s, "10.0.0.5"))
	var doc map[string]any
	if err := json.Unmarshal([]byte(got.body), &doc); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"accountId": "123456789012", "architecture": "x86_64", "availabilityZone": "eu-west-1b", "imageId": "ami-1",
		"instanceId": "i-1", "instanceType": "t3.nano", "privateIp": "10.0.0.5", "region": "eu-west-1",
	} {
		if doc[key] != want {
			t.Errorf("%s is %v, want %v", key, doc[key], want)
		}
	}
}

func TestNoUserData(t *testing.T) {
	spec := specFor("i-1", "10.0.0.5")
	spec.UserData, spec.InstanceProfileARN = nil, ""
	s := New(fleet{spec}, time.Now)
	tok := token(t, s, "10.0.0.5")
	if got := do(s, http.MethodGet, "/latest/user-data", "10.0.0.5", headerToken, tok); got.code != http.StatusNotFound {
		t.Errorf("%+v", got)
	}
	if got := do(s, http.MethodGet, "/latest/", "10.0.0.5", headerToken, tok); got.body != "dynamic/\nmeta-data/" {
		t.Errorf("%+v", got)
	}
}

func TestHostnameInFirstRegion(t *testing.T) {
	spec := specFor("i-1", "10.0.0.5")
	spec.Region = "us-east-1"
	if got := Hostname(spec); got != "ip-10-0-0-5.ec2.internal" {
		t.Error(got)
	}
}

func TestWhoMayAsk(t *testing.T) {
	optional := specFor("i-opt", "10.0.0.10", "10.0.0.11")
	optional.Metadata = boot.MetadataOptions{HopLimit: 1}
	far := specFor("i-far", "10.0.0.20", "10.0.0.21")
	far.Metadata.HopLimit = 2
	disabled := specFor("i-dis", "10.0.0.30")
	disabled.Metadata.Disabled = true
	s := New(fleet{specFor("i-1", "10.0.0.5", "10.0.0.6"), optional, far, disabled}, time.Now)
	mine, theirs := token(t, s, "10.0.0.5"), token(t, s, "10.0.0.20")
	const id = "/latest/meta-data/instance-id"
	const api = "/latest/api/token"
	tests := []struct {
		name, method, path, from string
		headers                  []string
		want                     int
	}{
		{"own token", "GET", id, "10.0.0.5", []string{headerToken, mine}, 200},
		{"no token where required", "GET", id, "10.0.0.5", nil, 401},
		{"another instance's token", "GET", id, "10.0.0.5", []string{headerToken, theirs}, 401},
		{"made-up token", "GET", id, "10.0.0.5", []string{headerToken, "AAAA"}, 401},
		{"no token where optional", "GET", id, "10.0.0.10", nil, 200},
		{"bad token where optional", "GET", id, "10.0.0.10", []string{headerToken, mine}, 401},
		{"pod behind hop limit 1", "GET", id, "10.0.0.6", []string{headerToken, mine}, 403},
		{"pod behind hop limit 1, no token needed", "GET", id, "10.0.0.11", nil, 403},
		{"pod asks for a token", "PUT", api, "10.0.0.6", []string{headerTTL, "60"}, 403},
		{"pod within hop limit 2", "GET", id, "10.0.0.21", []string{headerToken, theirs}, 200},
		{"disabled", "GET", id, "10.0.0.30", nil, 403},
		{"disabled, token", "PUT", api, "10.0.0.30", []string{headerTTL, "60"}, 403},
		{"nobody", "GET", id, "10.0.0.99", nil, 404},
		{"no TTL", "PUT", api, "10.0.0.5", nil, 400},
		{"TTL of zero", "PUT", api, "10.0.0.5", []string{headerTTL, "0"}, 400},
		{"TTL too long", "PUT", api, "10.0.0.5", []string{headerTTL, "21601"}, 400},
		{"TTL that overflows", "PUT", api, "10.0.0.5", []string{headerTTL, "18446744075"}, 400},
		{"longest TTL", "PUT", api, "10.0.0.5", []string{headerTTL, "21600"}, 200},
		{"through a proxy", "PUT", api, "10.0.0.5", []string{headerTTL, "60", "X-Forwarded-For", "1.2.3.4"}, 403},
		{"PUT elsewhere", "PUT", id, "10.0.0.5", []string{headerTTL, "60"}, 404},
		{"POST", "POST", id, "10.0.0.5", []string{headerToken, mine}, 405},
		{"HEAD", "HEAD", id, "10.0.0.5", []string{headerToken, mine}, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := do(s, tt.method, tt.path, tt.from, tt.headers...); got.code != tt.want {
				t.Errorf("%+v, want %d", got, tt.want)
			}
		})
	}
}

func TestTokenExpires(t *testing.T) {
	c := &clock{now: time.Unix(1e9, 0)}
	s := New(fleet{specFor("i-1", "10.0.0.5")}, c.Now)
	tok := token(t, s, "10.0.0.5")
	read := func() int {
		return do(s, http.MethodGet, "/latest/meta-data/instance-id", "10.0.0.5", headerToken, tok).code
	}
	c.advance(59 * time.Second)
	if got := read(); got != 200 {
		t.Errorf("before expiry: %d", got)
	}
	c.advance(time.Second)
	if got := read(); got != 401 {
		t.Errorf("after expiry: %d", got)
	}
}

// ttlRecorder notes the IP TTL that the server's socket has when it writes.
type ttlRecorder struct {
	net.Listener
	seen chan int
}

func (l ttlRecorder) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return ttlConn{c.(*net.TCPConn), l.seen}, nil
}

type ttlConn struct {
	*net.TCPConn
	seen chan int
}

func (c ttlConn) Write(b []byte) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	ttl := 0
	_ = raw.Control(func(fd uintptr) { ttl, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL) })
	c.seen <- ttl
	return c.TCPConn.Write(b)
}

func TestHopLimitIsTheTokenReplysTTL(t *testing.T) {
	spec := specFor("i-1", "127.0.0.1")
	spec.Metadata.HopLimit = 3
	s := New(fleet{spec}, time.Now)
	inner, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := ttlRecorder{inner, make(chan int, 8)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()

	request := func(method, path string, headers ...string) string {
		r, err := http.NewRequestWithContext(ctx, method, "http://"+inner.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return string(body)
	}
	tok := request(http.MethodPut, "/latest/api/token", headerTTL, "60")
	if got := <-l.seen; got != 3 {
		t.Errorf("the token was sent with TTL %d", got)
	}
	request(http.MethodGet, "/latest/meta-data/mac", headerToken, tok)
	if got := <-l.seen; got != fullTTL {
		t.Errorf("metadata was sent with TTL %d", got)
	}
	cancel()
	if err := <-ended; err == nil || strings.Contains(err.Error(), "serving") {
		t.Errorf("Serve ended with %v", err)
	}
}

func FuzzRequest(f *testing.F) {
	s := New(fleet{specFor("i-1", "10.0.0.5")}, time.Now)
	f.Add("/latest/meta-data/", "AAAA")
	f.Add("//", "")
	f.Fuzz(func(t *testing.T, path, token string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path, r.RemoteAddr = path, "10.0.0.5:1"
		r.Header.Set(headerToken, token)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			t.Errorf("%q was answered to token %q", path, token)
		}
	})
}

func TestLookupListsEveryDirectoryOfTheTree(t *testing.T) {
	tr := tree(specFor("i-1", "10.0.0.5", "10.0.0.6"))
	var walk func(path string) []string
	walk = func(path string) []string {
		listing, ok := lookup(tr, strings.TrimSuffix(path, "/"))
		if !ok {
			t.Fatalf("%q is not there", path)
		}
		var leaves []string
		for entry := range strings.SplitSeq(listing, "\n") {
			if strings.HasSuffix(entry, "/") {
				leaves = append(leaves, walk(path+entry)...)
			} else {
				leaves = append(leaves, path+entry)
			}
		}
		return leaves
	}
	for _, leaf := range walk("") {
		if _, ok := tr[leaf]; !ok {
			t.Errorf("%q is listed but not there", leaf)
		}
		delete(tr, leaf)
	}
	if diff := cmp.Diff(map[string]string{}, tr); diff != "" {
		t.Errorf("not listed:\n%s", diff)
	}
}
