package bootstrap

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestValidateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		cloudInit string
		line      int
		want      string // part of the text
	}{
		"MIME without parts":    {"MIME-Version: 1.0\nContent-Type: text/plain\n", 1, "the MIME message has no empty line behind its head"},
		"MIME head":             {"MIME-Version:\n0\n\n", 1, "the head of the MIME message cannot be read (malformed MIME header: missing colon: \"0\"): write lines like"},
		"MIME without boundary": {"MIME-Version: 1.0\nContent-Type: multipart/mixed\n\n--x\n\n#!/bin/sh\n--x--\n", 1, "multipart/mixed without a boundary"},
		"MIME of no parts":      {"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n#!/bin/sh\n", 1, "has no part with anything in it"},
		"MIME of empty parts":   {"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\nA: b\n\n\n--x--\n#!/bin/sh\n", 1, "has no part with anything in it"},
		"MIME within MIME":      {"MIME-Version: 1.0\nContent-Type: multipart/mixed;\n boundary=x\n\n--x\nContent-Type: multipart/mixed\n\nhello\n--x--\n", 6, "multipart/mixed without a boundary"},
		"MIME with bad config":  {"\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"x\"\n\n--x\nContent-Type: text/cloud-config\n\n#cloud-config\nruncmd:\n- yes\n", 10, "line 10, column 3: cloud-config in a part of the MIME message: runcmd[0] is a boolean"},
		"MIME, bad, encoded":    {"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"x\"\n\n--x\nContent-Type: text/cloud-config\nContent-Transfer-Encoding: base64\n\ncnVuY21kOiBbeWVzXQo=\n--x--\n", 5, "runcmd[0] is a boolean"},

		"command yes":          {"runcmd:\n- date\n- yes\n", 3, "column 3: runcmd[1] is a boolean: it must be a string or a list of strings; quote it"},
		"command 12:30":        {"runcmd: [12:30]\n", 1, "column 10: runcmd[0] is a number"},
		"command old octal":    {"runcmd: [0_7]\n", 1, "column 10: runcmd[0] is a number"},
		"command by alias off": {"a: &a off\nruncmd: [*a]\n", 1, "column 4: runcmd[0] is a boolean"},
		"a plain =":            {"a: {b: [c, =]}\n", 1, "column 12: a plain = is a value: cloud-init, which reads YAML 1.1, would drop the whole document; quote it"},
		"a plain <<":           {"a:\n- <<\n", 2, "column 3: a plain << stands where no key does"},
		"month 13":             {"a: 2020-13-01\n", 1, "column 4: a date is none of the calendar's"},
		"hour 25":              {"a: 2020-12-01 25:00:00\n", 1, "column 4: a date is none"},
		"number without end":   {"a: 0x_\n", 1, "column 4: a number cannot be read"},
		"unknown tag":          {"a: !Ref b\n", 1, "column 4: cloud-init knows no tag !Ref here: leave the tag out"},
		"path yes":             {"write_files:\n- path: yes\n  content: x\n", 2, "column 9: write_files[0].path is a boolean: it must be a string; quote it"},
		"content off":          {"write_files:\n- path: /a\n  content: off\n", 3, "write_files[0].content is a boolean"},
		"content missing":      {"write_files:\n- path: /a\n  content:\n", 3, "write_files[0].content is empty"},
		"owner a number":       {"write_files:\n- {path: /a, owner: 1:1}\n", 2, "write_files[0].owner is a number"},
		"encoding a list":      {"write_files:\n- {path: /a, encoding: [b64]}\n", 2, "write_files[0].encoding is a list"},

		"script with NUL": {"#!/bin/sh\necho \x00\n", 0, "the document contains a NUL byte: it must be text"},

		"not YAML":           {"#cloud-config\na: b\n c: [\n", 3, "must be YAML"},
		"tab":                {"#cloud-config\na:\n\tb: c\n", 3, "must be YAML"},
		"control characters": {"a: \x01\n", 1, "line 1, column 4: control characters"},
		"not UTF-8":          {"a: \xff\n", 1, "line 1, column 4: invalid leading UTF-8"},
		"unknown anchor":     {"a: *b\n", 1, "line 1, column 4: unknown anchor 'b'"},
		"anchor in itself":   {"a: &a [*a]\n", 1, "line 1, column 8: anchor 'a' value contains itself"},
		"alias bomb":         {bomb(), 0, "excessive aliasing"},
		"key twice":          {"#cloud-config\nruncmd: []\nusers: []\nruncmd: []\n", 4, `mapping key "runcmd" already defined at line 2`},
		"inner key twice":    {"write_files:\n- path: /a\n  path: /b\n", 3, `mapping key "path" already defined at line 2`},
		"two documents":      {"#cloud-config\na: b\n---\nc: d\n", 3, "a second YAML document begins"},
		"second not YAML":    {"a: b\n---\n[\n", 2, "a second YAML document begins"},
		"list":               {"#cloud-config\n- a\n", 2, "the document is a list: it must be a mapping"},
		"text":               {"hello\n", 1, "the document is a string"},
		"number":             {"5\n", 1, "the document is a number"},

		"files not a list":    {"#cloud-config\nwrite_files:\n  path: /a\n", 3, "write_files is a mapping: it must be a list"},
		"commands not a list": {"runcmd: echo\n", 1, "runcmd is a string: it must be a list"},
		"by alias":            {"a: &a yes\nruncmd: *a\n", 1, "runcmd is a boolean"},
		"merged in":           {"b: &b {runcmd: 5}\n<<: *b\n", 1, "runcmd is a number"},
		"file not a mapping":  {"write_files:\n- path: /a\n- /b\n", 3, "write_files[1] is a string: it must be a mapping"},
		"command a mapping":   {"runcmd:\n- date\n- echo a: b\n", 3, "runcmd[1] is a mapping: it must be a string or a list of strings; a command with a colon"},
		"command a number":    {"runcmd:\n- 5\n", 2, "runcmd[0] is a number"},
		"command a boolean":   {"runcmd:\n- true\n", 2, "runcmd[0] is a boolean"},
		"command a date":      {"runcmd:\n- 2020-01-01\n", 2, "runcmd[0] is of type !!timestamp"},

		"a path of ours":      {"write_files:\n- content: x\n  path: /tmp/itzo/server.key\n", 3, "write_files[0] writes /tmp/itzo/server.key: everything in /tmp/itzo belongs to the cell's agent"},
		"the directory":       {"write_files:\n- path: /tmp/itzo\n", 2, "writes /tmp/itzo:"},
		"path in another way": {"write_files:\n- path: tmp//x/../itzo/a\n", 2, "writes tmp//x/../itzo/a"},
		"path by merge":       {"b: &b {path: /tmp/itzo/ca.crt}\nwrite_files:\n- <<: *b\n  content: x\n", 1, "writes /tmp/itzo/ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Validate(c.cloudInit)
			var problem *DocumentError
			if !errors.As(err, &problem) {
				t.Fatalf("error %v, want a DocumentError", err)
			}
			if problem.Line != c.line || !strings.Contains(err.Error(), c.want) {
				t.Errorf("line %d, %q; want line %d, …%q…", problem.Line, err, c.line, c.want)
			}
			if _, err := UserData(testInput(c.cloudInit)); !errors.As(err, &problem) {
				t.Errorf("UserData: %v, want a DocumentError", err)
			}
		})
	}
}

