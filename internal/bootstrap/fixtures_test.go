package bootstrap

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// testInput has certificates of the size of real ones.
func testInput(cloudInit string) Input {
	return Input{
		CloudInit:     cloudInit,
		CACertificate: fakePEM("CERTIFICATE", "ca", 11),
		Certificate:   fakePEM("CERTIFICATE", "leaf", 13),
		Key:           fakePEM("EC PRIVATE KEY", "key", 3),
		Agent:         Agent{URL: "http://100.64.77.1:5000/agents", Version: "v2.0.0-3+g1a2b"},
	}
}

func fakePEM(kind, text string, lines int) []byte {
	line := strings.Repeat(text+"/", 64)[:64] + "\n"
	return []byte("-----BEGIN " + kind + "-----\n" + strings.Repeat(line, lines) + "-----END " + kind + "-----\n")
}

// decoded is what a reader of the rendered document finds.
type decoded = map[string]any

// read undoes what cloud-init would undo: compression, then YAML.
func read(t testing.TB, userData []byte) decoded {
	t.Helper()
	text := inflate(t, userData)
	if !bytes.HasPrefix(text, []byte("#cloud-config\n")) {
		t.Fatalf("the first line is not #cloud-config: %q", text[:min(len(text), 40)])
	}
	var out decoded
	if err := yaml.Unmarshal(text, &out); err != nil {
		t.Fatalf("what was rendered is not YAML: %v\n%s", err, text)
	}
	return out
}

func inflate(t testing.TB, userData []byte) []byte {
	t.Helper()
	if !bytes.HasPrefix(userData, []byte{0x1f, 0x8b}) {
		return userData
	}
	r, err := gzip.NewReader(bytes.NewReader(userData))
	if err != nil {
		t.Fatal(err)
	}
	if !r.ModTime.Equal(time.Time{}) || r.Name != "" {
		t.Errorf("the gzip header has time %v and name %q", r.ModTime, r.Name)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// ours are the items that UserData adds to the two lists.
func ours(in Input) (files, commands []any) {
	for _, f := range []struct{ path, content string }{
		{"/tmp/itzo/ca.crt", string(in.CACertificate)},
		{"/tmp/itzo/server.crt", string(in.Certificate)},
		{"/tmp/itzo/server.key", string(in.Key)},
		{"/tmp/itzo/itzo_url", in.Agent.URL},
		{"/tmp/itzo/itzo_version", in.Agent.Version},
		{"/tmp/itzo/start-agent.sh", string(startAgent)},
	} {
		files = append(files, map[string]any{"path": f.path, "owner": "root", "permissions": "0400", "content": f.content})
	}
	return files, []any{"sh /tmp/itzo/start-agent.sh"}
}
