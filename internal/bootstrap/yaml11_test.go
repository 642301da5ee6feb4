package bootstrap

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// stock says for each document whether the cloud-init that was unpacked would
// run the command that comes last and write the file that comes last.
const stock = `
import json, logging, sys
from cloudinit import util
from cloudinit.config import cc_write_files as files
logging.disable(logging.CRITICAL)
wrote = []
def write(path, content, omode, mode):
	util.encode_text(content)
	wrote.append(path)
files.util.write_file, files.util.chownbyname = write, lambda *a: None
out = []
for text in json.load(sys.stdin):
	wrote.clear()
	try:
		cfg = util.load_yaml(text)
		commands = util.shellify(cfg["runcmd"])
		files.write_files("x", cfg["write_files"], "root:root")
		out.append(commands.endswith("\nsh /tmp/itzo/start-agent.sh\n") and wrote[-1] == "/tmp/itzo/start-agent.sh")
	except Exception:
		out.append(False)
json.dump(out, sys.stdout)
`

func survives(t *testing.T, documents []string) []bool {
	t.Helper()
	root := needsCloudInit(t)
	in, err := json.Marshal(documents)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-c", stock)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "PYTHONPATH=" + filepath.Join(root, "usr/lib/python3/dist-packages")}
	cmd.Stdin = strings.NewReader(string(in))
	said, err := cmd.Output()
	if err != nil {
		t.Fatalf("running cloud-init's code: %v", err)
	}
	var out []bool
	if err := json.Unmarshal(said, &out); err != nil || len(out) != len(documents) {
		t.Fatalf("%d answers, error %v: %s", len(out), err, said)
	}
	return out
}

// TestScalarsSurviveStockCloudInit: whatever is accepted leaves the cell its
// agent, and what is refused as a scalar would not.
func TestScalarsSurviveStockCloudInit(t *testing.T) {
	var scalars []string
	for _, s := range strings.Split(`yes Yes YES no No NO true True TRUE false False FALSE on On ON off Off OFF y n Y N yEs
~ null Null NULL nUll = == << <<< = 0 00 07 08 0_7 7_ -7 +7 0o7 0x1f 0x_ -0x_ 0b1 0b_ 0b2 _ __ ._ ._5 .5 5. 5.0 1_0.5 1e5 1e+5 1.0e+5 1.e5 .e5
12:30 12:60 12:30:45 12:30.5 12:30:4.5 1:2 0:1 -1:2 1:2:3:4 .inf -.inf .Inf .nan .NaN +.inf .
2020-01-01 2020-1-1 2020-13-01 2020-02-30 2020-02-29 2021-02-29 0000-01-01 2020-01-01T00:00:00Z 2020-01-01T24:00:00Z
2020-1-1T0:00:00 2020-01-01T00:00:60Z 2020-01-01T00:00:00+23:59 2020-01-01T00:00:00+24:00 2020-01-01T00:00:00.5-3 2020-01-01T00:60:00Z
'yes' "=" !!str|no !!int|5 !t|x !!set|{a} !!seq|[a] !!map|{a:|b} !!binary|eA== !!python/object:os.x|y !!float|5 []| {}| [yes,|=] [a,|[b]]`,
		"\n") {
		scalars = append(scalars, strings.Fields(s)...)
	}
	scalars = append(scalars, "", "2020-01-01 10:00:00", "2020-01-01 25:00:00", strings.Repeat("9", 4300), strings.Repeat("9", 4301))
	var documents []string
	for _, s := range scalars {
		s = strings.ReplaceAll(s, "|", " ")
		for _, form := range []string{"x: %\n", "runcmd:\n- %\n", "runcmd: [[echo, %]]\n", "write_files:\n- path: %\n  content: x\n",
			"write_files:\n- path: /x\n  content: %\n", "write_files:\n- {path: /x, content: eA==, encoding: %}\n",
			"write_files:\n- {path: /x, owner: %}\n", "write_files:\n- {path: /x, permissions: %}\n", "write_files:\n- {path: /x, append: %}\n", "x:\n  ? %\n  : y\n"} {
			documents = append(documents, strings.ReplaceAll(form, "%", s))
		}
	}
	for i, ok := range survives(t, unchecked(documents)) {
		refused := Validate(documents[i])
		plain := strings.HasPrefix(documents[i], "x: ") || strings.HasPrefix(documents[i], "runcmd:\n")
		switch {
		case !ok && refused == nil:
			t.Errorf("%q is accepted, and cloud-init loses the agent", documents[i])
		case ok && refused != nil && plain:
			t.Errorf("%q is refused (%v), and cloud-init would do it", documents[i], refused)
		}
	}
}

// unchecked renders what can be read at all.
func unchecked(documents []string) []string {
	var out []string
	for _, text := range documents {
		rendered := ""
		if root, err := decodeOne(text); err == nil {
			doc := &document{root: root}
			if doc.checkMapping() == nil {
				raw, _ := doc.render([]file{{"start-agent.sh", []byte("x\n")}}, []string{"sh /tmp/itzo/start-agent.sh"})
				rendered = string(raw)
			}
		}
		out = append(out, rendered)
	}
	return out
}
