package userdata

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func gz(t testing.TB, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func b64(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

func TestParse(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want Config
	}{
		{name: "empty", in: "", want: Config{}},
		{name: "blank", in: " \n\n", want: Config{}},
		{name: "only the header", in: "#cloud-config\n", want: Config{}},
		{name: "null document", in: "#cloud-config\nnull\n", want: Config{}},
		{
			name: "shell script",
			in:   "#!/bin/bash\necho hi\n",
			want: Config{Scripts: []Script{{Name: "user-data", Body: []byte("#!/bin/bash\necho hi\n")}}},
		},
		{
			name: "no header",
			in:   "runcmd: [a]\n",
			want: Config{Unknown: []string{"user-data of type text/x-not-multipart"}},
		},
		{
			name: "include is not understood",
			in:   "#include\nhttp://a.example/\n",
			want: Config{Unknown: []string{"user-data of type text/x-include-url"}},
		},
		{
			name: "run and boot commands",
			in: `#cloud-config
bootcmd:
- modprobe nothing || true
runcmd:
- echo "$HOME"
- [echo, it's, 3, true]
- |
  for i in 1 2; do
    echo $i
  done
`,
			want: Config{
				BootCommands: "#!/bin/sh\nmodprobe nothing || true\n",
				Scripts: []Script{{Name: "runcmd", Body: []byte(
					"#!/bin/sh\necho \"$HOME\"\n'echo' 'it'\\''s' '3' 'true'\nfor i in 1 2; do\n  echo $i\ndone\n\n")}},
			},
		},
		{
			name: "names and keys",
			in: `#cloud-config
hostname: cell-1
fqdn: cell-1.example
timezone: Europe/Vienna
preserve_hostname: "no"
ssh_authorized_keys: [ssh-ed25519 AAAA me]
package_update: true
disk_setup: {}
`,
			want: Config{
				Hostname: "cell-1", FQDN: "cell-1.example", Timezone: "Europe/Vienna",
				SSHAuthorizedKeys: []string{"ssh-ed25519 AAAA me"},
				Unknown:           []string{"disk_setup", "package_update"},
			},
		},
		{
			name: "users",
			in: `#cloud-config
users:
- default
- name: ada
  gecos: Ada L
  groups: wheel, adm
  sudo: ["ALL=(ALL) NOPASSWD:ALL"]
  shell: /bin/bash
  uid: 1234
  ssh_authorized_keys: from="10.0.0.0/8,::1" ssh-ed25519 AAAA
  homedir: /srv/ada
  expiredate: '2032-09-01'
- name: -rf
- name: svc
  system: true
  no_create_home: true
  sudo: false
`,
			want: Config{
				Users: []User{
					{
						Name: "ada", Gecos: "Ada L", Groups: []string{"wheel", "adm"}, Sudo: []string{"ALL=(ALL) NOPASSWD:ALL"},
						Shell: "/bin/bash", UID: "1234", HomeDir: "/srv/ada",
						SSHAuthorizedKeys: []string{`from="10.0.0.0/8,::1" ssh-ed25519 AAAA`},
					},
					{Name: "svc", System: true, NoCreateHome: true},
				},
				Unknown:  []string{"users[].expiredate"},
				Problems: []string{"users: entry 1: name: missing or not a user name"},
			},
		},
		{
			name: "aliases",
			in: `#cloud-config
x-common: &common [echo, hi]
runcmd:
- *common
`,
			want: Config{
				Scripts: []Script{{Name: "runcmd", Body: []byte("#!/bin/sh\n'echo' 'hi'\n")}},
				Unknown: []string{"x-common"},
			},
		},
		{
			name: "a malformed key leaves the others",
			in:   "#cloud-config\nruncmd: yes\nhostname: [a]\ntimezone: UTC\nwrite_files: {}\nbootcmd: [{a: b}]\n",
			want: Config{
				Timezone: "UTC",
				Problems: []string{
					"bootcmd: entry 0: neither a string nor a list", "hostname: not a string",
					"runcmd: not a list", "write_files: not a list",
				},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for kind, in := range map[string][]byte{"plain": []byte(tt.in), "gzip": gz(t, tt.in)} {
				got, err := Parse(in)
				if err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", kind, diff)
				}
			}
		})
	}
}

