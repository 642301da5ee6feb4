package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/internal/pricetable"
	"kip.elotl.co/internal/selection"
	"kip.elotl.co/test/fixture"
)

// spec is a pod that asks for half a CPU and 3 GiB.
const spec = `{containers: [{name: web, image: nginx, resources: {requests: {cpu: 500m, memory: 3Gi}}}]}`

const aPod = `{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: ` + spec + `}`

func quotesOf(t *testing.T, text string) []pricetable.Quote {
	t.Helper()
	var quotes []pricetable.Quote
	if err := json.Unmarshal([]byte(text), &quotes); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return quotes
}

// TestPrice: the table of a Deployment, without anything being launched.
func TestPrice(t *testing.T) {
	b := newBench(t)
	defer b.clean()
	b.readyClass("price")
	stdout, stderr, err := b.price("", "-f", b.file(`
apiVersion: v1
kind: Service
metadata: {name: web}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template: {spec: `+spec+`}
`), "--limit=3")
	if err != nil {
		t.Fatalf("%v, notes %q", err, stderr)
	}
	lines := strings.Split(stdout, "\n")
	if !strings.HasPrefix(lines[0], "Deployment shop/web: asks for cpu 500m, memory 3Gi; class price; launch type On-demand; ") {
		t.Errorf("first line %q", lines[0])
	}
	if got := strings.Fields(lines[2]); !slices.Equal(got, strings.Fields("TYPE ZONE MARKET VCPUS MEMORY INSTANCE/H VOLUME/H IPV4/H TOTAL/H SOURCE AGE")) {
		t.Errorf("header %q", got)
	}
	if len(lines) != 9 || !strings.Contains(lines[7], "more with --limit=0") || !strings.Contains(lines[7], "--rejected says why") {
		t.Errorf("stdout:\n%s", stdout)
	}
	if !strings.Contains(stderr, "passed over what has no pods: Service") {
		t.Errorf("notes %q", stderr)
	}
	if n := len(b.cloud.Calls("RunInstances")); n > 0 {
		t.Errorf("%d launches", n)
	}
}

