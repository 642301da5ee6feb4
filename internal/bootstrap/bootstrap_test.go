package bootstrap

import (
	"bytes"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"kip.elotl.co/hack/localaws/firstboot/userdata"
)

var update = flag.Bool("update", false, "write the golden files")

func TestUserData(t *testing.T) {
	for name, c := range map[string]struct {
		cloudInit       string
		files, commands []any // the user's, which stand before ours
		rest            decoded
	}{
		"nothing":         {cloudInit: ""},
		"only the header": {cloudInit: "#cloud-config"},
		"only comments":   {cloudInit: "#cloud-config\n# later\n"},
		"null":            {cloudInit: "~"},
		"no header":       {cloudInit: "packages: [jq]\n", rest: decoded{"packages": []any{"jq"}}},
		"header in capitals after blanks": {
			cloudInit: "\n  #Cloud-Config x\npackages: [jq]\n", rest: decoded{"packages": []any{"jq"}}},
		"byte order mark": {cloudInit: "\ufeff#cloud-config\nhostname: a\n", rest: decoded{"hostname": "a"}},
		"carriage returns": {cloudInit: "#cloud-config\r\nhostname: a\r\nruncmd:\r\n- true a\r\n",
			rest: decoded{"hostname": "a"}, commands: []any{"true a"}},
		"lists are appended to": {
			cloudInit: "write_files:\n- path: /a\n  content: x\nruncmd:\n- echo one\n- [echo, two]\nhostname: h\n",
			files:     []any{map[string]any{"path": "/a", "content": "x"}},
			commands:  []any{"echo one", []any{"echo", "two"}},
			rest:      decoded{"hostname": "h"},
		},
		"empty lists":    {cloudInit: "write_files: []\nruncmd:\n"},
		"flow style":     {cloudInit: "{runcmd: [echo one], hostname: h}", commands: []any{"echo one"}, rest: decoded{"hostname": "h"}},
		"document marks": {cloudInit: "%YAML 1.1\n---\nhostname: h\n...\n", rest: decoded{"hostname": "h"}},
		"null commands":  {cloudInit: "runcmd:\n- echo one\n-\n", commands: []any{"echo one", nil}},
		"a list by alias": {
			cloudInit: "x: &l [echo one]\nruncmd: *l\n",
			commands:  []any{"echo one"},
			rest:      decoded{"x": []any{"echo one"}},
		},
		"a list that others share": {
			cloudInit: "runcmd: &l [echo one]\nx: *l\ny: {z: *l}\n",
			commands:  []any{"echo one"},
			rest:      decoded{"x": []any{"echo one"}, "y": decodedMap("z", []any{"echo one"})},
		},
		"an alias whose name is used again": {
			cloudInit: "a: &x one\nl: &l [*x]\nb: &x two\nruncmd: *l\n",
			commands:  []any{"one"},
			rest:      decoded{"a": "one", "l": []any{"one"}, "b": "two"},
		},
		"items by alias": {
			cloudInit: "c: &c echo one\nf: &f {path: /a}\nruncmd: [*c]\nwrite_files:\n- *f\n",
			commands:  []any{"echo one"},
			files:     []any{map[string]any{"path": "/a"}},
			rest:      decoded{"c": "echo one", "f": decodedMap("path", "/a")},
		},
		"a list that is merged in": {
			cloudInit: "base: &b {runcmd: [echo one], hostname: h}\n<<: *b\n",
			commands:  []any{"echo one"},
			rest:      decoded{"base": map[string]any{"runcmd": []any{"echo one"}, "hostname": "h"}, "hostname": "h"},
		},
		"lists merged in from two": {
			cloudInit: "b: &b {runcmd: [echo one]}\nc: &c {runcmd: [echo two], write_files: [{path: /a}]}\n<<: [*b, *c]\n",
			commands:  []any{"echo one"},
			files:     []any{map[string]any{"path": "/a"}},
			rest: decoded{"b": decodedMap("runcmd", []any{"echo one"}),
				"c": map[string]any{"runcmd": []any{"echo two"}, "write_files": []any{map[string]any{"path": "/a"}}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := testInput(c.cloudInit)
			if err := Validate(c.cloudInit); err != nil {
				t.Fatalf("Validate: %v", err)
			}
			out, err := UserData(in)
			if err != nil {
				t.Fatal(err)
			}
			files, commands := ours(in)
			want := decoded{"write_files": append(c.files, files...), "runcmd": append(c.commands, commands...)}
			for key, value := range c.rest {
				want[key] = value
			}
			if diff := cmp.Diff(want, read(t, out)); diff != "" {
				t.Errorf("rendered (-want +got):\n%s", diff)
			}
		})
	}
}

func decodedMap(key string, value any) decoded { return decoded{key: value} }

const goldenDocument = `#cloud-config
# Cells of the build farm.
timezone: Europe/Berlin # as the servers
ssh_authorized_keys:
  - ssh-ed25519 AAAA ops

# A proxy for everybody.
write_files:
  - path: /etc/profile.d/proxy.sh
    permissions: 0644 # octal, as YAML 1.1 reads it
    content: |
      export http_proxy=http://proxy:3128
      	# an indented line
  - {path: /etc/empty}
disable_root: yes
runcmd:
  - 'echo "key: value"'
  # the last one
  - [ sh, -c, "date > /booted" ]
`

func TestGolden(t *testing.T) {
	stored := testInput(goldenDocument)
	stored.ParameterStore, stored.PowerOffAfter = true, 24*time.Hour
	stored.Agent.SHA256 = map[string]string{"itzo-amd64": strings.Repeat("ab", 32)}
	for file, in := range map[string]Input{
		"golden.yaml": testInput(goldenDocument), "stored.yaml": stored, "message.txt": testInput(userMessage),
	} {
		got, err := UserData(in)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "testdata/"+file, got)
	}
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// What boots local cells must understand what is rendered.
func TestFirstBootReadsIt(t *testing.T) {
	for name, cloudInit := range map[string]string{"plain": goldenDocument, "compressed": goldenDocument + filler(MaxUserData)} {
		t.Run(name, func(t *testing.T) {
			in := testInput(cloudInit)
			out, err := UserData(in)
			if err != nil {
				t.Fatal(err)
			}
			config, err := userdata.Parse(out)
			if err != nil || len(config.Problems) > 0 {
				t.Fatalf("%v, %q", err, config.Problems)
			}
			if len(config.Files) != 8 || config.Files[4].Path != "/tmp/itzo/server.key" ||
				!bytes.Equal(config.Files[4].Content, in.Key) || config.Files[4].Mode != 0o400 {
				t.Errorf("files: %+v", config.Files)
			}
			if len(config.Scripts) != 1 || !strings.HasSuffix(string(config.Scripts[0].Body), "'sh' '-c' 'date > /booted'\nsh /tmp/itzo/start-agent.sh\n") {
				t.Errorf("scripts: %q", config.Scripts)
			}
		})
	}
}

func TestUserDataIsDeterministic(t *testing.T) {
	for name, cloudInit := range map[string]string{"plain": goldenDocument, "compressed": goldenDocument + filler(MaxUserData)} {
		first, err := UserData(testInput(cloudInit))
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if again, err := UserData(testInput(cloudInit)); err != nil || !bytes.Equal(first, again) {
				t.Errorf("%s: other bytes, or %v", name, err)
			}
		}
	}
}

