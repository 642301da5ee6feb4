package kubeletapi

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// parseLogOptions reads the query that the API server makes of PodLogOptions.
// What it does not know it ignores, as a kubelet does. An error is an answer:
// 400 for what cannot be decoded, 422 for what makes no sense.
func parseLogOptions(query url.Values) (*corev1.PodLogOptions, error) {
	options := &corev1.PodLogOptions{
		Follow: flag(query, "follow"), Previous: flag(query, "previous"), Timestamps: flag(query, "timestamps"),
	}
	for name, into := range map[string]**int64{
		"sinceSeconds": &options.SinceSeconds, "tailLines": &options.TailLines, "limitBytes": &options.LimitBytes,
	} {
		if !query.Has(name) {
			continue
		}
		value, err := strconv.ParseInt(query.Get(name), 10, 64)
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "%s: %q is not a whole number", name, query.Get(name))
		}
		*into = &value
	}
	if query.Has("sinceTime") {
		options.SinceTime = &metav1.Time{}
		if err := options.SinceTime.UnmarshalQueryParameter(query.Get("sinceTime")); err != nil {
			return nil, refuse(http.StatusBadRequest, "sinceTime: %q is not a time in RFC 3339", query.Get("sinceTime"))
		}
	}
	if query.Has("stream") {
		stream := query.Get("stream")
		options.Stream = &stream
	}
	return options, checkLogOptions(options)
}

// flag reads a boolean as Kubernetes does: there, and neither 0 nor false.
func flag(query url.Values, name string) bool {
	value := query.Get(name)
	return query.Has(name) && value != "0" && !strings.EqualFold(value, "false")
}

// checkLogOptions has the rules of the API.
func checkLogOptions(o *corev1.PodLogOptions) error {
	switch {
	case o.TailLines != nil && *o.TailLines < 0:
		return senseless("tailLines: must be greater than or equal to 0")
	case o.LimitBytes != nil && *o.LimitBytes < 1:
		return senseless("limitBytes: must be greater than 0")
	case o.SinceSeconds != nil && o.SinceTime != nil:
		return senseless("at most one of sinceTime or sinceSeconds may be specified")
	case o.SinceSeconds != nil && *o.SinceSeconds < 1:
		return senseless("sinceSeconds: must be greater than 0")
	}
	return checkStream(o)
}

func checkStream(o *corev1.PodLogOptions) error {
	if o.Stream == nil {
		return nil
	}
	switch *o.Stream {
	case corev1.LogStreamAll:
		return nil
	case corev1.LogStreamStdout, corev1.LogStreamStderr:
		if o.TailLines != nil {
			return senseless("tailLines and a specific stream are mutually exclusive")
		}
		return nil
	}
	return senseless("stream: must be All, Stdout or Stderr")
}

func senseless(text string) error { return refuse(http.StatusUnprocessableEntity, "%s", text) }
