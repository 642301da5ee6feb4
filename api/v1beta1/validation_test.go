package v1beta1_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/fixture"
)

var apiServer fixture.APIServer

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

// object is a manifest as a user would write it, so that values which Go's
// types do not hold can be tried.
type object = map[string]any

func manifest(kind, name string, spec object) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: object{
		"apiVersion": v1beta1.GroupVersion.String(), "kind": kind, "metadata": object{"name": name}, "spec": spec,
	}}
}

func cellSpec() object { return object{"cellClassName": "default"} }

func classSpec() object {
	return object{
		"bootImageSpec": object{"owners": "self"},
		"itzo":          object{"url": "https://agents.example/itzo", "version": "v2.0.0"},
		"aws":           object{"subnets": []any{"subnet-0123456789abcdef0"}},
	}
}

// set is the spec with the value at a path; nil takes the field away.
func set(spec object, path string, value any) object {
	at, names := spec, strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		inner, ok := at[name].(object)
		if !ok {
			inner = object{}
			at[name] = inner
		}
		at = inner
	}
	last := names[len(names)-1]
	if value == nil {
		delete(at, last)
		return spec
	}
	at[last] = value
	return spec
}

// check applies a manifest without effect, and compares what the API server
// says: want is part of its refusal, empty where it accepts.
func check(t *testing.T, c client.Client, o *unstructured.Unstructured, want string) {
	t.Helper()
	checkAnswer(t, c.Create(t.Context(), o, client.DryRunAll), want)
}

func checkAnswer(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("accepted, want a refusal with %q", want)
	case want != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want)):
		t.Errorf("refused with %v, want %q", err, want)
	}
}

type field struct {
	path  string
	value any
	want  string // part of the refusal; empty: accepted
}

func (f field) name() string {
	text := fmt.Sprint(f.value)
	return fmt.Sprintf("%s=%s(%d)", f.path, text[:min(len(text), 40)], len(text))
}

func list(n int, format string) []any {
	values := make([]any, n)
	for i := range values {
		values[i] = fmt.Sprintf(format, i)
	}
	return values
}

func table(n int, value any) object {
	values := object{}
	for i := range n {
		values[fmt.Sprintf("key-%d", i)] = value
	}
	return values
}

func TestCellFields(t *testing.T) {
	c := apiServer.Client(t)
	ref := func(namespace, name, uid any) object { return object{"namespace": namespace, "name": name, "uid": uid} }
	for _, f := range []field{
		{"cellClassName", "default", ""},
		{"cellClassName", "", "at least 1"},
		{"cellClassName", nil, "Required"},
		{"cellClassName", strings.Repeat("c", 59), ""},
		{"cellClassName", strings.Repeat("c", 60), "59"},
		{"instanceType", "m5.large", ""},
		{"instanceType", "u-6tb1.metal", ""},
		{"instanceType", "M5.Large", "spec.instanceType"},
		{"instanceType", "large", "spec.instanceType"},
		{"instanceType", "m5.*", ""},
		{"instanceType", "*", ""},
		{"instanceType", "m5 *", "spec.instanceType"},
		{"resources", object{"cpu": "2", "memory": "900Gi", "nvidia.com/gpu": "1", "aws.amazon.com/neuron": "0"}, ""},
		{"resources", object{"cpu": "-1"}, "must not be negative"},
		{"resources", object{"disk": "1"}, "must be cpu, memory"},
		{"resources", object{"cpu": "much"}, "spec.resources"},
		{"instanceType", "m5." + strings.Repeat("x", 61), ""},
		{"instanceType", "m5." + strings.Repeat("x", 62), "64"},
		{"volumeSize", "20Gi", ""},
		{"volumeSize", int64(20 << 30), ""},
		{"volumeSize", "1Gi", ""},
		{"volumeSize", "1023Mi", "between 1Gi and 16Ti"},
		{"volumeSize", "-5Gi", "between 1Gi and 16Ti"},
		{"volumeSize", "16Ti", ""},
		{"volumeSize", "17Ti", "between 1Gi and 16Ti"},
		{"volumeSize", "large", "spec.volumeSize"},
		{"podRef", ref("default", "web", "u"), ""},
		{"podRef", ref("", "web", "u"), "spec.podRef.namespace"},
		{"podRef", ref("default", "", "u"), "spec.podRef.name"},
		{"podRef", ref("default", "web", ""), "spec.podRef.uid"},
		{"podRef", object{"namespace": "default", "name": "web"}, "spec.podRef.uid"},
		{"podRef", ref(strings.Repeat("n", 64), "web", "u"), "63"},
		{"podRef", ref("default", strings.Repeat("n", 254), "u"), "253"},
		{"podRef", ref("default", "web", strings.Repeat("u", 129)), "128"},
	} {
		t.Run(f.name(), func(t *testing.T) { check(t, c, manifest("Cell", "fields", set(cellSpec(), f.path, f.value)), f.want) })
	}
}