// bomb expands to far more than it is long.
func bomb() string {
	text := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for _, level := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		below := "*a" + string(level[0]-1)
		text += "a" + level + ": &a" + level + " [" + strings.Repeat(below+", ", 9) + below + "]\n"
	}
	return text
}

func TestValidateAccepts(t *testing.T) {
	for name, cloudInit := range map[string]string{
		"a neighbour of our path":    "write_files:\n- path: /tmp/itzo-not\n",
		"a path that is missing":     "write_files:\n- content: x\n",
		"a key that looks like MIME": "a: b\nmime: x\n",
		"mail in a value":            "text: |\n  Content-Type: text/plain\n  MIME-Version: 1.0\n",
		"quoted and worded":          "runcmd: ['yes', \"12:30\", yes please, 0o17, 12:60, !!str no, [yes, 5]]\na: {=: \"=\", b: '<<', c: 2020-02-29, d: [y, n]}\n",
		"a file of no bytes":         "write_files: [{path: /a, content: '', encoding: ~}, {path: /b, owner: }, {path: /c, content: !!binary eA==, permissions: 12:30}]\n",
		"MIME's odd boundaries":      "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary===x//=\n\n--==x//= \n\n#!/bin/sh\n",
		"unknown keys":               "no_such_key: {a: [1, 2.5, ~, true, 2020-01-01]}\n1: x\n",
	} {
		if err := Validate(cloudInit); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Keys that YAML 1.1 and 1.2 read differently must reach the cell as written.
func TestScalarsStayAsWritten(t *testing.T) {
	const cloudInit = "a: yes\nb: 0644\nc: 0o644\nd: 1:30\ne: \"no\"\nf: 'on'\ng: 1_000\nh: !!str 5\ni: .nan\nj: ~\nk: \"\\u00e4\\t\"\n"
	out, err := UserData(testInput(cloudInit))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(cloudInit), "\n") {
		if strings.HasPrefix(line, "k:") {
			line = "k: \"\u00e4\\t\""
		}
		if !bytes.Contains(out, []byte("\n"+line+"\n")) {
			t.Errorf("%q is not there any more:\n%s", line, out[:200])
		}
	}
}

func FuzzUserData(f *testing.F) {
	f.Add(goldenDocument)
	f.Add("x: &l [echo one]\nruncmd: *l\n<<: {a: b}\n")
	f.Add("runcmd: &l\n- echo one # c\nx: *l\n# foot\n\n# foot 2\n")
	f.Add("write_files:\n- path: /a\n  content: |2-\n     x\n\n  y: >+\n   a\n   b\n\n")
	f.Add("? [a, b]\n: !t {c: \"\\e\"}\n")
	f.Add("#!/bin/sh\necho é\r\n--x\n")
	f.Add("Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n\n--x\n\n#!/bin/sh\n--x--\n")
	f.Add("#cloud-config\r\n%YAML 1.1\r\n---\r\na: \"b\r\n  c\"\r\n")
	f.Fuzz(func(t *testing.T, cloudInit string) {
		invalid := Validate(cloudInit)
		out, err := UserData(testInput(cloudInit))
		var document *DocumentError
		var size *SizeError
		switch {
		case invalid != nil:
			if !errors.As(invalid, &document) || !errors.As(err, &document) {
				t.Fatalf("Validate: %v; UserData: %v", invalid, err)
			}
			return
		case errors.As(err, &size):
			return
		case err != nil:
			t.Fatal(err)
		}
		if kindOf(cloudInit) == cloudConfig {
			checkKeepsKeys(t, cloudInit, inflate(t, out))
		} else {
			checkParts(t, cloudInit, inflate(t, out))
		}
	})
}

// checkKeepsKeys looks for every value of the user's document in the rendered
// one, whose two lists may be longer.
func checkKeepsKeys(t *testing.T, cloudInit string, out []byte) {
	t.Helper()
	doc, err := parse(cloudInit)
	if err != nil {
		t.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(out, &root); err != nil {
		t.Fatalf("what was rendered is not YAML: %v\n%s", err, out)
	}
	for i := 0; i < len(doc.mapping().Content); i += 2 {
		key, want := doc.mapping().Content[i], resolve(doc.mapping().Content[i+1])
		got := resolve(root.Content[0].Content[i+1])
		if !equal(key, root.Content[0].Content[i]) {
			t.Fatalf("key %d is another:\n%s", i/2, out)
		}
		if key.Value == writeFiles || key.Value == runCmd {
			shorter := *got
			shorter.Content = got.Content[:len(want.Content)]
			got = &shorter
			if want.Kind == yaml.ScalarNode {
				continue // null
			}
		}
		if !equal(want, got) {
			t.Fatalf("the value of key %d is another:\n%s", i/2, out)
		}
	}
}

// TestWhereSyntaxGoesWrong: where a reader of the document would look first.
func TestWhereSyntaxGoesWrong(t *testing.T) {
	for cloudInit, want := range map[string]string{
		"#cloud-config\na: 1\nb: [1, 2\nc: 3\n":        "line 3, column 8: did not find expected ',' or ']'",
		"#cloud-config\na: b\nc:\n\td: e\n":            "line 4, column 1: found character that cannot start any token",
		"#cloud-config\na: 1\n b: 2\n":                 "line 3, column 3: mapping values are not allowed",
		"#cloud-config\na: 1\nc:\n  - d\n - e\nf: g\n": "line 5, column 2: did not find expected key",
		"#cloud-config\na: 1\n- b\nc: d\n":             "line 3, column 1: did not find expected key",
		"a: b: c\n":                                    "line 1, column 5: mapping values are not allowed",
		"#cloud-config\nx: 'abc\nd: 1\n":               "line 2, column 4: found unexpected end of stream",
		"a: @x\n":                                      "line 1, column 4: found character that cannot start any token",
		"#cloud-config\nb: '*other'\nruncmd: # *other\n- *other # x\n- *other\n": "line 4, column 3: unknown anchor 'other' referenced",
		"\n\nfoo: \"ä\\q\"\n":                "line 3, column 8: found unknown escape character",
		"#cloud-config\r\na: 1\r\n b: 2\r\n": "line 3, column 3: mapping values are not allowed",
	} {
		if err := Validate(cloudInit); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", cloudInit, err, want)
		}
	}
}
