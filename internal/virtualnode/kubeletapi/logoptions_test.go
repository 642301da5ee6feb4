package kubeletapi

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

func ptr[T any](v T) *T { return &v }

func TestParseLogOptions(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC).Local())
	tests := []struct {
		query string
		want  corev1.PodLogOptions
	}{
		{"", corev1.PodLogOptions{}},
		{"follow=true&previous=1&timestamps=", corev1.PodLogOptions{Follow: true, Previous: true, Timestamps: true}},
		{"follow=false&previous=0&timestamps=False", corev1.PodLogOptions{}},
		{"tailLines=0", corev1.PodLogOptions{TailLines: ptr(int64(0))}},
		{"tailLines=10&limitBytes=1&sinceSeconds=60", corev1.PodLogOptions{TailLines: ptr(int64(10)), LimitBytes: ptr(int64(1)), SinceSeconds: ptr(int64(60))}},
		{"sinceTime=2026-02-03T04:05:06Z", corev1.PodLogOptions{SinceTime: &at}},
		{"stream=All&tailLines=2", corev1.PodLogOptions{Stream: ptr("All"), TailLines: ptr(int64(2))}},
		{"stream=Stderr", corev1.PodLogOptions{Stream: ptr("Stderr")}},
		{"container=main&insecureSkipTLSVerifyBackend=true&new=thing", corev1.PodLogOptions{}},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			query, err := url.ParseQuery(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseLogOptions(query)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, *got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseLogOptionsRefuses(t *testing.T) {
	tests := map[string]int{
		"tailLines=":                      http.StatusBadRequest,
		"tailLines=many":                  http.StatusBadRequest,
		"tailLines=1.5":                   http.StatusBadRequest,
		"limitBytes=99999999999999999999": http.StatusBadRequest,
		"sinceTime=yesterday":             http.StatusBadRequest,
		"tailLines=-1":                    http.StatusUnprocessableEntity,
		"limitBytes=0":                    http.StatusUnprocessableEntity,
		"sinceSeconds=0":                  http.StatusUnprocessableEntity,
		"sinceSeconds=1&sinceTime=2026-02-03T04:05:06Z": http.StatusUnprocessableEntity,
		"stream=stdin":              http.StatusUnprocessableEntity,
		"stream=Stdout&tailLines=1": http.StatusUnprocessableEntity,
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			query, err := url.ParseQuery(text)
			if err != nil {
				t.Fatal(err)
			}
			_, err = parseLogOptions(query)
			var refused *requestError
			if !errors.As(err, &refused) || refused.code != want {
				t.Errorf("got %v, want code %d", err, want)
			}
		})
	}
}

// What the API server writes from options is read back as those.
func TestParseLogOptionsReadsTheAPIServers(t *testing.T) {
	since := metav1.NewTime(time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC).Local())
	for _, want := range []*corev1.PodLogOptions{
		{},
		{Timestamps: true, TailLines: ptr(int64(7)), LimitBytes: ptr(int64(8)), SinceSeconds: ptr(int64(9))},
		{Follow: true, Previous: true, SinceTime: &since, Stream: ptr(corev1.LogStreamStdout)},
	} {
		query, err := scheme.ParameterCodec.EncodeParameters(want, corev1.SchemeGroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseLogOptions(query)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v: %s", query, diff)
		}
	}
}

func FuzzParseLogOptions(f *testing.F) {
	for _, seed := range []string{"", "tailLines=3&timestamps=true", "sinceTime=2026-02-03T04:05:06%2B01:00", "sinceSeconds=-1", "stream=Stdout&follow", "sinceTime=null&limitBytes=9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		query, err := url.ParseQuery(text)
		if err != nil {
			t.Skip()
		}
		options, err := parseLogOptions(query)
		if err != nil {
			var refused *requestError
			if !errors.As(err, &refused) || (refused.code != http.StatusBadRequest && refused.code != http.StatusUnprocessableEntity) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if checkLogOptions(options) != nil {
			t.Fatalf("%q: accepted %+v", text, options)
		}
		encoded, err := scheme.ParameterCodec.EncodeParameters(options, corev1.SchemeGroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseLogOptions(encoded)
		if err != nil {
			t.Fatalf("%q: written as %v, read as %v", text, encoded, err)
		}
		if diff := cmp.Diff(options.TailLines, again.TailLines) + cmp.Diff(options.SinceSeconds, again.SinceSeconds); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	})
}
