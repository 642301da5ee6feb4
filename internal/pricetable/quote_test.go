package pricetable

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
)

func TestTables(t *testing.T) {
	public := func(c *v1beta1.CellClass) { c.Status.Subnets[0].Public = true }
	for name, test := range map[string]struct {
		metadata, spec string
		class          *v1beta1.CellClass
		limit          int
		rejected       bool
		priceless      bool
	}{
		"resources":       {spec: small, class: class()},
		"rejected":        {spec: small, class: class(public), limit: 2, rejected: true},
		"no-pricing-api":  {spec: small, class: class(), priceless: true},
		"default-type":    {spec: `{containers: [{name: web, image: nginx}]}`, class: class()},
		"named-type":      {metadata: annotated(v1beta1.AnnotationInstanceType, "m5.xlarge"), spec: small, class: class()},
		"unknown-price":   {metadata: annotated(v1beta1.AnnotationInstanceType, "unlisted.large"), spec: small, class: class()},
		"pattern":         {metadata: annotated(v1beta1.AnnotationInstanceType, "m5*"), spec: small, class: class()},
		"spot":            {metadata: annotated(v1beta1.AnnotationLaunchType, "spot"), spec: small, class: class()},
		"spot-preferred":  {metadata: `, annotations: {pod.elotl.co/launch-type: spot-preferred, pod.elotl.co/instance-type: "m5*"}`, spec: small, class: class(), limit: 3},
		"burst":           {spec: `{containers: [{name: web, image: nginx, resources: {limits: {cpu: "2", memory: 1Gi}}}]}`, class: class(public)},
		"zone":            {spec: `{nodeSelector: {topology.kubernetes.io/zone: us-east-1b}, containers: [{name: web, image: nginx, resources: {requests: {cpu: 1500m}}}]}`, class: class()},
		"nothing-fits":    {spec: `{containers: [{name: web, image: nginx, resources: {requests: {memory: 900Gi}}}]}`, class: class(), rejected: true},
		"max-price":       {spec: small, class: class(func(c *v1beta1.CellClass) { c.Spec.MaxPricePerHour = "0.05" })},
		"max-factor":      {spec: small, class: class(func(c *v1beta1.CellClass) { c.Spec.MaxPriceFactor = "3.5" }), rejected: true},
		"address":         {spec: small, class: class(func(c *v1beta1.CellClass) { no := false; c.Spec.PrivateIPOnly = &no }), limit: 1},
		"ephemeral-space": {spec: `{containers: [{name: web, image: nginx, resources: {requests: {cpu: 100m, ephemeral-storage: 100Gi}}}]}`, class: class(), limit: 1},
	} {
		t.Run(name, func(t *testing.T) {
			source := aRegion()
			source.priceless = test.priceless
			quote, err := loaded(t, source).Quote(pod(t, test.metadata, test.spec), test.class)
			if err != nil {
				t.Fatal(err)
			}
			quote.Shorten(test.limit, test.rejected)
			var out strings.Builder
			if err := quote.Write(&out, now); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", out.String())
		})
	}
}

func TestJSON(t *testing.T) {
	quote, err := loaded(t, aRegion()).Quote(pod(t, annotated(v1beta1.AnnotationLaunchType, "spot-preferred"), small), class())
	if err != nil {
		t.Fatal(err)
	}
	quote.Shorten(2, true)
	text, err := json.MarshalIndent(quote, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "quote.json", string(text)+"\n")
}