// filler is a comment of n bytes that compresses well.
func filler(n int) string { return "\n# " + strings.Repeat("x", n-4) + "\n" }

// noise is a key whose value of n bytes does not compress well.
func noise(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_."
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, n)
	for i := range text {
		text[i] = letters[random.IntN(len(letters))]
	}
	return "noise: x" + string(text) + "\n"
}

func TestLimitForPlainText(t *testing.T) {
	empty, err := UserData(testInput("noise: x\n"))
	if err != nil {
		t.Fatal(err)
	}
	room := MaxUserData - len(empty)
	fits, err := UserData(testInput("noise: x" + strings.Repeat("y", room) + "\n"))
	if err != nil || len(fits) != MaxUserData || !bytes.HasPrefix(fits, []byte("#cloud-config\n")) {
		t.Errorf("at the limit: %d bytes, starting %q, %v", len(fits), fits[:14], err)
	}
	over, err := UserData(testInput("noise: x" + strings.Repeat("y", room+1) + "\n"))
	if err != nil || !bytes.HasPrefix(over, []byte{0x1f, 0x8b}) || len(over) > MaxUserData {
		t.Errorf("a byte over the limit: %d bytes, starting %q, %v", len(over), over[:14], err)
	}
	if got := len(inflate(t, over)); got != MaxUserData+1 {
		t.Errorf("inflated: %d bytes", got)
	}
}

