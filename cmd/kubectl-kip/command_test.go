package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
)

func TestHelp(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}} {
		stdout, _, err := run(t, "", args...)
		if err != nil || !strings.Contains(stdout, "kubectl kip price -f pod.yaml") || !strings.Contains(stdout, "version") {
			t.Errorf("%v: %v, stdout:\n%s", args, err, stdout)
		}
	}
	stdout, _, err := run(t, "", "price", "--help")
	for _, text := range []string{"Nothing is launched", "no capacity for the moment only the operator knows", "--rejected", "--context", "kubectl kip price [flags]", "exit code is 1"} {
		if err != nil || !strings.Contains(strings.ReplaceAll(stdout, "kubectl kip price -f FILE", "kubectl kip price"), text) {
			t.Errorf("%v, help lacks %q:\n%s", err, text, stdout)
		}
	}
}

func TestVersion(t *testing.T) {
	if stdout, _, err := run(t, "", "version"); err != nil || stdout != version+"\n" {
		t.Errorf("%v, stdout %q", err, stdout)
	}
}

// TestMisuse: each error says what would be right, and nobody is asked for it.
func TestMisuse(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.yaml", aPod)
	t.Setenv("KUBECONFIG", filepath.Join(dir, "none"))
	for name, test := range map[string]struct {
		args  string
		texts []string
	}{
		"subcommand":    {"prize", []string{`unknown command "prize" for "kubectl kip"`}},
		"argument":      {"price " + good, []string{"unknown command"}},
		"flag":          {"price --cheapest", []string{"--cheapest"}},
		"no file":       {"price", []string{"-f is missing"}},
		"output":        {"price -o xml -f " + good, []string{"--output=xml", "table, json or yaml"}},
		"limit":         {"price --limit=-1 -f " + good, []string{"--limit=-1"}},
		"timeout":       {"price --timeout=0s -f " + good, []string{"--timeout=0s"}},
		"no such file":  {"price -f " + filepath.Join(dir, "nowhere.yaml"), []string{"nowhere.yaml", "no such file"}},
		"a directory":   {"price -f " + dir, []string{dir, "directory"}},
		"empty":         {"price -f " + file("empty.yaml", "---\n"), []string{"empty.yaml: is empty"}},
		"not a pod":     {"price -f " + file("service.yaml", "{apiVersion: v1, kind: Service}"), []string{"service.yaml: has no pods but Service", "CronJob"}},
		"malformed":     {"price -f " + file("bad.yaml", "a: ["), []string{"bad.yaml: document 1"}},
		"no kubeconfig": {"price -f " + good, []string{"kubeconfig"}},
		"no context":    {"price --context=there -f " + good, []string{"kubeconfig", "there"}},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, _, err := run(t, "", strings.Fields(test.args)...)
			if err == nil {
				t.Fatalf("no error, stdout %s", stdout)
			}
			for _, text := range test.texts {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error %q lacks %q", err, text)
				}
			}
		})
	}
}

func TestRegionOf(t *testing.T) {
	for zone, want := range map[string]string{
		"us-east-1a": "us-east-1", "ap-southeast-2c": "ap-southeast-2", "us-gov-west-1b": "us-gov-west-1",
		"us-west-2-lax-1a": "us-west-2", "us-east-1-wl1-bos-wlz-1": "us-east-1", "moon": "",
	} {
		class := &v1beta1.CellClass{}
		class.Status.Subnets = []v1beta1.ResolvedSubnet{{Zone: zone}}
		if got := regionOf(class); got != want {
			t.Errorf("%s: region %q, want %q", zone, got, want)
		}
	}
	if got := regionOf(&v1beta1.CellClass{}); got != "" {
		t.Errorf("without subnets: region %q", got)
	}
}

func TestRemedy(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"unauthorized": {&cloud.Error{Kind: cloud.KindUnauthorized, Code: "UnauthorizedOperation", Action: "ec2:DescribeInstanceTypes"}, "ec2:DescribeInstanceTypes"},
		"no answer":    {&cloud.Error{Kind: cloud.KindTransient}, "AWS_ENDPOINT_URL"},
		"an answer":    {&cloud.Error{Kind: cloud.KindThrottled, Code: "RequestLimitExceeded"}, ""},
		"another":      {errors.New("no"), ""},
	} {
		if got := remedy(test.err); !strings.Contains(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// lacking is an API server that does not know Kip's kinds.
type lacking struct{ client.Reader }

func (lacking) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: v1beta1.GroupVersion.Group, Kind: "CellClass"}}
}

func TestNotInstalled(t *testing.T) {
	if err := (&cluster{}).readClasses(t.Context(), lacking{}); err == nil || !strings.Contains(err.Error(), "Kip is not installed") {
		t.Errorf("error %v", err)
	}
}

// holding has one ConfigMap.
type holding struct {
	client.Reader
	data map[string]string
}

func (h holding) Get(_ context.Context, _ client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	o.(*corev1.ConfigMap).Data = h.data
	return nil
}

func TestInvalidOverrides(t *testing.T) {
	err := (&cluster{}).readOverrides(t.Context(), holding{data: map[string]string{"overrides": "- {instanceType: m5.large}"}}, "kip-system")
	if err == nil || !strings.Contains(err.Error(), "ConfigMap kip-system/kip-prices, key overrides: ") || !strings.Contains(err.Error(), "pricePerHour and percent") {
		t.Errorf("error %v", err)
	}
}

func TestLastChange(t *testing.T) {
	at := func(seconds int64) *metav1.Time { return &metav1.Time{Time: time.Unix(seconds, 0)} }
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: *at(10)}}
	if got := lastChange(object); !got.Equal(at(10).Time) {
		t.Errorf("of a new one: %s", got)
	}
	object.ManagedFields = []metav1.ManagedFieldsEntry{{Time: at(30)}, {}, {Time: at(20)}}
	if got := lastChange(object); !got.Equal(at(30).Time) {
		t.Errorf("of a changed one: %s", got)
	}
}