func TestClassFields(t *testing.T) {
	c := apiServer.Client(t)
	images := func(o object) object { return o }
	for _, f := range []field{
		{"defaultInstanceType", "m7g.medium", ""},
		{"defaultInstanceType", "medium", "spec.defaultInstanceType"},
		{"defaultVolumeSize", "1Gi", ""},
		{"defaultVolumeSize", "1023Mi", "between 1Gi and 16Ti"},
		{"defaultVolumeSize", int64(1 << 30), ""},
		{"defaultVolumeSize", int64(1 << 20), "between 1Gi and 16Ti"},
		{"defaultVolumeSize", "-10Gi", "between 1Gi and 16Ti"},
		{"defaultVolumeSize", "16Ti", ""},
		{"defaultVolumeSize", "16385Gi", "between 1Gi and 16Ti"},

		{"powerOffAfter", "0", ""},
		{"powerOffAfter", "0s", ""},
		{"powerOffAfter", "2m", ""},
		{"powerOffAfter", "1h30m", ""},
		{"powerOffAfter", "8784h0m0s", ""},
		{"powerOffAfter", "119s", "must be between 2m and 8784h, or 0 for never"},
		{"powerOffAfter", "8785h", "must be between 2m and 8784h, or 0 for never"},
		{"powerOffAfter", "-24h", "must be a duration such as 24h"},
		{"powerOffAfter", "24", "must be a duration such as 24h"},
		{"powerOffAfter", "1d", "must be a duration such as 24h"},
		{"powerOffAfter", "", "must be a duration such as 24h"},
		{"powerOffAfter", "never", "must be a duration such as 24h"},
		{"powerOffAfter", "99999999999999999999h", "spec.powerOffAfter"},
		{"dns", object{"servers": []any{"10.96.0.10", "fd00:10::a"}}, ""},
		{"dns", object{"servers": []any{"10.96.0.10"}, "domain": "corp-1.example"}, ""},
		{"dns", object{}, "spec.dns.servers"},
		{"dns", object{"servers": []any{}}, "spec.dns.servers"},
		{"dns", object{"servers": []any{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}}, "spec.dns.servers"},
		{"dns", object{"servers": []any{"10.0.0.1", "10.0.0.1"}}, "spec.dns.servers"},
		{"dns", object{"servers": []any{"kube-dns"}}, "must be an IP address, such as 10.96.0.10"},
		{"dns", object{"servers": []any{"10.96.0.10:53"}}, "must be an IP address, such as 10.96.0.10"},
		{"dns", object{"servers": []any{"10.96.0.10"}, "domain": "Cluster.local"}, "spec.dns.domain"},
		{"dns", object{"servers": []any{"10.96.0.10"}, "domain": "cluster.local."}, "spec.dns.domain"},
		{"dns", object{"servers": []any{"10.96.0.10"}, "domain": ""}, "spec.dns.domain"},

		{"bootTimeout", "0", ""},
		{"bootTimeout", "30s", ""},
		{"bootTimeout", "24h", ""},
		{"bootTimeout", "29s", "must be between 30s and 24h"},
		{"bootTimeout", "25h", "must be between 30s and 24h"},
		{"bootTimeout", "5", "must be a duration such as 5m"},

		{"maxPriceFactor", "1", ""},
		{"maxPriceFactor", "1.0", ""},
		{"maxPriceFactor", "12.75", ""},
		{"maxPriceFactor", "0.99", "must be a decimal number of at least 1"},
		{"maxPriceFactor", "-5", "must be a decimal number of at least 1"},
		{"maxPriceFactor", "5x", "must be a decimal number of at least 1"},
		{"maxPriceFactor", "", "must be a decimal number of at least 1"},
		{"maxPriceFactor", "11111111111111111", "spec.maxPriceFactor"},

		{"bootImageSpec", nil, "spec.bootImageSpec"},
		{"bootImageSpec", images(object{}), "one of imageIDs, owners, filters or ssmParameters"},
		{"bootImageSpec", images(object{"executableUsers": "all"}), "one of imageIDs, owners, filters or ssmParameters"},
		{"bootImageSpec", images(object{"imageIDs": "ami-0123456789abcdef0"}), ""},
		{"bootImageSpec", images(object{"owners": "amazon"}), ""},
		{"bootImageSpec", images(object{"filters": "name=a*"}), ""},
		{"bootImageSpec", images(object{"ssmParameters": "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"}), ""},
		{"bootImageSpec", images(object{"ssmParameters": "/a", "imageIDs": "ami-01234567"}), "imageIDs and ssmParameters exclude each other"},
		{"bootImageSpec", images(object{"owners": "self", "executableUsers": "all"}), ""},
		{"bootImageSpec.imageIDs", "", "spec.bootImageSpec.imageIDs"},
		{"bootImageSpec.imageIDs", "ami-1", "must be image IDs such as ami-0123456789abcdef0"},
		{"bootImageSpec.imageIDs", " ami-01234567  ami-0123456789abcdef0 ", ""},
		{"bootImageSpec.owners", "", "spec.bootImageSpec.owners"},
		{"bootImageSpec.owners", "099720109477 self", ""},
		{"bootImageSpec.owners", "canonical", "must be account IDs of 12 digits, self, amazon or aws-marketplace"},
		{"bootImageSpec.owners", int64(99720109477), "spec.bootImageSpec.owners"},
		{"bootImageSpec.owners", strings.Repeat("1", 513), "512"},
		{"bootImageSpec.executableUsers", "me", "must be account IDs of 12 digits, self or all"},
		{"bootImageSpec.filters", "name=ubuntu/images/hvm-ssd/ubuntu-*-amd64-server-*,b tag:team=a=b", ""},
		{"bootImageSpec.filters", "", "spec.bootImageSpec.filters"},
		{"bootImageSpec.filters", "name", "must be name=value[,value]"},
		{"bootImageSpec.filters", "name=", "must be name=value[,value]"},
		{"bootImageSpec.filters", "name=a,", "must be name=value[,value]"},
		{"bootImageSpec.filters", "name=Deep Learning", "must be name=value[,value]"},

		{"cloudInit", strings.Repeat("#", 65536), ""},
		{"cloudInit", strings.Repeat("#", 65537), "65536"},

		{"cloudInitFrom", object{"configMapKeyRef": object{"name": "cells", "key": "user-data"}}, ""},
		{"cloudInitFrom", object{"secretKeyRef": object{"name": "cells", "key": "user-data"}}, ""},
		{"cloudInitFrom", object{"secretKeyRef": object{"name": "kip-ca", "key": "tls.key"}}, "must not be kip-ca"},
		{"cloudInitFrom", object{}, "one of configMapKeyRef and secretKeyRef is required"},
		{"cloudInitFrom", object{"configMapKeyRef": object{"name": "a", "key": "b"}, "secretKeyRef": object{"name": "a", "key": "b"}}, "not both"},
		{"cloudInitFrom", object{"configMapKeyRef": object{"name": "cells"}}, "spec.cloudInitFrom.configMapKeyRef.key"},

		{"aws.parameterStore", object{"kmsKeyID": "alias/kip"}, ""},
		{"aws.parameterStore", object{"kmsKeyID": "1234abcd-12ab-34cd-56ef-1234567890ab"}, ""},
		{"aws.parameterStore", object{"kmsKeyID": "arn:aws:kms:us-east-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab"}, ""},
		{"aws.parameterStore", object{"kmsKeyID": "arn:aws-cn:kms:cn-north-1:123456789012:alias/kip/cells"}, ""},
		{"aws.parameterStore", object{"kmsKeyID": "alias/two words"}, "must be a key's ID"},
		{"aws.parameterStore", object{"kmsKeyID": " alias/kip"}, "must be a key's ID"},
		{"aws.parameterStore", object{"kmsKeyID": "kip"}, "must be a key's ID"},
		{"aws.rootVolume", object{"encrypted": true, "kmsKeyID": "alias/kip "}, "must be a key's ID"},

		{"useCloudParameterStore", true, "useCloudParameterStore needs defaultIAMPermissions"},
		{"defaultIAMPermissions", "kip-cells", ""},
		{"defaultIAMPermissions", "arn:aws:iam::123456789012:instance-profile/path/kip-cells", ""},
		{"defaultIAMPermissions", "kip cells", "spec.defaultIAMPermissions"},

		{"cellConfig", object{"itzoFlag-v": "5"}, ""},
		{"cellConfig", object{"a/b": "5"}, "keys must have 1 to 128 letters"},
		{"cellConfig", object{"a": int64(5)}, "spec.cellConfig.a"},

		{"itzo", nil, ""},
		{"itzo", object{"version": "v1"}, "version and sha256 need url"},
		{"itzo.sha256", object{"itzo-amd64": strings.Repeat("ab", 32)}, ""},
		{"itzo.sha256", object{"itzo-amd64": "ab"}, "spec.itzo.sha256.itzo-amd64"},
		{"itzo.sha256", object{"itzo": strings.Repeat("ab", 32)}, "keys are itzo-amd64"},
		{"itzo.url", "http://10.0.0.1:8080/agents", ""},
		{"itzo.url", "https://agents.example", ""},
		{"itzo.url", "https://agents.example/", "without a slash at its end"},
		{"itzo.url", "ftp://agents.example", "spec.itzo.url"},
		{"itzo.url", "https://agents.example/a b", "spec.itzo.url"},
		{"itzo.url", "https://agents.example/'; reboot '", "spec.itzo.url"},
		{"itzo.url", "https://agents.example/$(reboot)", "spec.itzo.url"},
		{"itzo.url", "https://" + strings.Repeat("a", 1017), "1024"},
		{"itzo.url", nil, "version and sha256 need url"},
		{"itzo.version", "v1.2.3-rc_1+build", ""},
		{"itzo.version", "", "spec.itzo.version"},
		{"itzo.version", "v1/../v2", "spec.itzo.version"},
		{"itzo.version", "v1 v2", "spec.itzo.version"},
		{"itzo.version", strings.Repeat("v", 65), "64"},

		{"extraSecurityGroups", []any{"sg-01234567", "sg-0123456789abcdef0"}, ""},
		{"extraSecurityGroups", []any{"default"}, "spec.extraSecurityGroups[0]"},
		{"extraSecurityGroups", []any{"sg-01234567", "sg-01234567"}, "Duplicate"},
		{"extraSecurityGroups", list(5, "sg-%08x"), ""},
		{"extraSecurityGroups", list(6, "sg-%08x"), "5"},

		{"capacity", object{"cpu": "10", "nvidia.com/gpu": int64(4)}, ""},
		{"capacity", object{"cpu": "many"}, "spec.capacity"},
		{"capacity", table(16, "1"), ""},
		{"capacity", table(17, "1"), "16"},

		{"aws", nil, "spec.aws"},
		{"aws.subnets", nil, "spec.aws.subnets"},
		{"aws.subnets", []any{}, "spec.aws.subnets"},
		{"aws.subnets", []any{"subnet-01234567"}, ""},
		{"aws.subnets", []any{"subnet-xyz"}, "spec.aws.subnets[0]"},
		{"aws.subnets", []any{"subnet-01234567", "vpc-01234567"}, "spec.aws.subnets[1]"},
		{"aws.subnets", []any{"subnet-01234567", "subnet-01234567"}, "Duplicate"},
		{"aws.subnets", list(16, "subnet-%08x"), ""},
		{"aws.subnets", list(17, "subnet-%08x"), "16"},
		{"aws.tags", object{"team": "red", "Name": "cell"}, ""},
		{"aws.tags", object{"aws:x": "y"}, "must not start with aws:"},
		{"aws.tags", object{"kip.elotl.co/cluster": "mine"}, "must not start with aws: or kip.elotl.co/"},
		{"aws.tags", object{strings.Repeat("k", 128): ""}, ""},
		{"aws.tags", object{strings.Repeat("k", 129): ""}, "at most 128 characters"},
		{"aws.tags", object{"k": strings.Repeat("v", 256)}, ""},
		{"aws.tags", object{"k": strings.Repeat("v", 257)}, "256"},
		{"aws.tags", table(32, "x"), ""},
		{"aws.tags", table(33, "x"), "32"},
	} {
		t.Run(f.name(), func(t *testing.T) {
			check(t, c, manifest("CellClass", "fields", set(classSpec(), f.path, f.value)), f.want)
		})
	}
}

