package aws_test

import (
	"context"
	"net"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/imds"
	"kip.elotl.co/internal/agent/aws"
)

type only boot.Spec

func (o only) BySourceIP(netip.Addr) (boot.Spec, imds.Role, bool) {
	return boot.Spec(o), imds.Primary, true
}

// TestNotices: nothing, a recommendation, an interruption, as the metadata
// service of version 2 tells them.
func TestNotices(t *testing.T) {
	var told boot.Notices
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	spec := only{InstanceID: "i-1", Metadata: boot.MetadataOptions{TokensRequired: true, HopLimit: 1}, Notices: func() boot.Notices { return told }}
	server := httptest.NewServer(imds.New(spec, time.Now))
	defer server.Close()
	ask := aws.Notices(server.URL)
	if got, err := ask(t.Context()); err != nil || got.Interruption != nil || got.Rebalance != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	told.Rebalance = at
	if got, err := ask(t.Context()); err != nil || got.Interruption != nil || got.Rebalance == nil || !got.Rebalance.Equal(at) {
		t.Fatalf("%+v, %v", got, err)
	}
	told.Maintenance = []boot.Maintenance{{ID: "instance-event-1", Code: "system-reboot", Description: "scheduled reboot", NotBefore: at}}
	if got, err := ask(t.Context()); err != nil || len(got.Maintenance) != 1 || got.Maintenance[0].Code != "system-reboot" || !got.Maintenance[0].NotBefore.Equal(at) || !got.Maintenance[0].NotAfter.IsZero() {
		t.Fatalf("%+v, %v", got, err)
	}
	told.Interruption = at
	got, err := ask(t.Context())
	if err != nil || got.Interruption == nil || got.Interruption.Action != "terminate" || !got.Interruption.Time.Equal(at) {
		t.Fatalf("%+v, %v", got, err)
	}
}

// TestNoMetadata: one that does not answer costs no more than the time given.
func TestNoMetadata(t *testing.T) {
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := aws.Notices("http://" + silent.Addr().String())(ctx); err == nil {
		t.Error("it answers")
	}
}