func TestWriteFiles(t *testing.T) {
	packed := gz(t, "packed\x00bytes")
	tests := []struct {
		name    string
		entry   string
		want    []File
		problem string
	}{
		{name: "plain", entry: "{path: /a, content: x}", want: []File{{Path: "/a", Content: []byte("x"), Mode: 0o644}}},
		{name: "no content", entry: "{path: /a}", want: []File{{Path: "/a", Content: []byte{}, Mode: 0o644}}},
		{
			name: "everything", entry: `{path: /a, content: x, owner: "root:adm", permissions: "0400", append: true, defer: true}`,
			want: []File{{Path: "/a", Content: []byte("x"), Owner: "root:adm", Mode: 0o400, Append: true, Defer: true}},
		},
		{name: "mode without zero", entry: `{path: /a, permissions: "400"}`, want: []File{{Path: "/a", Content: []byte{}, Mode: 0o400}}},
		{name: "mode as a number", entry: `{path: /a, permissions: 0755}`, want: []File{{Path: "/a", Content: []byte{}, Mode: 0o755}}},
		{
			name: "setuid", entry: `{path: /a, permissions: "4755"}`,
			want: []File{{Path: "/a", Content: []byte{}, Mode: 0o755 | fs.ModeSetuid}},
		},
		{name: "base64", entry: "{path: /a, encoding: b64, content: eHl6}", want: []File{{Path: "/a", Content: []byte("xyz"), Mode: 0o644}}},
		{
			name: "base64 over lines", entry: `{path: /a, encoding: base64, content: "eH\nl6\n"}`,
			want: []File{{Path: "/a", Content: []byte("xyz"), Mode: 0o644}},
		},
		{
			name: "gzip in base64", entry: "{path: /a, encoding: gz+b64, content: " + b64(packed) + "}",
			want: []File{{Path: "/a", Content: []byte("packed\x00bytes"), Mode: 0o644}},
		},
		{
			name: "gzip in base64, synonym", entry: "{path: /a, encoding: gzip+base64, content: " + b64(packed) + "}",
			want: []File{{Path: "/a", Content: []byte("packed\x00bytes"), Mode: 0o644}},
		},
		{
			name: "gzip as YAML binary", entry: "{path: /a, encoding: gzip, content: !!binary " + b64(packed) + "}",
			want: []File{{Path: "/a", Content: []byte("packed\x00bytes"), Mode: 0o644}},
		},
		{name: "not base64", entry: "{path: /a, encoding: b64, content: '*'}", problem: "content: illegal base64"},
		{name: "not gzip", entry: "{path: /a, encoding: gz, content: plain}", problem: "content: "},
		{name: "unknown encoding", entry: "{path: /a, encoding: rot13}", problem: `unknown encoding "rot13"`},
		{name: "no path", entry: "{content: x}", problem: "no path"},
		{name: "bad mode", entry: `{path: /a, permissions: "rw"}`, problem: "permissions: not a file mode"},
		{name: "huge mode", entry: `{path: /a, permissions: "7777777"}`, problem: "permissions: not a file mode"},
		{name: "bad boolean", entry: `{path: /a, append: maybe}`, problem: "append: not a boolean"},
		{name: "not a mapping", entry: `[a]`, problem: "not a mapping"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte("#cloud-config\nwrite_files:\n- " + tt.entry + "\n- {path: /last}\n"))
			if err != nil {
				t.Fatal(err)
			}
			want := append(tt.want, File{Path: "/last", Content: []byte{}, Mode: 0o644})
			if diff := cmp.Diff(want, got.Files); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			switch problems := strings.Join(got.Problems, "; "); {
			case tt.problem == "" && problems != "":
				t.Errorf("unexpected problem: %s", problems)
			case !strings.Contains(problems, tt.problem):
				t.Errorf("problems %q do not hold %q", problems, tt.problem)
			}
		})
	}
}

func TestProblemsHoldNoValues(t *testing.T) {
	const secret = "hunter2"
	got, err := Parse([]byte("#cloud-config\nwrite_files:\n- {path: /a, encoding: gz, content: " + secret + "}\n" +
		"- {path: [" + secret + "]}\nhostname: [" + secret + "]\nother: " + secret + "\nusers:\n- {name: '" + secret + ":'}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(append(got.Problems, got.Unknown...), "\n"); strings.Contains(text, secret) {
		t.Errorf("a value is shown:\n%s", text)
	}
	if len(got.Problems) == 0 {
		t.Error("no problems noted")
	}
}

func TestParseErrors(t *testing.T) {
	bomb := gz(t, strings.Repeat("\x00", maxInflated+1))
	tests := []struct{ name, in, want string }{
		{"not YAML", "#cloud-config\na: [\n", "as YAML"},
		{"not a mapping", "#cloud-config\n- a\n", "not a mapping"},
		{"doubled key", "#cloud-config\na: 1\na: 2\n", "already defined"},
		{"broken gzip", "\x1f\x8bnope", "decompressing"},
		{"gzip bomb", string(bomb), "more than"},
		{"multipart without boundary", "Content-Type: multipart/mixed\n\nx", "boundary"},
		{"broken header", "Content-Type: text/\x00;;\n\n", "content type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("#cloud-config\nwrite_files:\n- {path: /a, encoding: gz+b64, content: eA==, permissions: '0400'}\nruncmd: [a, [b, c]]\n"))
	f.Add([]byte("#cloud-config\na: &a [*a]\nusers: [default, {name: x, sudo: [a]}]\nmerge_how: 'list(append)'\n"))
	f.Add([]byte("#!/bin/sh\n"))
	f.Add(gz(f, "#cloud-config\nbootcmd: [x]\n"))
	f.Add([]byte(mixed))
	f.Fuzz(func(t *testing.T, in []byte) {
		cfg, _ := Parse(in)
		for _, file := range cfg.Files {
			if file.Path == "" || strings.ContainsRune(file.Path, 0) {
				t.Errorf("file with path %q", file.Path)
			}
		}
		for _, user := range cfg.Users {
			if !validUserName(user.Name) {
				t.Errorf("user %q", user.Name)
			}
		}
		for _, script := range cfg.Scripts {
			if strings.ContainsAny(script.Name, "/\x00") {
				t.Errorf("script %q", script.Name)
			}
		}
	})
}
