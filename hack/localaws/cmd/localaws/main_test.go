package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"kip.elotl.co/hack/localaws/admin"
)

// emulator is the command, running.
type emulator struct {
	url  string
	stop func() error
	ec2  *ec2.Client
}

func start(t *testing.T, args ...string) *emulator {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := command(backends())
	cmd.SetArgs(append([]string{"--listen", address, "--subnet", "127.214.0.0/24", "--latency", "5ms"}, args...))
	cmd.SetErr(io.Discard)
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	e := &emulator{url: "http://" + address}
	e.stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { _ = e.stop() })
	e.ec2 = ec2.New(ec2.Options{Region: "us-east-1", BaseEndpoint: &e.url, Credentials: credentials.NewStaticCredentialsProvider("AKID", "x", "")})
	eventually(t, func() bool {
		resp, err := http.Get(e.url + admin.Prefix + "healthz")
		if err != nil {
			select {
			case err := <-ended:
				t.Fatalf("the emulator ended: %v", err)
			default:
				return false
			}
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return e
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the condition never came")
		}
	}
}

func (e *emulator) counts(t *testing.T) admin.Counts {
	t.Helper()
	resp, err := http.Get(e.url + admin.Prefix + "counts")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out admin.Counts
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (e *emulator) launch(t *testing.T) {
	t.Helper()
	_, err := e.ec2.RunInstances(t.Context(), &ec2.RunInstancesInput{
		ImageId: aws.String("ami-0c0ffee0000000002"), InstanceType: types.InstanceTypeT3Nano, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return e.counts(t).ByState["running"] == 1 })
}

func TestEndsItsInstances(t *testing.T) {
	dir := t.TempDir()
	e := start(t, "--state-dir", dir)
	e.launch(t)
	if err := e.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, "--state-dir", dir)
	if c := again.counts(t); c.Live != 0 || c.ByState["terminated"] != 1 {
		t.Errorf("counts after the restart: %+v", c)
	}
}

// The account is kept too, and a role has the policy that the flag names.
func TestAccountAtStart(t *testing.T) {
	dir, cells := t.TempDir(), filepath.Join("..", "..", "..", "..", "config", "iam", "cells.json")
	client := func(e *emulator) *ssm.Client {
		return ssm.New(ssm.Options{Region: "us-east-1", BaseEndpoint: &e.url, Credentials: credentials.NewStaticCredentialsProvider("AKID", "x", "")})
	}
	e := start(t, "--state-dir", dir, "--role", "kip-cell="+cells)
	_, err := client(e).PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String("/kip/a"), Value: aws.String("v"), Type: ssmtypes.ParameterTypeString})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, "--state-dir", dir, "--role", "kip-cell="+cells)
	if out, err := client(again).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/kip/a")}); err != nil || *out.Parameter.Value != "v" {
		t.Errorf("%+v, %v", out, err)
	}
	resp, err := http.Get(again.url + admin.Prefix + "roles")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), "ReadOwnConfiguration") {
		t.Errorf("roles %s, %v", body, err)
	}
}

// Hollow machines do not outlive their process: kept instances are found dead.
func TestKeepsInstancesForTheNextStart(t *testing.T) {
	dir := t.TempDir()
	e := start(t, "--state-dir", dir, "--keep-instances")
	e.launch(t)
	if err := e.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, "--state-dir", dir)
	out, err := again.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	if err != nil || len(out.Reservations) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	eventually(t, func() bool { return again.counts(t).ByState["terminated"] == 1 })
}

func TestRefusesBadFlags(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, args := range map[string][]string{
		"no back end":     {"--boot", "steam"},
		"--subnet":        {"--subnet", "everything"},
		"from /16":        {"--subnet", "127.0.0.0/8"},
		"hollow cells":    {"--subnet", "10.0.0.0/24"},
		"--listen":        {"--listen", taken.Addr().String(), "--subnet", "127.214.0.0/24"},
		"--role":          {"--subnet", "127.214.0.0/24", "--role", "kip-cell=nowhere.json"},
		"unknown flag":    {"--colour"},
		"unknown command": {"serve"},
	} {
		cmd := command(backends())
		cmd.SetArgs(append([]string{"--listen", "127.0.0.1:0", "--state-dir", t.TempDir()}, args...))
		cmd.SetErr(io.Discard)
		cmd.SetOut(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
