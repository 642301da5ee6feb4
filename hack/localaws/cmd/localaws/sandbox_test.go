package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"kip.elotl.co/hack/fabric"
	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/boot/sandbox"
	"kip.elotl.co/hack/localaws/catalog"
)

// sandboxes is the back end with its flags parsed, on a fabric of its own.
func sandboxes(t *testing.T, cfg fabric.Config) backend {
	t.Helper()
	init := filepath.Join(t.TempDir(), "cellinit")
	build := exec.Command("go", "build", "-o", init, "kip.elotl.co/hack/localaws/cmd/cellinit")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building cellinit: %v\n%s", err, out)
	}
	b := sandboxBackend()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	b.flags(flags)
	if err := flags.Parse([]string{"--fabric=" + cfg.Name, "--cellinit=" + init}); err != nil {
		t.Fatal(err)
	}
	return b
}

func requireConsole(t *testing.T, m boot.Machine, want string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !strings.Contains(string(m.Console()), want) {
		select {
		case <-deadline:
			t.Fatalf("no %q on the console:\n%s", want, m.Console())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// askRole is user data that shows what the instance gets for its role.
const askRole = `#cloud-config
runcmd:
- hostname
- |
  imds=http://169.254.169.254/latest
  token=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $imds/api/token)
  curl -sf -H "X-aws-ec2-metadata-token: $token" $imds/meta-data/iam/security-credentials/cell | grep -v -e Secret -e Token
`

// An instance gets its user data, and its role's credentials, from the metadata
// service beside the back end, and outlives both.
func TestSandboxBackend(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: boots a sandbox")
	}
	for _, program := range []string{"containerd", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("needs " + program)
		}
	}
	cfg := fabric.Config{Name: "kl" + strconv.Itoa(os.Getpid()%10_000_000), Subnet: netip.MustParsePrefix("100.64.76.0/24")}
	regional, err := catalog.New("us-east-1", cfg.Subnet)
	if err != nil {
		t.Fatal(err)
	}
	account, err := (&options{stateDir: t.TempDir()}).openAccount(regional)
	if err != nil {
		t.Fatal(err)
	}
	env := environment{Catalog: regional, Dir: t.TempDir(), IAM: account.Roles, Log: testr.New(t)}
	t.Cleanup(func() {
		sweep := sandbox.Sweep(context.Background(), filepath.Join(env.Dir, "cells"), cfg.Name)
		if err := errors.Join(sweep, fabric.Down(cfg)); err != nil {
			t.Error(err)
		}
	})
	b := sandboxes(t, cfg)
	first, err := b.open(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	spec := boot.Spec{
		InstanceID: "i-1", Region: "us-east-1", MemoryMiB: 512, VCPUs: 1, PrivateIPs: []netip.Addr{netip.MustParseAddr("100.64.76.10")},
		UserData: []byte(askRole), InstanceProfileARN: "arn:aws:iam::123456789012:instance-profile/cell", Metadata: boot.MetadataOptions{TokensRequired: true, HopLimit: 1},
	}
	m, err := first.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	requireConsole(t, m, "ip-100-64-76-10\n")
	requireConsole(t, m, `"Type": "AWS-HMAC"`)
	requireConsole(t, m, "first boot finished")
	if err := first.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, err := b.open(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	again, err := second.Recover(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	<-m.Done()
	if err := second.close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestContainerdByImage(t *testing.T) {
	images := []catalog.Image{{ID: "ami-1", Name: "kip-cell-debian-13-amd64"}, {ID: "ami-2", Name: "kip-cell-al2023-a"}, {ID: "ami-3", Name: "kip-cell-al2023-b"}}
	got, err := containerdByImage(images, map[string]string{"kip-cell-al2023-*": "/containerd2"})
	if diff := cmp.Diff(map[string]string{"ami-2": "/containerd2", "ami-3": "/containerd2"}, got); diff != "" || err != nil {
		t.Errorf("%s %v", diff, err)
	}
	if _, err := containerdByImage(images, map[string]string{"[": "/x"}); err == nil || !strings.Contains(err.Error(), "--containerd [") {
		t.Errorf("a pattern that is none: %v", err)
	}
}
