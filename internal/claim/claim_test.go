package claim_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellspec"
	"kip.elotl.co/internal/claim"
	"kip.elotl.co/internal/selection"
)

const gib = 1 << 30

func index() *selection.Index {
	boots := selection.BootSupport{HVM: true, LegacyBIOS: true, UEFI: true}
	kind := func(name string, cpu, memory int64, arch selection.Architectures) selection.Type {
		return selection.Type{Name: name, MilliCPU: cpu, Memory: memory, Architectures: arch, IPv4PerInterface: 10, Supports: boots}
	}
	burst := kind("t3.medium", 2000, 4*gib, selection.AMD64)
	burst.Burst = &selection.Burst{BaselineMilliCPU: 400, SurplusPerVCPUHour: 0.05}
	all := []selection.Type{burst, kind("m5.large", 2000, 8*gib, selection.AMD64), kind("m6g.large", 2000, 8*gib, selection.ARM64)}
	var listings []selection.Listing
	for _, t := range all {
		for _, zone := range []string{"a", "b"} {
			for _, market := range []selection.Market{selection.OnDemand, selection.Spot} {
				listings = append(listings, selection.Listing{Type: t.Name, Zone: zone, Market: market, Price: selection.Price{PerHour: 0.1, Source: selection.SourceTable}})
			}
		}
	}
	return selection.NewIndex(all, listings)
}

func newClass() *v1beta1.CellClass {
	ten := resource.MustParse("10Gi")
	class := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: "default", Generation: 1}}
	class.Spec.DefaultInstanceType, class.Spec.DefaultLaunchType, class.Spec.DefaultVolumeSize = "t3.medium", v1beta1.LaunchOnDemand, &ten
	class.Spec.MaxPricePerHour = "0.01" // of what is launched
	class.Spec.AWS.Subnets = []string{"subnet-a", "subnet-b"}
	class.Status = v1beta1.CellClassStatus{
		Architecture: "amd64", SecurityGroups: []string{"sg-1"},
		Images: []v1beta1.ResolvedImage{
			{ID: "ami-1", Architecture: "amd64", Accelerator: v1beta1.AcceleratorNone}, {ID: "ami-2", Architecture: "arm64", Accelerator: v1beta1.AcceleratorNone},
		},
		Subnets: []v1beta1.ResolvedSubnet{{ID: "subnet-a", Zone: "a", Public: true}, {ID: "subnet-b", Zone: "b"}},
	}
	meta.SetStatusCondition(&class.Status.Conditions, metav1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", ObservedGeneration: 1})
	return class
}

// newCell is a standby cell that is Ready: an m5.large, on demand, in zone a.
func newCell(name string, edit ...func(*v1beta1.Cell)) v1beta1.Cell {
	cell := v1beta1.Cell{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{v1beta1.LabelStandby: "true"}},
		Spec:       v1beta1.CellSpec{CellClassName: "default", InstanceType: "m5.large"},
		Status: v1beta1.CellStatus{
			InstanceID: "i-1", InstanceType: "m5.large", Zone: "a", LaunchType: v1beta1.LaunchOnDemand, PricePerHour: "0.1",
			Attempts: []v1beta1.LaunchAttempt{{Number: 1, ImageID: "ami-1", SubnetID: "subnet-a"}},
		},
	}
	meta.SetStatusCondition(&cell.Status.Conditions, metav1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionTrue, Reason: "AgentAnswers"})
	for _, e := range edit {
		e(&cell)
	}
	shape := cellspec.Shape(&cell.Spec, newClass(), "")
	for i := range cell.Status.Attempts {
		cell.Status.Attempts[i].Shape = shape
	}
	return cell
}

func fitting(t *testing.T, class *v1beta1.CellClass, wanted v1beta1.CellSpec, owner string, cells ...v1beta1.Cell) []string {
	t.Helper()
	wanted.CellClassName = "default"
	m := claim.Matcher{Index: func(string) *selection.Index { return index() }, Region: "us-east-1"}
	found, err := m.Fitting(context.Background(), cells, &wanted, class, owner)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range found {
		names = append(names, found[i].Name)
	}
	return names
}

func resources(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse(memory)}
}

func in(key string, values ...string) []v1beta1.OfferingTerm {
	return []v1beta1.OfferingTerm{{Requirements: []v1beta1.OfferingRequirement{{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values}}}}
}