// TestAgreesWithOperator: what is said beforehand is what the operator launches.
func TestAgreesWithOperator(t *testing.T) {
	b := newBench(t)
	defer b.clean()
	volume, throughput := resource.MustParse("30Gi"), int32(250)
	class := b.readyClass("agree", func(s *v1beta1.CellClassSpec) {
		s.DefaultVolumeSize = &volume
		s.AWS.Subnets = []string{subnetB} // of several the operator prefers the emptier one
		s.AWS.RootVolume = v1beta1.RootVolumeSpec{Type: "gp3", Throughput: &throughput}
	})
	for name, test := range map[string]struct {
		annotations string
		spec        v1beta1.CellSpec
	}{
		"on-demand": {},
		"spot":      {"pod.elotl.co/launch-type: spot", v1beta1.CellSpec{LaunchType: v1beta1.LaunchSpot}},
		"type":      {"pod.elotl.co/instance-type: m5.large", v1beta1.CellSpec{InstanceType: "m5.large"}},
	} {
		t.Run(name, func(t *testing.T) {
			resources := "{requests: {cpu: 500m, memory: 3Gi}}"
			stdout, stderr, err := b.price(fmt.Sprintf(
				`{apiVersion: v1, kind: Pod, metadata: {name: web, annotations: {%s}}, spec: {containers: [{name: web, image: nginx, resources: %s}]}}`,
				test.annotations, resources), "-f", "-", "-o", "json")
			if err != nil {
				t.Fatalf("%v, notes %q", err, stderr)
			}
			said := quotesOf(t, stdout)[0].Offers[0]
			test.spec.CellClassName = class.Name
			test.spec.Resources = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("3Gi")}
			launched := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: "agree-" + name, Labels: map[string]string{fixture.TestLabel: b.name}}, Spec: test.spec}
			b.create(launched)
			launched = fixture.WaitFor(b, b, launched, "the cell is launched", func(c *v1beta1.Cell) error {
				if c.Status.InstanceID == "" || c.Status.PricePerHour == "" {
					return fmt.Errorf("status %+v", c.Status)
				}
				return nil
			})
			is := launched.Status
			if said.InstanceType != is.InstanceType || said.Zone != is.Zone || said.LaunchType != is.LaunchType || said.PricePerHour != is.PricePerHour {
				t.Errorf("said %+v, launched %+v", said, is)
			}
			if said.Price.Volume != is.Price.Volume || said.Price.PublicIPv4 != is.Price.PublicIPv4 || said.Price.Instance != is.Price.Instance {
				t.Errorf("said %+v, launched at %+v", said.Price, is.Price)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	b := newBench(t)
	defer b.clean()
	b.readyClass("flags")
	b.readyClass("flags-two", func(s *v1beta1.CellClassSpec) { s.InstanceTypes.Allowed = []v1beta1.TypePattern{"c5.*"} })
	stdout, stderr, err := b.price(aPod+"\n---\n"+strings.Replace(aPod, "{name: web}", "{name: other, namespace: depot}", 1),
		"-f", "-", "-o", "yaml", "--class=flags-two", "--launch-type=spot-preferred", "--instance-type=c5*", "--limit=0", "--rejected")
	if err != nil {
		t.Fatalf("%v, notes %q", err, stderr)
	}
	var quotes []pricetable.Quote
	if err := yaml.UnmarshalStrict([]byte(stdout), &quotes); err != nil || len(quotes) != 2 {
		t.Fatalf("%v, stdout %s", err, stdout)
	}
	q := quotes[0]
	if q.CellClassName != "flags-two" || q.Counted.LaunchType != v1beta1.LaunchSpotPreferred || q.Counted.InstanceType != "c5*" || q.Omitted != 0 {
		t.Errorf("quote %+v", q)
	}
	if len(q.Rejected) == 0 || len(q.Rejected) != q.RejectedTypes {
		t.Errorf("%d rejections shown of %d", len(q.Rejected), q.RejectedTypes)
	}
	for _, o := range q.Offers {
		if !strings.HasPrefix(o.InstanceType, "c5.") {
			t.Errorf("offer %+v", o)
		}
	}
	if q.Namespace != "shop" || quotes[1].Namespace != "depot" {
		t.Errorf("namespaces %s and %s", q.Namespace, quotes[1].Namespace)
	}
	if _, _, err := b.price(aPod, "-f", "-"); err == nil || !strings.Contains(err.Error(), "Pod shop/web: ") || !strings.Contains(err.Error(), "there are flags, flags-two") {
		t.Errorf("without a class: %v", err)
	}
	stdout, _, err = b.price(aPod, "-f", "-", "--class=flags", "-n", "depot")
	if err != nil || !strings.HasPrefix(stdout, "Pod depot/web") {
		t.Errorf("with a namespace: %v, stdout %s", err, stdout)
	}
	_, _, err = b.price(strings.Replace(aPod, "{name: web}", "{name: web, namespace: depot}", 1), "-f", "-", "--class=flags", "-n", "shop")
	if err == nil || !strings.Contains(err.Error(), `"depot" is not the one of --namespace=shop`) {
		t.Errorf("with another namespace: %v", err)
	}
}

// TestWhatTheClusterKnows: overrides and the memory that cells report count.
func TestWhatTheClusterKnows(t *testing.T) {
	b := newBench(t)
	defer b.clean()
	b.readyClass("knows")
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kip-knows"}}
	if err := b.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	b.create(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "kip-prices"},
		Data:       map[string]string{"overrides": "- {instanceType: m5.large, pricePerHour: 0.001}\n- {instanceType: c5.large, pricePerHour: 0.0001}\n"},
	})
	small := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: "knows"}, Spec: v1beta1.CellSpec{CellClassName: "knows"}}
	b.create(small) // no operator sees it: it lacks the test's label
	memory := resource.MustParse("2Gi")
	small.Status.InstanceType, small.Status.Agent = "c5.large", &v1beta1.AgentStatus{Name: "kip", Memory: &memory}
	if err := b.Status().Update(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := b.price(aPod, "-f", "-", "-o", "json", "--operator-namespace", namespace.Name, "--rejected")
	if err != nil || stderr != "" {
		t.Fatalf("%v, notes %q", err, stderr)
	}
	q := quotesOf(t, stdout)[0]
	if first := q.Offers[0]; first.InstanceType != "m5.large" || first.Price.Instance != "0.001" || first.Price.Source != string(selection.SourceOverride) {
		t.Errorf("first offer %+v, price %+v", first, first.Price)
	}
	at := slices.IndexFunc(q.Rejected, func(r pricetable.Rejected) bool { return r.InstanceType == "c5.large" })
	if at < 0 || q.Rejected[at].Step != selection.StepMemory {
		t.Errorf("c5.large is not turned down for its memory: %+v", q.Rejected)
	}
}

