package pricetable

import (
	"context"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/cloud"
)

var update = flag.Bool("update", false, "write the golden files anew")

// asOf is when the fake catalogue was asked, now five minutes later.
var (
	asOf = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	now  = asOf.Add(5 * time.Minute)
)

// region is a fake cloud of a few types.
type region struct {
	types     []cloud.InstanceType
	priceless bool               // it has no Pricing API
	more      map[string]float64 // On-demand prices of further types
}

func (r *region) InstanceTypes(context.Context) ([]cloud.InstanceType, error) { return r.types, nil }

func (r *region) OnDemandPrices(context.Context) (map[string]float64, error) {
	if r.priceless {
		return nil, errors.New("no price list")
	}
	prices := map[string]float64{
		"t3.nano": 0.0052, "t3.small": 0.0208, "m5.large": 0.096, "m5.xlarge": 0.192, "c5.large": 0.085, "m6g.large": 0.077, "g4dn.xlarge": 0.526,
	}
	maps.Copy(prices, r.more)
	return prices, nil
}

func (r *region) SpotPrices(context.Context) ([]cloud.SpotPrice, error) {
	return []cloud.SpotPrice{
		{InstanceType: "m5.large", Zone: "us-east-1a", PerHour: 0.0411},
		{InstanceType: "m5.large", Zone: "us-east-1b", PerHour: 0.0399},
		{InstanceType: "c5.large", Zone: "us-east-1b", PerHour: 0.2},
	}, nil
}

func aRegion() *region {
	make := func(name string, vcpus int32, gib float64, zones ...string) cloud.InstanceType {
		t := cloud.InstanceType{
			Name: name, Architectures: []cloud.Architecture{cloud.AMD64}, VCPUs: vcpus, MemoryMiB: int64(gib * 1024), IPv4PerInterface: 4,
			Burstable: strings.HasPrefix(name, "t"), HVM: true, LegacyBIOS: true, UEFI: true, NeedsENA: true,
			Markets: []cloud.Market{cloud.OnDemand, cloud.Spot}, Zones: zones,
		}
		if strings.HasPrefix(name, "m6g") {
			t.Architectures = []cloud.Architecture{cloud.ARM64}
		}
		if strings.HasPrefix(name, "g") {
			t.GPUs = 1
		}
		return t
	}
	return &region{types: []cloud.InstanceType{
		make("t3.nano", 2, 0.5, "us-east-1a", "us-east-1b"),
		make("t3.small", 2, 2, "us-east-1a", "us-east-1b"),
		make("m5.large", 2, 8, "us-east-1a", "us-east-1b"),
		make("m5.xlarge", 4, 16, "us-east-1a", "us-east-1b"),
		make("c5.large", 2, 4, "us-east-1b"),
		make("m6g.large", 2, 8, "us-east-1a"),
		make("g4dn.xlarge", 4, 16, "us-east-1b"),
		make("unlisted.large", 2, 8, "us-east-1a"),
		make("x1.32xlarge", 128, 1952, "us-east-1c"),
	}}
}

// loaded is what can be bought in a region.
func loaded(t *testing.T, source *region) Market {
	t.Helper()
	clock := clocktesting.NewFakeClock(asOf)
	offers, err := catalogue.New(catalogue.Options{Source: source, Region: "us-east-1", Clock: clock, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := offers.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return Market{IndexFor: offers.IndexFor, World: catalogue.NewCapacity(clock).For(catalogue.Hardware{}), Region: "us-east-1"}
}

// class is a resolved class, but for what edit changes.
func class(edit ...func(*v1beta1.CellClass)) *v1beta1.CellClass {
	size := resource.MustParse("10Gi")
	c := &v1beta1.CellClass{
		ObjectMeta: metav1.ObjectMeta{Name: "default", Generation: 2},
		Spec: v1beta1.CellClassSpec{
			DefaultInstanceType: "t3.nano", DefaultLaunchType: v1beta1.LaunchOnDemand, DefaultVolumeSize: &size,
			InstanceTypes: v1beta1.InstanceTypesSpec{Burstable: v1beta1.BurstableUnlimited},
		},
		Status: v1beta1.CellClassStatus{
			Conditions: []metav1.Condition{{Type: v1beta1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonReady, ObservedGeneration: 2}},
			Images: []v1beta1.ResolvedImage{{
				Architecture: "amd64", Accelerator: v1beta1.AcceleratorNone, ID: "ami-0123456789abcdef0", RootDevice: "/dev/xvda", MinVolumeGiB: 4, Needs: []string{"hvm"},
			}},
			SecurityGroups: []string{"sg-0123456789abcdef0"},
			Subnets: []v1beta1.ResolvedSubnet{
				{ID: "subnet-0000000000000000a", Zone: "us-east-1a", FreeAddresses: 100},
				{ID: "subnet-0000000000000000b", Zone: "us-east-1b", FreeAddresses: 200},
			},
		},
	}
	for _, e := range edit {
		e(c)
	}
	return c
}

// pod reads one pod with a spec and further metadata, both in YAML's flow style.
func pod(t *testing.T, metadata, spec string) Workload {
	t.Helper()
	found, others, err := Read(strings.NewReader(`{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop` + metadata + `}, spec: ` + spec + `}`))
	if err != nil || len(found) != 1 || len(others) > 0 {
		t.Fatalf("found %v, others %v, error %v", found, others, err)
	}
	return found[0]
}

const small = `{containers: [{name: web, image: nginx, resources: {requests: {cpu: 500m, memory: 1Gi}}}]}`

func annotated(name, value string) string { return `, annotations: {` + name + `: "` + value + `"}` }

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