// TestSum: what is shown as the total is the sum of what is shown of its parts.
func TestSum(t *testing.T) {
	no := false
	quote, err := loaded(t, aRegion()).Quote(pod(t, "", small), class(func(c *v1beta1.CellClass) { c.Spec.PrivateIPOnly = &no }))
	if err != nil {
		t.Fatal(err)
	}
	const rounding = 2e-5
	for _, o := range quote.Offers {
		sum := number(t, o.Price.Instance) + number(t, o.Price.Volume) + number(t, o.Price.PublicIPv4)
		if off := number(t, o.PricePerHour) - sum; off > rounding || off < -rounding {
			t.Errorf("%s in %s: the total is %s, the sum %f", o.InstanceType, o.Zone, o.PricePerHour, sum)
		}
	}
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	var n float64
	if err := json.Unmarshal([]byte(s), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFirstIsChosen: the offers stand as the operator's own choice has them.
func TestFirstIsChosen(t *testing.T) {
	m := loaded(t, aRegion())
	for _, launchType := range []string{"on-demand", "spot", "spot-preferred"} {
		quote, err := m.Quote(pod(t, annotated(v1beta1.AnnotationLaunchType, launchType), small), class())
		if err != nil {
			t.Fatal(err)
		}
		ask := selection.Ask{MilliCPU: 500, Memory: 1 << 30, LaunchType: quote.Counted.LaunchType}
		chosen := selection.Select(selection.NewRules(m.IndexFor(""), selection.ClassOf(class())), &ask, m.World, 100)
		if len(chosen) != len(quote.Offers) {
			t.Fatalf("%s: %d offers, %d are chosen from", launchType, len(quote.Offers), len(chosen))
		}
		for i, o := range quote.Offers {
			if o.InstanceType != chosen[i].InstanceType || o.SubnetID != chosen[i].SubnetID || o.LaunchType != chosen[i].Market.LaunchType() {
				t.Errorf("%s: offer %d is %+v, chosen is %+v", launchType, i, o, chosen[i])
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		metadata, spec string
		class          *v1beta1.CellClass
		texts          []string
	}{
		"annotation": {annotated(v1beta1.AnnotationLaunchType, "cheap"), small, class(), []string{v1beta1.AnnotationLaunchType, "cheap", "on-demand, spot or spot-preferred"}},
		"misspelt":   {annotated("pod.elotl.co/instancetype", "m5.large"), small, class(), []string{"pod.elotl.co/instancetype", "instance-type"}},
		"privilege": {
			annotated(v1beta1.AnnotationInstanceProfile, "web"), small, class(), []string{`namespace "shop"`, "spec.podPrivileges.instanceProfiles"},
		},
		"field": {"", `{hostUsers: false, containers: [{name: web, image: nginx}], volumes: [{name: v, nfs: {server: a, path: /}}]}`, class(),
			[]string{"spec.hostUsers: ", "spec.volumes[0].nfs: "}},
		"device": {"", `{containers: [{name: web, image: nginx, resources: {limits: {example.com/gpu: 1}}}]}`, class(),
			[]string{"spec.containers[0].resources.limits[example.com/gpu]"}},
		"content of a volume": {"", `{containers: [{name: web, image: nginx}], volumes: [{name: v, downwardAPI: {items: [
			{path: cpu, resourceFieldRef: {containerName: web, resource: limits.hugepages-2Mi}}]}}]}`, class(),
			[]string{"spec.volumes[0].downwardAPI.items[0].resourceFieldRef"}},
		"operating system": {"", `{os: {name: windows}, containers: [{name: web, image: nginx}]}`, class(), []string{`spec.os.name: "windows": cells run linux`}},
		"deleted": {"", small, class(func(c *v1beta1.CellClass) { c.DeletionTimestamp = &metav1.Time{Time: time.Now()} }),
			[]string{`CellClass "default" is being deleted`}},
		"stale": {"", small, class(func(c *v1beta1.CellClass) { c.Generation = 3 }), []string{"CellClassNotReady", "is being looked up"}},
		"not ready": {"", small, class(func(c *v1beta1.CellClass) {
			c.Status.Conditions[0].Status, c.Status.Conditions[0].Reason, c.Status.Conditions[0].Message = metav1.ConditionFalse, "SubnetNotFound", "spec.aws.subnets[0]"
		}), []string{"SubnetNotFound", "spec.aws.subnets[0]"}},
	} {
		t.Run(name, func(t *testing.T) {
			quote, err := loaded(t, aRegion()).Quote(pod(t, test.metadata, test.spec), test.class)
			if err == nil {
				t.Fatalf("quote %+v", quote)
			}
			for _, text := range test.texts {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error %q lacks %q", err, text)
				}
			}
		})
	}
}

// TestAllRefusalsAreTold: each on a line of its own.
func TestAllRefusalsAreTold(t *testing.T) {
	metadata := `, annotations: {pod.elotl.co/launch-type: cheap, pod.elotl.co/volume-size: huge}`
	_, err := loaded(t, aRegion()).Quote(pod(t, metadata, small), class())
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) != 2 {
		t.Errorf("error %v", err)
	}
}

// TestDaemonSet: its pods get no cell, unless the class says so.
func TestDaemonSet(t *testing.T) {
	found, _, err := Read(strings.NewReader(
		`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d, namespace: shop}, spec: {template: {spec: ` + small + `}}}`))
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, error %v", found, err)
	}
	m := loaded(t, aRegion())
	if _, err := m.Quote(found[0], class()); err == nil || !strings.Contains(err.Error(), "from DaemonSet d by node affinity, or set spec.runDaemonSets") {
		t.Errorf("error %v", err)
	}
	quote, err := m.Quote(found[0], class(func(c *v1beta1.CellClass) { c.Spec.RunDaemonSets = true }))
	if err != nil || len(quote.Offers) == 0 {
		t.Errorf("quote %+v, error %v", quote, err)
	}
}

// TestAddressOfTheSubnet: what an offer costs is that of its own subnet, and the
// cheaper subnet goes first.
func TestAddressOfTheSubnet(t *testing.T) {
	quote, err := loaded(t, aRegion()).Quote(pod(t, "", small), class(func(c *v1beta1.CellClass) { c.Status.Subnets[1].Public = true }))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ subnet, address, total string }{
		{"subnet-0000000000000000a", "", "0.0269"}, {"subnet-0000000000000000b", "0.005", "0.0319"},
	} {
		if o := quote.Offers[i]; o.SubnetID != want.subnet || o.Price.PublicIPv4 != want.address || o.PricePerHour != want.total {
			t.Errorf("offer %d is in %s, for %s: %+v", i, o.SubnetID, o.PricePerHour, o.Price)
		}
	}
}

