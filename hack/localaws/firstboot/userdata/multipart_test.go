package userdata

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const mixed = `Content-Type: multipart/mixed; boundary="==B=="
MIME-Version: 1.0

--==B==
Content-Type: text/cloud-config; charset="us-ascii"
Content-Disposition: attachment; filename="base.yaml"

#cloud-config
hostname: one
runcmd: [first]
--==B==
Content-Type: text/x-shellscript
Content-Disposition: attachment; filename="dir/z.sh"

#!/bin/sh
echo z
--==B==
Content-Type: text/x-shellscript

#!/bin/sh
echo part
--==B==
Content-Type: text/cloud-config
Content-Transfer-Encoding: base64

I2Nsb3VkLWNvbmZpZwpydW5jbWQ6IFtzZWNvbmRdCg==
--==B==
Content-Type: text/x-made-up

x
--==B==--
`

func TestMultipart(t *testing.T) {
	got, err := Parse([]byte(strings.ReplaceAll(mixed, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Hostname: "one",
		Scripts: []Script{
			{Name: "dir_z.sh", Body: []byte("#!/bin/sh\necho z")},
			{Name: "part-003", Body: []byte("#!/bin/sh\necho part")},
			{Name: "runcmd", Body: []byte("#!/bin/sh\nsecond\n")},
		},
		Unknown: []string{"part-005 of type text/x-made-up"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func document(parts ...string) string {
	return "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n--B\n" + strings.Join(parts, "\n--B\n") + "\n--B--\n"
}

func TestMultipartMerging(t *testing.T) {
	first := "Content-Type: text/cloud-config\n\n#cloud-config\nruncmd: [a]\nhostname: h"
	tests := []struct {
		name, second, want string
	}{
		{"a later list replaces", "runcmd: [b]", "b\n"},
		{"merge_how appends", "merge_how: 'list(append)+dict(recurse_array)+str()'\nruncmd: [b]", "a\nb\n"},
		{"merge_type appends", "merge_type: [{name: list, settings: [append]}]\nruncmd: [b]", "a\nb\n"},
		{"another key", "timezone: UTC", "a\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(document(first, "Content-Type: text/cloud-config\n\n#cloud-config\n"+tt.second)))
			if err != nil {
				t.Fatal(err)
			}
			if got.Hostname != "h" {
				t.Errorf("hostname %q", got.Hostname)
			}
			if want := []Script{{Name: "runcmd", Body: []byte("#!/bin/sh\n" + tt.want)}}; !cmp.Equal(got.Scripts, want) {
				t.Error(cmp.Diff(want, got.Scripts))
			}
		})
	}
}

func TestMultipartBrokenPart(t *testing.T) {
	got, err := Parse([]byte(document(
		"Content-Type: text/cloud-config\n\n#cloud-config\na: [",
		"Content-Type: text/plain\n\n#!/bin/sh\necho plain",
		"Content-Type: text/x-shellscript\nContent-Transfer-Encoding: rot13\n\nx",
	)))
	if err == nil || !strings.Contains(err.Error(), "part-001") || !strings.Contains(err.Error(), "part-003") {
		t.Errorf("error %v does not name both parts", err)
	}
	want := []Script{{Name: "part-002", Body: []byte("#!/bin/sh\necho plain")}}
	if diff := cmp.Diff(want, got.Scripts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNestedMultipart(t *testing.T) {
	inner := "Content-Type: multipart/mixed; boundary=I\n\n--I\nContent-Type: text/cloud-config\n\n#cloud-config\nhostname: deep\n--I--\n"
	got, err := Parse([]byte(document(inner)))
	if err != nil {
		t.Fatal(err)
	}
	if got.Hostname != "deep" {
		t.Errorf("hostname %q", got.Hostname)
	}
}
