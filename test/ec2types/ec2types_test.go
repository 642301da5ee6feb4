package ec2types

import (
	"compress/gzip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"kip.elotl.co/internal/selection"
)

// outcome is a testing.TB that remembers how a test ended.
type outcome struct {
	testing.TB
	skipped, failed bool
}

func (o *outcome) Helper()               {}
func (o *outcome) Skipf(string, ...any)  { o.skipped = true; runtime.Goexit() }
func (o *outcome) Fatalf(string, ...any) { o.failed = true; runtime.Goexit() }

func realFor(t *testing.T) (o outcome, c Catalogue) {
	o.TB = t
	done := make(chan struct{})
	go func() {
		defer close(done)
		c = Real(&o, 1)
	}()
	<-done
	return o, c
}

func TestRealWithoutFile(t *testing.T) {
	for name, path := range map[string]string{"not set": "", "no such file": filepath.Join(t.TempDir(), "none")} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(variable, path)
			t.Setenv("CI", "")
			if o, _ := realFor(t); !o.skipped || o.failed {
				t.Errorf("at a developer's: %+v, wants it skipped", o)
			}
			t.Setenv("CI", "true")
			if o, _ := realFor(t); o.skipped || !o.failed {
				t.Errorf("in continuous integration: %+v, wants it failed", o)
			}
		})
	}
}

func TestRealWithFile(t *testing.T) {
	t.Setenv(variable, write(t, `{"types": [
		{"name": "t4g.nano", "vcpus": 2, "memoryMiB": 512, "arch": ["arm64"], "hypervisor": "nitro", "ipv4PerInterface": 2, "gpus": [], "accelerators": []},
		{"name": "c1.medium", "vcpus": 2, "memoryMiB": 1740, "arch": ["i386", "x86_64"], "hypervisor": "xen", "ipv4PerInterface": 6,
		 "gpus": [{"name": "V", "manufacturer": "AMD", "count": 1}, {"name": "T4", "manufacturer": "NVIDIA", "count": 4}],
		 "accelerators": [{"name": "Inferentia2", "count": 6}, {"name": "Qualcomm AI100", "count": 8}]}],
		"onDemandUSDPerHour": {"us-east-1": {"t4g.nano": 0.0042}}}`))
	o, c := realFor(t)
	if o.skipped || o.failed {
		t.Fatalf("%+v", o)
	}
	want := []selection.Type{
		{Name: "t4g.nano", Architectures: selection.ARM64, MilliCPU: 2000, NominalMemory: 512 << 20, Memory: 362387865, IPv4PerInterface: 2,
			Supports: selection.BootSupport{HVM: true, UEFI: true, NeedsENA: true},
			Burst:    &selection.Burst{BaselineMilliCPU: 100, SurplusPerVCPUHour: 0.04}},
		{Name: "c1.medium", Architectures: selection.AMD64, MilliCPU: 2000, NominalMemory: 1740 << 20, Memory: 1553465344, IPv4PerInterface: 6,
			GPUs: 4, Neurons: 6, Supports: selection.BootSupport{HVM: true, Paravirtual: true, LegacyBIOS: true}},
	}
	for i := range want {
		if !reflect.DeepEqual(c.Types[i], want[i]) {
			t.Errorf("got %+v, want %+v", c.Types[i], want[i])
		}
	}
	for _, l := range c.Listings {
		if known := l.Type == "t4g.nano"; (l.Price.Source != "") != known {
			t.Errorf("%+v: only t4g.nano has a price", l)
		}
	}
}

func TestRealWithBadFile(t *testing.T) {
	for name, content := range map[string]string{"no JSON": "{", "no types": `{"onDemandUSDPerHour": {"us-east-1": {"a": 1}}}`, "no prices": `{"types": [{"name": "a"}]}`} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(variable, write(t, content))
			if o, _ := realFor(t); !o.failed {
				t.Errorf("%+v, wants it failed", o)
			}
		})
	}
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "types.json.gz")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zipped := gzip.NewWriter(file)
	if _, err := zipped.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBaselines(t *testing.T) {
	for name, test := range map[string]struct{ milliCPU, want int64 }{
		"t2.nano": {1000, 50}, "t2.micro": {1000, 100}, "t2.small": {1000, 200}, "t2.medium": {2000, 400}, "t2.large": {2000, 600},
		"t2.xlarge": {4000, 900}, "t2.2xlarge": {8000, 1350},
		"t3.nano": {2000, 100}, "t3a.micro": {2000, 200}, "t4g.small": {2000, 400}, "t3.medium": {2000, 400}, "t3.large": {2000, 600},
		"t3.xlarge": {4000, 1600}, "t3.2xlarge": {8000, 3200},
	} {
		if got := burstOf(name, test.milliCPU); got == nil || got.BaselineMilliCPU != test.want {
			t.Errorf("%s: %+v, want a baseline of %d", name, got, test.want)
		}
	}
	for _, name := range []string{"t1.micro", "m5.large", "trn1.2xlarge"} {
		if got := burstOf(name, 2000); got != nil {
			t.Errorf("%s is not burstable: %+v", name, got)
		}
	}
}

// TestGenerated: the same for the same seed, of all kinds, and partly on offer.
func TestGenerated(t *testing.T) {
	c := Generated(1, 1300)
	if !reflect.DeepEqual(c, Generated(1, 1300)) {
		t.Error("another catalogue for the same seed")
	}
	if reflect.DeepEqual(c, Generated(2, 1300)) {
		t.Error("the same catalogue for another seed")
	}
	kinds := map[string]int{}
	for i := range c.Types {
		k := &c.Types[i]
		count := func(kind string, is bool) {
			if is {
				kinds[kind]++
			}
		}
		count("burstable", k.Burst != nil)
		count("metal", k.BareMetal)
		count("arm64", k.Architectures == selection.ARM64)
		count("gpus", k.GPUs > 0)
		count("neurons", k.Neurons > 0)
		count("missing somewhere", len(c.ByType()[k.Name]) < 12)
	}
	for _, l := range c.Listings {
		if !strings.HasPrefix(l.Zone, "us-east-1") {
			t.Fatalf("%+v is in no zone", l)
		}
		if l.Market == selection.Spot {
			kinds["spot"]++
		}
	}
	if len(c.Types) != 1300 || len(kinds) != 7 {
		t.Errorf("%d types, of these kinds: %v", len(c.Types), kinds)
	}
}