func TestClassNames(t *testing.T) {
	c := apiServer.Client(t)
	for name, want := range map[string]string{
		"default":               "",
		strings.Repeat("n", 59): "",
		strings.Repeat("n", 60): "at most 59 characters",
		"with.dots":             "must not contain dots",
	} {
		t.Run(name, func(t *testing.T) { check(t, c, manifest("CellClass", name, classSpec()), want) })
	}
}

// TestClassNamesWithZones: a node's name has room for the zone's.
func TestClassNamesWithZones(t *testing.T) {
	c := apiServer.Client(t)
	for name, want := range map[string]string{strings.Repeat("n", 35): "", strings.Repeat("n", 36): "at most 35 characters"} {
		t.Run(name, func(t *testing.T) {
			check(t, c, manifest("CellClass", name, set(classSpec(), "nodePerZone", true)), want)
			check(t, c, manifest("CellClass", name, set(classSpec(), "nodePerZone", false)), "")
		})
	}
}

// TestCellSpecIsImmutable changes each field of a Cell that exists.
func TestCellSpecIsImmutable(t *testing.T) {
	c := apiServer.Client(t)
	full := func() object {
		spec := cellSpec()
		spec["instanceType"], spec["volumeSize"] = "m5.large", "10Gi"
		return spec
	}
	for i, test := range []struct {
		before object
		field
	}{
		{full(), field{"cellClassName", "other", "spec.cellClassName cannot be changed"}},
		{full(), field{"cellClassName", "default", ""}},
		{full(), field{"zone", "us-east-1a", "spec.zone cannot be changed"}},
		{full(), field{"instanceType", "m5.xlarge", "spec.instanceType cannot be changed"}},
		{full(), field{"instanceType", nil, "spec.instanceType cannot be changed"}},
		{cellSpec(), field{"instanceType", "m5.large", "spec.instanceType cannot be changed"}},
		{full(), field{"volumeSize", "20Gi", "spec.volumeSize cannot be changed"}},
		{full(), field{"volumeSize", nil, "spec.volumeSize cannot be changed"}},
		{cellSpec(), field{"volumeSize", "20Gi", "spec.volumeSize cannot be changed"}},
		{full(), field{"volumeSize", "10240Mi", ""}},
		{full(), field{"volumeSize", int64(10 << 30), ""}},
	} {
		t.Run(fmt.Sprintf("%d %s", i, test.name()), func(t *testing.T) {
			o := create(t, c, manifest("Cell", fmt.Sprintf("immutable-%d", i), test.before))
			o.Object["spec"] = set(o.Object["spec"].(object), test.path, test.value)
			checkAnswer(t, c.Update(t.Context(), o, client.DryRunAll), test.want)
		})
	}
}

