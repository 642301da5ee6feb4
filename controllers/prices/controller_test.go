package prices

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
	"kip.elotl.co/test/fixture"
)

var apiServer fixture.APIServer

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

// market sells m5.large at 0.10 USD per hour.
type market struct{}

func (market) InstanceTypes(context.Context) ([]cloud.InstanceType, error) {
	return []cloud.InstanceType{{
		Name: "m5.large", Architectures: []cloud.Architecture{cloud.AMD64}, VCPUs: 2, MemoryMiB: 8192, IPv4PerInterface: 10, HVM: true,
		Markets: []cloud.Market{cloud.OnDemand}, Zones: []string{"a"},
	}}, nil
}

func (market) OnDemandPrices(context.Context) (map[string]float64, error) {
	return map[string]float64{"m5.large": 0.10}, nil
}

func (market) DedicatedPrices(context.Context) (map[string]float64, error) { return nil, nil }

func (market) SpotPrices(context.Context) ([]cloud.SpotPrice, error) { return nil, nil }

// bench is an operator in a namespace of its own.
type bench struct {
	*testing.T
	client.Client
	namespace string
	offers    *catalogue.Catalogue
	clock     fixture.Clock
}

func newBench(t *testing.T) *bench {
	t.Helper()
	t.Parallel()
	b := &bench{T: t, Client: apiServer.Client(t), namespace: strings.ToLower(strings.TrimPrefix(t.Name(), "Test"))}
	if err := b.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}}); err != nil {
		t.Fatal(err)
	}
	apiServer.StartManager(t, b.namespace, func(mgr ctrl.Manager) error {
		b.offers = fixture.Catalogue(t, mgr, market{}, &b.clock)
		return New(Options{
			Client: mgr.GetClient(), Catalogue: b.offers, Events: mgr.GetEventRecorder("kip"), Clock: &b.clock, Namespace: b.namespace,
		}).SetupWithManager(mgr)
	})
	b.wantPrice(0.10, selection.SourcePricingAPI)
	return b
}

// price is what m5.large costs.
func (b *bench) price() selection.Price {
	index := b.offers.Index()
	if index == nil {
		return selection.Price{}
	}
	class := selection.Class{
		Images:  []selection.Image{{ID: "ami", Architecture: selection.AMD64, Accelerator: "none", ENA: true}},
		Subnets: []selection.Subnet{{ID: "subnet", Zone: "a", Free: 100}},
	}
	found := selection.Select(selection.NewRules(index, class), &selection.Ask{}, catalogue.NewCapacity(&b.clock).For(catalogue.Hardware{}), 1)
	if len(found) == 0 {
		return selection.Price{}
	}
	return found[0].Price
}

func (b *bench) wantPrice(perHour float64, source selection.PriceSource) {
	b.Helper()
	fixture.Eventually(b, fmt.Sprintf("m5.large costs %g by %s", perHour, source), func(context.Context) error {
		if is := b.price(); is.PerHour != perHour || is.Source != source {
			return fmt.Errorf("it costs %g by %q", is.PerHour, is.Source)
		}
		return nil
	})
}

func (b *bench) configMap(name, namespace string, data map[string]string) *corev1.ConfigMap {
	b.Helper()
	made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Data: data}
	if err := b.Create(b.Context(), made); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = b.Delete(context.Background(), made) })
	return made
}

func (b *bench) change(is *corev1.ConfigMap, document string) {
	b.Helper()
	is.Data = map[string]string{Key: document}
	if err := b.Update(b.Context(), is); err != nil {
		b.Fatal(err)
	}
}

// wantEvent waits for a warning on the ConfigMap that holds all of texts.
func (b *bench) wantEvent(texts ...string) {
	b.Helper()
	fixture.Eventually(b, fmt.Sprintf("an event with %q", texts), func(ctx context.Context) error {
		var all eventsv1.EventList
		if err := b.List(ctx, &all, client.InNamespace(b.namespace)); err != nil {
			return err
		}
		var seen []string
		for _, e := range all.Items {
			seen = append(seen, e.Note)
			if e.Reason == v1beta1.ReasonInvalidPrices && e.Type == corev1.EventTypeWarning && e.Regarding.Name == ConfigMapName && holds(e.Note, texts) {
				return nil
			}
		}
		return fmt.Errorf("events %q", seen)
	})
}

func holds(note string, texts []string) bool {
	for _, text := range texts {
		if !strings.Contains(note, text) {
			return false
		}
	}
	return true
}

// TestOverrides: prices follow the ConfigMap, until it is gone.
func TestOverrides(t *testing.T) {
	b := newBench(t)
	is := b.configMap(ConfigMapName, b.namespace, map[string]string{Key: "- {instanceType: \"m5*\", pricePerHour: 0.03}\n"})
	b.wantPrice(0.03, selection.SourceOverride)
	b.change(is, "- {instanceType: m5.large, percent: -50}\n")
	b.wantPrice(0.05, selection.SourceOverride)
	b.change(is, "[]")
	b.wantPrice(0.10, selection.SourcePricingAPI)
	b.change(is, "- {instanceType: m5.large, pricePerHour: 0.04}\n")
	b.wantPrice(0.04, selection.SourceOverride)
	if err := b.Delete(t.Context(), is); err != nil {
		t.Fatal(err)
	}
	b.wantPrice(0.10, selection.SourcePricingAPI)
}

// TestMalformed: it is said where it is written, and what was in force stays.
func TestMalformed(t *testing.T) {
	b := newBench(t)
	is := b.configMap(ConfigMapName, b.namespace, map[string]string{Key: "- {instanceType: m5.large, pricePerHour: 0.03}\n"})
	b.wantPrice(0.03, selection.SourceOverride)
	for document, want := range map[string][]string{
		"- {instanceType: m5.large, percent: -20}\n- {instanceType: c5.large, percent: -100}\n": {"data.overrides", "entry 2", "percent"},
		"- {instanceType: m5.large}\n":                                 {"entry 1", "pricePerHour", "percent"},
		"- {instanceType: m5.large, price: 1}\n":                       {"entry 1", "price"},
		"- {instanceType: m5.large, pricePerHour: cheap}\n":            {"entry 1", "pricePerHour"},
		"- {instanceType: m5.large, launchType: x, pricePerHour: 1}\n": {"entry 1", "launchType"},
		"m5.large: 0.03\n":                                             {"data.overrides", "list"},
	} {
		b.change(is, document)
		b.wantEvent(append(want, "stay")...)
	}
	is.Data = nil
	if err := b.Update(t.Context(), is); err != nil {
		t.Fatal(err)
	}
	b.wantEvent("data.overrides is missing")
	b.wantPrice(0.03, selection.SourceOverride)
	b.change(is, "- {instanceType: m5.large, pricePerHour: 0.02}\n")
	b.wantPrice(0.02, selection.SourceOverride)
}

// TestOthersAreNotRead: neither another name nor another namespace counts.
func TestOthersAreNotRead(t *testing.T) {
	b := newBench(t)
	data := map[string]string{Key: "- {instanceType: m5.large, pricePerHour: 0.01}\n"}
	b.configMap("prices", b.namespace, data)
	b.configMap(ConfigMapName, "default", data)
	b.configMap(ConfigMapName, b.namespace, map[string]string{Key: "- {instanceType: m5.large, pricePerHour: 0.03}\n"})
	b.wantPrice(0.03, selection.SourceOverride)
}
