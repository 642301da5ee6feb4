package aws

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/internal/cloud"
)

func TestInstanceType(t *testing.T) {
	e := newEmulator(t)
	e.pageSize = 5
	for _, want := range []cloud.InstanceType{
		{Name: "t3.nano", Architectures: []cloud.Architecture{cloud.AMD64}, VCPUs: 2, MemoryMiB: 512, IPv4PerInterface: 2, Zones: []string{"us-east-1a", "us-east-1b", "us-east-1c"}},
		{Name: "t4g.micro", Architectures: []cloud.Architecture{cloud.ARM64}, VCPUs: 2, MemoryMiB: 1024, IPv4PerInterface: 2, Zones: []string{"us-east-1a", "us-east-1b", "us-east-1c"}},
	} {
		got, err := e.InstanceType(t.Context(), want.Name)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, %s (-want +got):\n%s", err, want.Name, diff)
		}
	}
}

func TestInstanceTypeIsRemembered(t *testing.T) {
	e := newEmulator(t)
	parallel(20, func(int) {
		got, err := e.InstanceType(t.Context(), "t3.nano")
		if err != nil || len(got.Zones) != 3 {
			t.Errorf("%+v, %v", got, err)
			return
		}
		got.Zones[0] = "changed by a caller"
	})
	if got, err := e.InstanceType(t.Context(), "t3.nano"); err != nil || got.Zones[0] != "us-east-1a" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, action := range []string{"DescribeInstanceTypes", "DescribeInstanceTypeOfferings"} {
		if calls := len(e.calls(action)); calls != 1 {
			t.Errorf("%d calls of %s", calls, action)
		}
	}
}

func TestInstanceTypeThatDoesNotExist(t *testing.T) {
	e := newEmulator(t)
	for range 3 {
		_, err := e.InstanceType(t.Context(), "t9.nano")
		wantKind(t, err, cloud.KindNotFound, "ec2:DescribeInstanceTypes", "t9.nano")
		if got := subject(err); got != "t9.nano" {
			t.Errorf("the error is about %q", got)
		}
	}
	if calls := len(e.journal.Since(0, "")); calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func TestInstanceTypeAsksAgainAfterAFailure(t *testing.T) {
	e := newEmulator(t)
	for _, action := range []string{"DescribeInstanceTypes", "DescribeInstanceTypeOfferings"} {
		e.plan(t, faults.Plan{Errors: []faults.Refusal{{Action: action, Code: "UnauthorizedOperation", Count: 1}}})
		_, err := e.InstanceType(t.Context(), "t3.nano")
		wantKind(t, err, cloud.KindUnauthorized, "ec2:"+action)
	}
	if got, err := e.InstanceType(t.Context(), "t3.nano"); err != nil || len(got.Zones) != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTypeCacheForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		cache := newTypeCache(func(_ context.Context, name string) (cloud.InstanceType, error) {
			asked.Add(1)
			if name == "missing" {
				return cloud.InstanceType{}, cloud.NotFound("ec2:X", name)
			}
			return cloud.InstanceType{Name: name}, nil
		})
		for _, c := range []struct {
			name  string
			pause time.Duration
			asked int32
		}{
			{"there", 0, 1}, {"there", typeLifetime - time.Second, 1}, {"there", time.Second, 2},
			{"missing", 0, 3}, {"missing", missingLifetime - time.Second, 3}, {"missing", time.Second, 4},
			{"there", 0, 4},
		} {
			time.Sleep(c.pause)
			if _, err := cache.get(t.Context(), c.name); (err != nil) != (c.name == "missing") {
				t.Errorf("%s: %v", c.name, err)
			}
			if asked.Load() != c.asked {
				t.Errorf("%s after %v more: asked %d times, want %d", c.name, c.pause, asked.Load(), c.asked)
			}
		}
		time.Sleep(2 * typeLifetime)
		if _, err := cache.get(t.Context(), "new"); err != nil || len(cache.known) != 1 {
			t.Errorf("%v; %d types are remembered", err, len(cache.known))
		}
	})
}

func TestTypeCacheOutlivesACaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := newTypeCache(func(ctx context.Context, name string) (cloud.InstanceType, error) {
			return cloud.InstanceType{Name: name}, sleep(ctx, time.Second)
		})
		brief, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		parallel(2, func(i int) {
			ctx := t.Context()
			if i == 0 {
				ctx = brief
			} else {
				time.Sleep(time.Microsecond) // so that the brief one asks first
			}
			got, err := cache.get(ctx, "t3.nano")
			if i == 0 && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the brief caller: %v", err)
			}
			if i == 1 && (err != nil || got.Name != "t3.nano") {
				t.Errorf("the patient caller: %+v, %v", got, err)
			}
		})
	})
}