func TestLimitForCompressed(t *testing.T) {
	// The largest document that fits is found by halving; the next one must not.
	fits, tooLarge := 1024, 4*MaxUserData
	for tooLarge-fits > 1 {
		n := (fits + tooLarge) / 2
		if _, err := UserData(testInput(noise(n))); err == nil {
			fits = n
		} else {
			tooLarge = n
		}
	}
	out, err := UserData(testInput(noise(fits)))
	if err != nil || len(out) > MaxUserData || len(out) < MaxUserData-8 {
		t.Errorf("the largest has %d bytes, %v", len(out), err)
	}
	_, err = UserData(testInput(noise(tooLarge)))
	var size *SizeError
	if !errors.As(err, &size) {
		t.Fatalf("error %v, want a SizeError", err)
	}
	if size.Limit != 16384 || size.Compressed <= size.Limit || size.Compressed > size.Limit+8 || size.Raw <= size.Compressed {
		t.Errorf("%+v", size)
	}
	for _, want := range []string{"the limit is 16384", "shorten cloudInit"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
}

func TestIncompleteInput(t *testing.T) {
	for name, take := range map[string]func(*Input){
		"CA":          func(in *Input) { in.CACertificate = nil },
		"certificate": func(in *Input) { in.Certificate = nil },
		"key":         func(in *Input) { in.Key = nil },
		"URL":         func(in *Input) { in.Agent.URL = "" },
	} {
		in := testInput("")
		take(&in)
		if _, err := UserData(in); err == nil {
			t.Errorf("no error without %s", name)
		}
		if _, err := Parameters(in); err == nil {
			t.Errorf("no error for the parameters without %s", name)
		}
	}
}

// content is what a file of the rendered document holds; found is false where
// there is none of that name.
func content(t *testing.T, in Input, name string) (text string, found bool) {
	t.Helper()
	rendered, err := UserData(in)
	if err != nil {
		t.Fatal(err)
	}
	config, err := userdata.Parse(rendered)
	if err != nil || len(config.Problems) > 0 {
		t.Fatalf("%v, %q", err, config.Problems)
	}
	for _, f := range config.Files {
		if f.Path == Dir+"/"+name {
			return string(f.Content), true
		}
	}
	return "", false
}

func TestVersion(t *testing.T) {
	for version, want := range map[string]string{
		"1.2.3": "v1.2.3", " 1.2.3-rc.1\n": "v1.2.3-rc.1", "v1.2.3": "v1.2.3", "latest": "latest", "1.2": "1.2", "": "", "dev-1": "dev-1",
	} {
		in := testInput("")
		in.Agent.Version = version
		if got, _ := content(t, in, "itzo_version"); got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
	}
}

// TestPowerOffAfter: the parameter is there unless the operator may be silent for
// ever, also for cells with a parameter store, whose agents are started before
// they can ask it.
func TestPowerOffAfter(t *testing.T) {
	in := testInput("")
	if got, found := content(t, in, "power_off_after"); found {
		t.Errorf("for ever: %q", got)
	}
	in.PowerOffAfter = 90 * time.Minute
	for _, in.ParameterStore = range []bool{false, true} {
		if got, _ := content(t, in, "power_off_after"); got != "1h30m0s" {
			t.Errorf("%q", got)
		}
	}
}

func TestAgentsDigests(t *testing.T) {
	in := testInput("")
	if got, found := content(t, in, "sha256sums"); found {
		t.Errorf("without digests: %q", got)
	}
	in.Agent.SHA256 = map[string]string{"pause-amd64": "AB", "itzo-amd64": "cd"}
	if got, _ := content(t, in, "sha256sums"); got != "cd  itzo-amd64\nab  pause-amd64\n" {
		t.Errorf("%q", got)
	}
}

func TestCellConfig(t *testing.T) {
	in := testInput("")
	in.CellConfig = map[string]string{"itzoFlag-v": "5", "b": "yes", "a": "two\nlines: \"x\""}
	got, _ := content(t, in, "cell_config.yaml")
	var back map[string]string
	if err := yaml.Unmarshal([]byte(got), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in.CellConfig, back); diff != "" {
		t.Errorf("%s (-want +got):\n%s", got, diff)
	}
	if !strings.Contains(got, `"itzoFlag-v": "5"`) || !strings.Contains(got, `"b": "yes"`) {
		t.Errorf("values are not quoted: %s", got)
	}
}

// TestSnapshotter: the parameter is there only where it is asked for.
func TestSnapshotter(t *testing.T) {
	in := testInput("")
	for _, snapshotter := range []string{"", NativeSnapshotter} {
		in.Snapshotter = snapshotter
		rendered, err := UserData(in)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := ours(in)
		if snapshotter != "" {
			want = append(want, map[string]any{"path": "/tmp/itzo/snapshotter", "owner": "root", "permissions": "0400", "content": snapshotter})
		}
		if diff := cmp.Diff(want, read(t, rendered)["write_files"]); diff != "" {
			t.Errorf("%q: files (-want +got):\n%s", snapshotter, diff)
		}
	}
}
