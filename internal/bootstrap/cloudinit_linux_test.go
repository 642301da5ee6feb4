package bootstrap

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"
)

// boot lays cloud-init over the machine's root, gives it user data as a cloud
// without a network does, and runs its four stages. Then it runs $CHECK there.
const boot = `
set -e
root=$1/root
mkdir -p "$1/layers" "$root"
mount -t tmpfs none "$1/layers"
mkdir "$1/layers/upper" "$1/layers/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/layers/upper,workdir=$1/layers/work" "$root"
cp -a "$2/." "$root/"
mount -t proc proc "$root/proc"
mount -t tmpfs run "$root/run"
mount -t tmpfs tmp "$root/tmp"
mount --bind /dev "$root/dev"
seed=$root/var/lib/cloud/seed/nocloud
rm -rf "$root/var/lib/cloud"
mkdir -p "$seed"
cp "$1/user-data" "$seed/user-data"
printf 'instance-id: i-1\nlocal-hostname: cell\n' >"$seed/meta-data"
printf 'datasource_list: [NoCloud]\nlocale: false\n' >"$root/etc/cloud/cloud.cfg.d/99-test.cfg"
printf '#!/bin/sh\n' >"$root/usr/bin/itzo-launcher"
chmod 755 "$root/usr/bin/itzo-launcher"
for stage in "init --local" init "modules --mode=config" "modules --mode=final"; do
	chroot "$root" cloud-init $stage >>"$1/log" 2>&1 || echo "cloud-init $stage: $?" >>"$1/log"
done
cat "$root/var/log/cloud-init.log" >>"$1/log" 2>/dev/null
chroot "$root" sh -c "$CHECK" >"$1/out" 2>&1 || true
`

const cloudInitRoot = "../../bin/cloud-init/root"

func needsCloudInit(t *testing.T) (root string) {
	t.Helper()
	root, err := filepath.Abs(cloudInitRoot)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(root), "done")); err != nil || os.Geteuid() != 0 {
		t.Skip("skipped: needs root, and cloud-init: hack/cloudinit/fetch.sh bin/cloud-init")
	}
	return root
}

// apply boots from user data and gives what the commands then print.
func apply(t *testing.T, userData []byte, check string) string {
	t.Helper()
	lower, dir := needsCloudInit(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "user-data"), userData, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", boot, "boot", dir, lower)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "CHECK=" + check}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS,
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("booting: %v\n%s", err, said)
	}
	out, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("cloud-init said:\n%s", log)
		}
	})
	return string(out)
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(out.Bytes())
}

// agentStarts is what shows that ours came through: every file, and the script
// that was run.
const agentStarts = `
ls /tmp/itzo
stat -c %a /tmp/itzo/server.key
cat /tmp/itzo/itzo_url; echo
cat /var/log/itzo/itzo.log
`

const agentStarted = "ca.crt\nitzo_url\nitzo_version\nserver.crt\nserver.key\nstart-agent.sh\n400\n" +
	"http://100.64.77.1:5000/agents\nitzo: leaving the agent to itzo-launcher\n"

// TestCloudInitDoesAsAsked: stock cloud-init, with all that users commonly ask
// for, in a document that is plain and in one that has to be compressed.
func TestCloudInitDoesAsAsked(t *testing.T) {
	document := `#cloud-config
hostname: forty-two
users:
- name: ada
  shell: /bin/sh
  ssh_authorized_keys: [ssh-ed25519 AAAA ada]
ssh_authorized_keys: [ssh-ed25519 BBBB ops]
write_files:
- {path: /srv/plain, content: "plain\n", permissions: "0600"}
- {path: /srv/packed, content: ` + gzipped(t, "packed\n") + `, encoding: gz+b64}
- {path: /srv/encoded, content: ZW5jb2RlZAo=, encoding: b64, owner: "root:root"}
runcmd:
- echo first >>/srv/commands
- [sh, -c, 'echo "sec ond" >>/srv/commands']
some_module_of_the_future: {a: [b]}
`
	check := "hostname; grep -c ^ada: /etc/passwd; cat ~ada/.ssh/authorized_keys /srv/plain /srv/packed /srv/encoded /srv/commands; stat -c %a /srv/plain" + agentStarts
	want := "forty-two\n1\nssh-ed25519 AAAA ada\nplain\npacked\nencoded\nfirst\nsec ond\n600\n" + agentStarted
	for name, text := range map[string]string{"plain": document, "40 KB": document + filler(40_000)} {
		t.Run(name, func(t *testing.T) {
			userData, err := UserData(testInput(text))
			if err != nil {
				t.Fatal(err)
			}
			if got := apply(t, userData, check); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// TestCloudInitRunsOtherDocuments beside ours.
func TestCloudInitRunsOtherDocuments(t *testing.T) {
	for name, c := range map[string]struct{ document, check, want string }{
		"script":   {"#!/bin/sh\necho script >>/srv/said\n", "cat /srv/said", "script\n"},
		"message":  {strings.ReplaceAll(userMessage, "echo ", "echo >>/srv/said "), "sort /srv/said; hostname", "one\ntwo\nh\n"},
		"template": {"## template: jinja\n#cloud-config\nruncmd: ['echo {{ v1.instance_id }} >>/srv/said']\n", "cat /srv/said", "i-1\n"},
		"archive":  {"#cloud-config-archive\n- '#cloud-config\n\n  runcmd: [echo archive >>/srv/said]'\n", "cat /srv/said", "archive\n"},
	} {
		t.Run(name, func(t *testing.T) {
			userData, err := UserData(testInput(c.document))
			if err != nil {
				t.Fatal(err)
			}
			if got := apply(t, userData, c.check+agentStarts); got != c.want+agentStarted {
				t.Errorf("%q, want %q", got, c.want+agentStarted)
			}
		})
	}
}

// TestSamplesAreValid: cloud-init's own schema accepts what is rendered of the
// sample classes.
func TestSamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(content, []byte("kind: CellClass\n")) {
			continue
		}
		var class struct {
			Spec struct {
				CloudInit string         `yaml:"cloudInit"`
				Other     map[string]any `yaml:",inline"`
			}
		}
		if err := yaml.Unmarshal(content, &class); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		userData, err := UserData(testInput(class.Spec.CloudInit))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		seen++
		const check = "cloud-init schema --config-file /var/lib/cloud/seed/nocloud/user-data"
		if got := apply(t, userData, check); got != "Valid cloud-config: /var/lib/cloud/seed/nocloud/user-data\n" {
			t.Errorf("%s: %s", file, got)
		}
	}
	if seen == 0 {
		t.Error("there are no sample classes")
	}
}