// TestDefaultStays where it is not the place that excludes it.
func TestDefaultStays(t *testing.T) {
	spec := `{nodeSelector: {topology.kubernetes.io/zone: us-east-1b}, containers: [{name: web, image: nginx}]}`
	quote, err := loaded(t, aRegion()).Quote(pod(t, "", spec), class(func(c *v1beta1.CellClass) {
		c.Spec.DefaultInstanceType, c.Spec.MaxPricePerHour = "m5.xlarge", "0.1"
	}))
	if err != nil {
		t.Fatal(err)
	}
	if !quote.Counted.ByDefault || quote.Problem == nil || quote.Problem.Step != selection.StepPrice {
		t.Errorf("counted %+v, problem %+v", quote.Counted, quote.Problem)
	}
}

// TestProblems: whose wish it was that cannot be had.
func TestProblems(t *testing.T) {
	for name, test := range map[string]struct {
		metadata, spec string
		class          *v1beta1.CellClass
		begins, holds  string
	}{
		"named":   {annotated(v1beta1.AnnotationInstanceType, "m9.huge"), small, class(), "annotation pod.elotl.co/instance-type: ", `"m9.huge"`},
		"pattern": {annotated(v1beta1.AnnotationInstanceType, "q*"), small, class(), "annotation pod.elotl.co/instance-type: ", `"q*"`},
		"pattern that is too small": {
			annotated(v1beta1.AnnotationInstanceType, "t3*"), `{containers: [{name: web, image: nginx, resources: {requests: {memory: 5Gi}}}]}`, class(),
			"needs 5Gi memory", "t3.small",
		},
		"volume": {annotated(v1beta1.AnnotationVolumeSize, "2Gi"), small, class(),
			"annotation pod.elotl.co/volume-size: 2Gi is smaller than the root volume of image ami-0123456789abcdef0, 4Gi", ""},
		"default": {"", `{containers: [{name: web, image: nginx}]}`, class(func(c *v1beta1.CellClass) { c.Spec.DefaultInstanceType = "x1.32xlarge" }),
			`CellClass "default": spec.defaultInstanceType: `, "us-east-1c"},
	} {
		t.Run(name, func(t *testing.T) {
			quote, err := loaded(t, aRegion()).Quote(pod(t, test.metadata, test.spec), test.class)
			if err != nil {
				t.Fatal(err)
			}
			if quote.Problem == nil || !strings.HasPrefix(quote.Problem.Message, test.begins) || !strings.Contains(quote.Problem.Message, test.holds) {
				t.Errorf("problem %+v", quote.Problem)
			}
			if len(quote.Offers) > 0 || quote.RejectedTypes != len(aRegion().types) {
				t.Errorf("%d offers, %d types turned down", len(quote.Offers), quote.RejectedTypes)
			}
		})
	}
}

// TestDefaultGivesWay: a pod that asks for nothing but a zone gets another type
// where the class's default is not offered.
func TestDefaultGivesWay(t *testing.T) {
	spec := `{nodeSelector: {topology.kubernetes.io/zone: us-east-1b}, containers: [{name: web, image: nginx}]}`
	quote, err := loaded(t, aRegion()).Quote(pod(t, "", spec), class(func(c *v1beta1.CellClass) { c.Spec.DefaultInstanceType = "unlisted.large" }))
	if err != nil {
		t.Fatal(err)
	}
	if quote.Counted.ByDefault || len(quote.Offers) == 0 || quote.Offers[0].InstanceType != "t3.nano" {
		t.Errorf("counted %+v, offers %+v", quote.Counted, quote.Offers)
	}
}

func TestShorten(t *testing.T) {
	for limit, want := range map[int][2]int{0: {3, 0}, 2: {2, 1}, 3: {3, 0}, 4: {3, 0}} {
		q := &Quote{Offers: make([]Offer, 3), Rejected: make([]Rejected, 2), RejectedTypes: 2}
		q.Shorten(limit, limit == 0)
		if len(q.Offers) != want[0] || q.Omitted != want[1] || (len(q.Rejected) > 0) != (limit == 0) || q.RejectedTypes != 2 {
			t.Errorf("limit %d: %+v", limit, q)
		}
	}
}