// What a pod asks for, and whether a standby cell does: an m5.large on demand in
// a public subnet of zone a, with a volume of 10 GiB.
func TestWishes(t *testing.T) {
	yes, no, ten, eleven, patience := true, false, resource.MustParse("10Gi"), resource.MustParse("11Gi"), int32(60)
	for name, test := range map[string]struct {
		wanted v1beta1.CellSpec
		want   bool
	}{
		"nothing":                   {v1beta1.CellSpec{}, true},
		"less":                      {v1beta1.CellSpec{Resources: resources("1", "1Gi")}, true},
		"just that":                 {v1beta1.CellSpec{Resources: resources("2", "8Gi")}, true},
		"more CPU":                  {v1beta1.CellSpec{Resources: resources("2.1", "1Gi")}, false},
		"more memory":               {v1beta1.CellSpec{Resources: resources("1", "9Gi")}, false},
		"a GPU":                     {v1beta1.CellSpec{Resources: corev1.ResourceList{v1beta1.ResourceGPU: resource.MustParse("1")}}, false},
		"its type":                  {v1beta1.CellSpec{InstanceType: "m5.large"}, true},
		"its type, and more":        {v1beta1.CellSpec{InstanceType: "m5.large", Resources: resources("64", "1Gi")}, true},
		"a pattern":                 {v1beta1.CellSpec{InstanceType: "m5*"}, true},
		"another type":              {v1beta1.CellSpec{InstanceType: "t3.medium"}, false},
		"another pattern":           {v1beta1.CellSpec{InstanceType: "c5*"}, false},
		"its market":                {v1beta1.CellSpec{LaunchType: v1beta1.LaunchOnDemand}, true},
		"Spot":                      {v1beta1.CellSpec{LaunchType: v1beta1.LaunchSpot}, false},
		"Spot, if possible":         {v1beta1.CellSpec{LaunchType: v1beta1.LaunchSpotPreferred}, true},
		"its zone":                  {v1beta1.CellSpec{Zone: "a"}, true},
		"another zone":              {v1beta1.CellSpec{Zone: "b"}, false},
		"its zone by affinity":      {v1beta1.CellSpec{OfferingTerms: in(corev1.LabelTopologyZone, "a", "c")}, true},
		"another by affinity":       {v1beta1.CellSpec{OfferingTerms: in(corev1.LabelTopologyZone, "b")}, false},
		"its architecture":          {v1beta1.CellSpec{OfferingTerms: in(corev1.LabelArchStable, "amd64")}, true},
		"another architecture":      {v1beta1.CellSpec{OfferingTerms: in(corev1.LabelArchStable, "arm64")}, false},
		"its size":                  {v1beta1.CellSpec{VolumeSize: &ten}, true},
		"a larger volume":           {v1beta1.CellSpec{VolumeSize: &eleven}, false},
		"ephemeral storage":         {v1beta1.CellSpec{Resources: corev1.ResourceList{corev1.ResourceEphemeralStorage: ten}}, false},
		"a public address":          {v1beta1.CellSpec{PrivateIPOnly: &no}, true},
		"no public address":         {v1beta1.CellSpec{PrivateIPOnly: &yes}, false},
		"a group that it is in":     {v1beta1.CellSpec{SecurityGroups: []string{"sg-1"}}, true},
		"another group":             {v1beta1.CellSpec{SecurityGroups: []string{"sg-2"}}, false},
		"a profile":                 {v1beta1.CellSpec{InstanceProfile: "web"}, false},
		"routes":                    {v1beta1.CellSpec{Routes: []string{"10.0.0.0/8"}}, false},
		"patience":                  {v1beta1.CellSpec{HealthyTimeoutSeconds: &patience}, false},
		"overlays, as all do":       {v1beta1.CellSpec{ImageOverlayRootfs: &yes}, true},
		"copies instead of overlay": {v1beta1.CellSpec{ImageOverlayRootfs: &no}, false},
	} {
		if got := len(fitting(t, newClass(), test.wanted, "", newCell("one"))) == 1; got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Cells that are not to be had, whatever they are.
func TestWhoMayBeClaimed(t *testing.T) {
	now := metav1.Now()
	reserved := func(cell *v1beta1.Cell) { cell.Spec.ReservedFor = &v1beta1.CellReservation{OwnerUID: "owner"} }
	booting := func(cell *v1beta1.Cell) { cell.Status = v1beta1.CellStatus{} }
	users := func(cell *v1beta1.Cell) { cell.Labels = nil }
	for name, test := range map[string]struct {
		edit func(*v1beta1.Cell)
		want bool
	}{
		"a standby cell":   {func(*v1beta1.Cell) {}, true},
		"of another class": {func(cell *v1beta1.Cell) { cell.Spec.CellClassName = "other" }, false},
		"with a pod":       {func(cell *v1beta1.Cell) { cell.Spec.PodRef = &v1beta1.PodReference{} }, false},
		"that ends":        {func(cell *v1beta1.Cell) { cell.DeletionTimestamp = &now }, false},
		"that boots":       {booting, false},
		"a user's":         {users, false},
		"reserved":         {reserved, false},
		"of an old image":  {func(cell *v1beta1.Cell) { cell.Status.Attempts[0].ImageID = "ami-0" }, false},
	} {
		if got := len(fitting(t, newClass(), v1beta1.CellSpec{}, "", newCell("one", test.edit))) == 1; got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	class := newClass()
	class.Spec.ClaimUserCells = true
	if got := fitting(t, class, v1beta1.CellSpec{}, "", newCell("one", users)); len(got) != 1 {
		t.Error("a user's cell is not to be had although the class allows it")
	}
	if got := fitting(t, newClass(), v1beta1.CellSpec{}, "owner", newCell("one", reserved)); len(got) != 1 {
		t.Error("a cell that is reserved for the pod's controller is not to be had")
	}
	same := func(cell *v1beta1.Cell) { reserved(cell); booting(cell) }
	if got := fitting(t, newClass(), v1beta1.CellSpec{InstanceType: "m5.large"}, "owner", newCell("one", same)); len(got) != 1 {
		t.Error("a cell that boots for just this pod is not to be had")
	}
	if got := fitting(t, newClass(), v1beta1.CellSpec{InstanceType: "m5*"}, "owner", newCell("one", same)); len(got) != 0 {
		t.Error("a cell that boots for another pod is to be had")
	}
}

// A cell that its class would make otherwise is nobody's, before it says so itself.
func TestDriftedIsNotClaimed(t *testing.T) {
	class := newClass()
	class.Spec.CloudInit = "#cloud-config\n"
	if got := fitting(t, class, v1beta1.CellSpec{}, "", newCell("one")); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

// A burstable cell has the credits that it was launched with.
func TestCredits(t *testing.T) {
	burstable := func(credits string) v1beta1.Cell {
		return newCell("one", func(cell *v1beta1.Cell) {
			cell.Spec.InstanceType, cell.Status.InstanceType, cell.Status.Attempts[0].CPUCredits = "t3.medium", "t3.medium", credits
		})
	}
	for cpu, want := range map[string]bool{"400m": true, "500m": false} {
		if got := len(fitting(t, newClass(), v1beta1.CellSpec{Resources: resources(cpu, "1Gi")}, "", burstable("standard"))) == 1; got != want {
			t.Errorf("%s of standard credits: %v", cpu, got)
		}
	}
	if got := fitting(t, newClass(), v1beta1.CellSpec{Resources: resources("500m", "1Gi")}, "", burstable("unlimited")); len(got) != 1 {
		t.Error("unlimited credits do not do")
	}
}

// Those that are reserved for the pod go first, then the cheapest.
func TestOrder(t *testing.T) {
	priced := func(name, perHour string) v1beta1.Cell {
		return newCell(name, func(cell *v1beta1.Cell) { cell.Status.PricePerHour = perHour })
	}
	reserved := newCell("reserved", func(cell *v1beta1.Cell) {
		cell.Status.PricePerHour, cell.Spec.ReservedFor = "9", &v1beta1.CellReservation{OwnerUID: "owner"}
	})
	got := fitting(t, newClass(), v1beta1.CellSpec{}, "owner", priced("dear", "0.30"), priced("unknown", ""), priced("b", "0.1"), priced("a", "0.10"), reserved)
	if diff := cmp.Diff([]string{"reserved", "a", "b", "dear", "unknown"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
