package aws

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/internal/bootstrap"
)

// fetch runs until the files are there, and answers what was logged.
func (f *fakeAWS) fetch(t *testing.T) (map[string][]byte, []string) {
	t.Helper()
	var logged []string
	log := funcr.New(func(_, line string) { logged = append(logged, line) }, funcr.Options{})
	ctx, cancel := context.WithTimeout(logr.NewContext(t.Context(), log), time.Minute)
	defer cancel()
	files, err := Fetch(ctx, f.options())
	if err != nil {
		t.Fatalf("%v; logged %q", err, logged)
	}
	return files, logged
}

func (f *fakeAWS) options() Options {
	return Options{
		Endpoint: f.URL, MetadataEndpoint: f.URL, Required: []string{"ca.crt", "server.crt", "server.key"},
		first: time.Millisecond, most: time.Millisecond,
	}
}

// put stores what the operator would, for a cell with a configuration of that
// many bytes.
func (f *fakeAWS) put(t *testing.T, size int) map[string][]byte {
	t.Helper()
	in := bootstrap.Input{
		CACertificate: []byte("ca\n"), Certificate: []byte("certificate\n"), Key: []byte("key\n"),
		Agent: bootstrap.Agent{URL: "http://mirror", Version: "v2"}, CellConfig: map[string]string{"a": strings.Repeat("ü", size/2)},
	}
	parts, err := bootstrap.Parameters(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		f.parameters[strings.TrimSuffix(name, "config")+part.Name] = part.Value
	}
	return map[string][]byte{
		"ca.crt": in.CACertificate, "server.crt": in.Certificate, "server.key": in.Key, "itzo_url": []byte("http://mirror"),
		"itzo_version": []byte("v2"), "cell_config.yaml": []byte(`"a": "` + in.CellConfig["a"] + "\"\n"),
	}
}

func TestFetchesWhatTheOperatorWrites(t *testing.T) {
	for size, asked := range map[int][]string{
		100:   {"", "-0"},
		9000:  {"", "-0", "-1", "-2", "-3"},
		40000: {"", "-0", "-1", "-2", "-3", "-4", "-5", "-6", "-7", "-8", "-9"},
	} {
		f := newFakeAWS(t)
		want := f.put(t, size)
		files, logged := f.fetch(t)
		if diff := cmp.Diff(want, files); diff != "" || len(logged) > 0 {
			t.Errorf("%d bytes (-want +got):\n%s\nlogged %q", size, diff, logged)
		}
		if !slices.Equal(f.asked, asked) {
			t.Errorf("%d bytes: asked for %q, want %q", size, f.asked, asked)
		}
	}
}

// TestWaits for whatever may come right, and says each reason once.
func TestWaits(t *testing.T) {
	tests := map[string]struct {
		spoil, mend func(*fakeAWS)
		want        string
	}{
		"not written yet": {func(f *fakeAWS) { clear(f.parameters) }, func(f *fakeAWS) { f.put(f.t, 100) },
			"cannot read parameter " + name + ": ParameterNotFound"},
		"not permitted yet": {func(f *fakeAWS) { f.answers[name] = denied(name) }, func(f *fakeAWS) { clear(f.answers) },
			"is not authorized to perform: ssm:GetParameter on resource"},
		"throttled": {func(f *fakeAWS) {
			f.answers[name] = answer{http.StatusBadRequest, `{"__type":"ThrottlingException","Message":"Rate exceeded"}`}
		},
			func(f *fakeAWS) { clear(f.answers) }, "ThrottlingException: Rate exceeded"},
		"fails": {func(f *fakeAWS) { f.answers[name] = answer{http.StatusInternalServerError, ``} }, func(f *fakeAWS) { clear(f.answers) }, "reason"},
		"document and parts": {func(f *fakeAWS) { f.parameters[name+"-0"] = "x" }, func(f *fakeAWS) { delete(f.parameters, name+"-0") },
			"parameter " + name + " is there, and " + name + "-0 too: one of them must be deleted"},
		"not a document": {func(f *fakeAWS) { f.parameters[name] = "- secret" }, func(f *fakeAWS) { f.put(f.t, 100) },
			"reading parameter " + name + ": line 1: it is not a mapping"},
		"no key": {func(f *fakeAWS) { f.parameters[name] = "ca.crt: a\nserver.crt: b\n" }, func(f *fakeAWS) { f.put(f.t, 100) },
			"parameter " + name + " lacks server.key"},
	}
	for what, c := range tests {
		t.Run(what, func(t *testing.T) {
			f := newFakeAWS(t)
			want := f.put(t, 100)
			c.spoil(f)
			f.changed = func(asked []string) {
				if len(asked) > 8 {
					c.mend(f)
				}
			}
			files, logged := f.fetch(t)
			if diff := cmp.Diff(want, files); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(logged) != 1 || !strings.Contains(logged[0], c.want) || strings.Contains(logged[0], "secret") {
				t.Errorf("logged %q, want %q once", logged, c.want)
			}
		})
	}
}