// TestFewRights: who may only list classes gets an answer, and is told what
// does not count. Who may not is told that.
func TestFewRights(t *testing.T) {
	b := newBench(t)
	defer b.clean()
	b.readyClass("rights")
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "kip-rights"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{v1beta1.GroupVersion.Group}, Resources: []string{"cellclasses"}, Verbs: []string{"list"}}},
	}
	b.create(role)
	b.create(&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "kip-rights"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: "jane"}},
	})
	fixture.Eventually(t, "the role counts", func(context.Context) error {
		_, _, err := b.price(aPod, "-f", "-", "--as=jane")
		return err
	})
	_, stderr, err := b.price(aPod, "-f", "-", "--as=jane")
	if err != nil || !strings.Contains(stderr, "memory that cells really have does not count: listing Cells") ||
		!strings.Contains(stderr, "prices of your own do not count: reading ConfigMap kip-system/kip-prices") {
		t.Errorf("%v, notes %q", err, stderr)
	}
	if _, _, err := b.price(aPod, "-f", "-", "--as=joe"); err == nil || !strings.Contains(err.Error(), "listing CellClasses") || !strings.Contains(err.Error(), "joe") {
		t.Errorf("without rights: %v", err)
	}
}

// TestCloudRefuses: prices that AWS refuses are replaced, types are not.
func TestCloudRefuses(t *testing.T) {
	b := newBench(t)
	defer b.clean()
	b.readyClass("refuses")
	refuse := func(action string) {
		b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{
			Action: action, Code: "UnauthorizedOperation", Message: "You are not authorized to perform this operation.",
		}}})
	}
	refuse("GetProducts")
	stdout, stderr, err := b.price(aPod, "-f", "-")
	if err != nil || !strings.Contains(stdout, "Table") || !strings.Contains(stderr, "built-in prices stand in") || !strings.Contains(stderr, "pricing:GetProducts") {
		t.Errorf("without the price list: %v, notes %q, stdout:\n%s", err, stderr, stdout)
	}
	refuse("DescribeInstanceTypes")
	stdout, _, err = b.price(aPod, "-f", "-")
	if err == nil || !strings.Contains(err.Error(), "ec2:DescribeInstanceTypes") || !strings.Contains(err.Error(), "AWS_PROFILE") || stdout != "" {
		t.Errorf("without types: %v, stdout %s", err, stdout)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	_, _, err = b.price(aPod, "-f", "-")
	for _, text := range []string{"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "make up", ". .dev/aws.env"} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("without credentials: %v, lacks %q", err, text)
		}
	}
}

// TestFailures: what cannot be had is told of each pod, and the others are shown.
func TestFailures(t *testing.T) {
	b := newBench(t)
	defer b.clean()
	b.readyClass("failures")
	pods := []string{
		aPod,
		`{apiVersion: v1, kind: Pod, metadata: {name: huge}, spec: {containers: [{name: web, image: nginx, resources: {requests: {memory: 900Ti}}}]}}`,
		`{apiVersion: v1, kind: Pod, metadata: {name: misspelt, annotations: {pod.elotl.co/launch-type: cheap, pod.elotl.co/volume-size: big}}, spec: ` + spec + `}`,
		`{apiVersion: v1, kind: Pod, metadata: {name: elsewhere}, spec: {runtimeClassName: kip-nowhere, containers: []}}`,
	}
	stdout, _, err := b.price(strings.Join(pods, "\n---\n"), "-f", "-")
	if err == nil {
		t.Fatalf("no error, stdout %s", stdout)
	}
	for _, text := range []string{
		"Pod shop/huge: needs 900Ti memory; the largest allowed type",
		`Pod shop/misspelt: annotation pod.elotl.co/launch-type: "cheap"`,
		`Pod shop/misspelt: annotation pod.elotl.co/volume-size: "big"`,
		`Pod shop/elsewhere: CellClass "nowhere" does not exist: there are failures`,
	} {
		if !strings.Contains("\n"+err.Error(), "\n"+text) {
			t.Errorf("error lacks %q:\n%v", text, err)
		}
	}
	if !strings.Contains(stdout, "Pod shop/web: asks for") || !strings.Contains(stdout, "Pod shop/huge: asks for") || !strings.Contains(stdout, "Nothing would be launched: needs 900Ti") {
		t.Errorf("stdout:\n%s", stdout)
	}
	if stdout, _, err := b.price(pods[2], "-f", "-", "-o", "json"); err == nil || strings.TrimSpace(stdout) != "[]" {
		t.Errorf("only one that is refused: %v, stdout %q", err, stdout)
	}
}
