package aws

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kip.elotl.co/internal/cloud"
)

// farSide is EC2 with buckets of its own, in a bubble's time. It sees a call
// after half of the latency.
type farSide struct {
	mu       sync.Mutex
	start    time.Time
	latency  time.Duration
	perCall  map[string]*farBucket
	launched map[string]time.Time // by ClientToken
	refused  []time.Time
	order    []string
}

// farBucket is filled once a second, as EC2 says that it does.
type farBucket struct {
	tokens, burst, perSecond float64
	filled                   int64 // seconds
}

func (b *farBucket) take(now int64) bool {
	b.tokens, b.filled = min(b.burst, b.tokens+float64(now-b.filled)*b.perSecond), now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func (f *farSide) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	time.Sleep(f.latency / 2)
	status, answer := f.answer(form)
	time.Sleep(f.latency / 2)
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"text/xml"}},
		Body: io.NopCloser(strings.NewReader(answer)), Request: r,
	}, nil
}

func (f *farSide) answer(form url.Values) (status int, answer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	action := form.Get("Action")
	f.order = append(f.order, action)
	if b := f.perCall[action]; b != nil && !b.take(int64(time.Since(f.start)/time.Second)) {
		f.refused = append(f.refused, time.Now())
		return http.StatusServiceUnavailable, `<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Request limit exceeded.</Message></Error></Errors><RequestID>r</RequestID></Response>`
	}
	if action != "RunInstances" {
		return http.StatusOK, fmt.Sprintf(`<%sResponse/>`, action)
	}
	if token := form.Get("ClientToken"); f.launched[token].IsZero() {
		f.launched[token] = time.Now()
	}
	return http.StatusOK, `<RunInstancesResponse><instancesSet><item><instanceId>i-0123</instanceId></item></instancesSet></RunInstancesResponse>`
}

// count is how many launches there were in a time, and how many were refused.
func (f *farSide) count(from, to time.Time) (launched, refused int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in := func(t time.Time) bool { return !t.Before(from) && t.Before(to) }
	for _, t := range f.launched {
		if in(t) {
			launched++
		}
	}
	for _, t := range f.refused {
		if in(t) {
			refused++
		}
	}
	return launched, refused
}

func newFarSide(t *testing.T, burst, perSecond float64) (*farSide, *Client) {
	t.Helper()
	f := &farSide{
		start: time.Now(), latency: 1500 * time.Millisecond, launched: map[string]time.Time{},
		perCall: map[string]*farBucket{"RunInstances": {tokens: burst, burst: burst, perSecond: perSecond}},
	}
	return f, newClient(t, "http://ec2.invalid", Options{Region: "us-east-1", transport: f})
}

// launchUntilDone launches n instances at once, each again and again until it
// is there, as the Cells' controller does.
func launchUntilDone(t *testing.T, c *Client, n int) {
	t.Helper()
	parallel(n, func(i int) {
		for {
			_, err := c.Launch(t.Context(), request(fmt.Sprintf("cell-%d", i)))
			if err == nil {
				return
			}
			if kind := cloud.KindOf(err); kind != cloud.KindThrottled && kind != cloud.KindTransient {
				t.Errorf("launch %d: %v", i, err)
				return
			}
			time.Sleep(time.Second)
		}
	})
}

// 500 launches at once, with EC2's buckets as they are published.
func TestLaunchesAsFastAsTheBucketAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFarSide(t, 5, 2)
		launchUntilDone(t, c, 500)
		took := time.Since(f.start)
		launched, refused := f.count(f.start, time.Now())
		share := float64(launched) / (5 + 2*took.Seconds())
		t.Logf("500 launches took %v: %.1f %% of what the bucket allows; %d calls refused", took.Round(time.Second), 100*share, refused)
		if launched != 500 || share < 0.95 || refused > 0 {
			t.Errorf("%d launched, %.3f of what is allowed, %d refused", launched, share, refused)
		}
	})
}

// The same, with EC2's buckets at a fraction of what is published.
func TestLaunchesWithSmallerBucketsThanPublished(t *testing.T) {
	for fraction, atLeast := range map[float64]float64{0.8: 0.95, 0.5: 0.95, 0.25: 0.85} {
		t.Run(fmt.Sprint(fraction), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFarSide(t, 5*fraction, 2*fraction)
				launchUntilDone(t, c, 500)
				took := time.Since(f.start)
				launched, refused := f.count(f.start.Add(10*time.Second), time.Now())
				share := 500 / (5*fraction + 2*fraction*took.Seconds())
				throttled := float64(refused) / float64(refused+launched)
				_, all := f.count(f.start, time.Now())
				t.Logf("500 launches took %v: %.1f %% of what the buckets allow; after 10 s %.1f %% of calls refused (%d, %d in all)",
					took.Round(time.Second), 100*share, 100*throttled, refused, all)
				if throttled >= 0.05 || share < atLeast {
					t.Errorf("%.3f of calls refused, %.3f of what is allowed", throttled, share)
				}
			})
		})
	}
}

// EC2's buckets are halved in the middle, and put right again later.
func TestBucketsThatAreHalvedBehindOurBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFarSide(t, 5, 2)
		set := func(burst, perSecond float64) {
			f.mu.Lock()
			defer f.mu.Unlock()
			b := f.perCall["RunInstances"]
			b.burst, b.perSecond = burst, perSecond
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			launchUntilDone(t, c, 1000)
		}()
		time.Sleep(60 * time.Second)
		halved := time.Now()
		set(2.5, 1)
		time.Sleep(250 * time.Second)
		restored := time.Now()
		set(5, 2)
		<-done
		ended := time.Now()
		launched, refused := f.count(halved.Add(10*time.Second), restored)
		throttled := float64(refused) / float64(refused+launched)
		share := float64(launched) / restored.Sub(halved.Add(10*time.Second)).Seconds()
		_, before := f.count(f.start, halved)
		_, atFirst := f.count(halved, halved.Add(10*time.Second))
		again, late := f.count(restored, ended)
		t.Logf("while halved: %.1f %% of calls refused after 10 s (%d; %d before that), %.1f %% of what is allowed; restored: %.1f %% of what is allowed, %d refused",
			100*throttled, refused, atFirst, 100*share, 100*float64(again)/2/ended.Sub(restored).Seconds(), late)
		if before > 0 || throttled >= 0.05 || share < 0.95 || atFirst > 5 {
			t.Errorf("%d refused before, %.3f of calls after, %d at first, %.3f of what is allowed", before, throttled, atFirst, share)
		}
		if len(f.launched) != 1000 {
			t.Errorf("%d launched", len(f.launched))
		}
	})
}