// TestWaitsForTheProfile: EC2 shows an instance's role some time after its start.
func TestWaitsForTheProfile(t *testing.T) {
	f := newFakeAWS(t)
	f.put(t, 100)
	f.profile = false
	ctx, cancel := context.WithCancel(t.Context())
	log := funcr.New(func(_, line string) {
		if strings.Contains(line, "no EC2 IMDS role found") {
			cancel()
		} else {
			t.Error(line)
		}
	}, funcr.Options{})
	if _, err := Fetch(logr.NewContext(ctx, log), f.options()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	f.mu.Lock()
	f.profile = true
	f.mu.Unlock()
	f.fetch(t)
}

// TestPartsAreReadToTheirEnd: a part written late is not missed, though the
// parts before it make a document.
func TestPartsAreReadToTheirEnd(t *testing.T) {
	f := newFakeAWS(t)
	want := f.put(t, 6000)
	last := name + "-1"
	late := f.parameters[last]
	delete(f.parameters, last)
	f.changed = func(asked []string) {
		if len(asked) == 4 {
			f.parameters[last] = late
		}
	}
	files, _ := f.fetch(t)
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPartsOfTwoDocuments: a cell that reads while its parameters are written
// anew joins no part of the one with a part of the other, though that would make
// a document.
func TestPartsOfTwoDocuments(t *testing.T) {
	f := newFakeAWS(t)
	f.put(t, 6000)
	old := f.parameters[name+"-1"]
	want := f.put(t, 7000)
	now := f.parameters[name+"-1"]
	f.parameters[name+"-1"] = old
	f.changed = func(asked []string) {
		if len(asked) > 6 {
			f.parameters[name+"-1"] = now
		}
	}
	files, logged := f.fetch(t)
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(logged) != 1 || !strings.Contains(logged[0], "not all of the same document") {
		t.Errorf("logged %q", logged)
	}
}

// TestPartsOfTheirTagOnly: with a policy that goes by tags, what is missing is
// denied.
func TestPartsOfTheirTagOnly(t *testing.T) {
	f := newFakeAWS(t)
	want := f.put(t, 6000)
	f.answers[name], f.answers[name+"-2"] = denied(name), denied(name+"-2")
	files, logged := f.fetch(t)
	if diff := cmp.Diff(want, files); diff != "" || len(logged) > 0 {
		t.Errorf("(-want +got):\n%s\nlogged %q", diff, logged)
	}
}

// TestFullLastPart: it may be the last one after all.
func TestFullLastPart(t *testing.T) {
	f := newFakeAWS(t)
	required := "ca.crt: a\nserver.crt: b\nserver.key: c\nx: "
	f.parameters[name+"-0"] = required + strings.Repeat("x", maxChunk-len(required))
	files, logged := f.fetch(t)
	if len(files) != 4 || len(logged) != 1 || !strings.Contains(logged[0], "looking whether another follows") {
		t.Errorf("%d files, logged %q", len(files), logged)
	}
}

// TestNetworkErrors name no ports, which would make each one another reason.
func TestNetworkErrors(t *testing.T) {
	f := newFakeAWS(t)
	ctx, cancel := context.WithCancel(t.Context())
	log := funcr.New(func(_, line string) {
		if !strings.Contains(line, "connection refused") {
			t.Error(line)
		}
		cancel()
	}, funcr.Options{})
	options := f.options()
	options.Endpoint = "http://127.0.0.1:1"
	if _, err := Fetch(logr.NewContext(ctx, log), options); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
