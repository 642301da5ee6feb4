package bootstrap

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// joined puts chunks together and checks what must hold of each.
func joined(t testing.TB, parameters []Parameter) string {
	t.Helper()
	var out strings.Builder
	for i, p := range parameters {
		if name := fmt.Sprintf("config-%d", i); p.Name != name && (len(parameters) > 1 || p.Name != "config") {
			t.Errorf("parameter %d of %d is called %s", i, len(parameters), p.Name)
		}
		if len(p.Value) == 0 || len(p.Value) > 4096 {
			t.Errorf("%s has %d bytes", p.Name, len(p.Value))
		}
		out.WriteString(p.Value)
	}
	return out.String()
}

func TestParameters(t *testing.T) {
	in := testInput("")
	in.ParameterStore, in.CellConfig, in.PowerOffAfter = true, map[string]string{"a": "b"}, 24*time.Hour
	for size, many := range map[int]bool{0: false, 9000: true} {
		in.CellConfig["long"] = strings.Repeat("é", size)
		parameters, err := Parameters(in)
		if err != nil {
			t.Fatal(err)
		}
		if len(parameters) > 1 != many {
			t.Errorf("%d parameters", len(parameters))
		}
		var got map[string]string
		if err := yaml.Unmarshal([]byte(joined(t, parameters)), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"ca.crt": string(in.CACertificate), "server.crt": string(in.Certificate), "server.key": string(in.Key),
			"itzo_url": in.Agent.URL, "itzo_version": in.Agent.Version, "cell_config.yaml": string(cellConfig(in.CellConfig)), "power_off_after": "24h0m0s",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	in.CellConfig["long"] = strings.Repeat("x", 40_000)
	var size *ParameterSizeError
	if _, err := Parameters(in); !errors.As(err, &size) || size.Limit != 40_960 || size.Size <= size.Limit ||
		!strings.Contains(err.Error(), "shorten cellConfig by ") {
		t.Errorf("error %v, want a ParameterSizeError", err)
	}
}

// TestUserDataForTheStoreHoldsNoSecret, nor what comes from cellConfig.
func TestUserDataForTheStoreHoldsNoSecret(t *testing.T) {
	in := testInput(goldenDocument)
	in.ParameterStore, in.CellConfig = true, map[string]string{"password": "opensesame"}
	rendered, err := UserData(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"PRIVATE KEY", "CERTIFICATE", "opensesame"} {
		if bytes.Contains(rendered, []byte(secret)) {
			t.Errorf("it holds %q", secret)
		}
	}
	for _, endpoint := range []string{"", "https://ssm.example.com"} {
		in.StoreEndpoint = endpoint
		if got, want := first(content(t, in, "parameter_store")), strings.TrimSpace("ssm "+endpoint); got != want {
			t.Errorf("parameter_store is %q, want %q", got, want)
		}
	}
}

func first(text string, _ bool) string { return text }

func FuzzChunks(f *testing.F) {
	f.Add("a", 5000)
	f.Add("é", 3000)
	f.Add("\xff\x80", 4000)
	f.Fuzz(func(t *testing.T, text string, times int) {
		if times < 0 || times > 20_000 || len(text) > 64 {
			return
		}
		document := strings.Repeat(text, times)
		parameters, err := chunks(document)
		if err != nil {
			if len(document) <= 9*4096 {
				t.Fatalf("%d bytes: %v", len(document), err)
			}
			return
		}
		if document != "" && joined(t, parameters) != document {
			t.Fatal("the chunks are not the document")
		}
		for _, p := range parameters {
			if utf8.ValidString(document) && !utf8.ValidString(p.Value) {
				t.Fatalf("%s has half a character", p.Name)
			}
		}
	})
}