// create makes an object for one test.
func create(t *testing.T, c client.Client, o *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	if err := c.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Delete(context.Background(), o) })
	return o
}

func patchStatus(t *testing.T, c client.Client, o client.Object, patch []byte) {
	t.Helper()
	if err := c.Status().Patch(t.Context(), o, client.RawPatch(types.MergePatchType, patch)); err != nil {
		t.Fatal(err)
	}
}

func TestPodRefIsSetOnce(t *testing.T) {
	c := apiServer.Client(t)
	o := create(t, c, manifest("Cell", "pod-ref", cellSpec()))
	podRef := func(uid string) object { return object{"namespace": "default", "name": "web", "uid": uid} }
	set(o.Object["spec"].(object), "podRef", podRef("1"))
	if err := c.Update(t.Context(), o); err != nil {
		t.Fatalf("it cannot be set: %v", err)
	}
	for name, value := range map[string]any{"changed": podRef("2"), "taken away": nil} {
		changed := o.DeepCopy()
		set(changed.Object["spec"].(object), "podRef", value)
		t.Run(name, func(t *testing.T) {
			checkAnswer(t, c.Update(t.Context(), changed, client.DryRunAll), "spec.podRef can be set once")
		})
	}
	same := o.DeepCopy()
	same.SetLabels(map[string]string{"a": "b"})
	if err := c.Update(t.Context(), same); err != nil {
		t.Errorf("other changes are refused: %v", err)
	}
}

func TestClassDefaults(t *testing.T) {
	c := apiServer.Client(t)
	create(t, c, manifest("CellClass", "defaults", classSpec()))
	class := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: "defaults"}}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(class), class); err != nil {
		t.Fatal(err)
	}
	s := class.Spec
	if s.DefaultInstanceType != "t3.nano" || s.MaxPriceFactor != "5" || s.PowerOffAfter.Duration != 24*time.Hour || s.BootTimeout.Duration != 5*time.Minute || s.DefaultVolumeSize.String() != "10Gi" || s.Capacity.Cpu().String() != "1k" ||
		s.Capacity.Memory().String() != "4Ti" || s.Capacity.Pods().String() != "1k" || s.Capacity.StorageEphemeral().String() != "100Ti" {
		t.Errorf("defaults %+v", s)
	}
}
