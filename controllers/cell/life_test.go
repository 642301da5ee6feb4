package cell

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/firstboot/userdata"
	"kip.elotl.co/hack/localaws/world"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/launchmark"
	"kip.elotl.co/test/fixture"
)

// TestCellAlone applies a Cell that no pod asks for, and deletes it.
func TestCellAlone(t *testing.T) {
	b := newBench(t).start()
	b.class()
	size := resource.MustParse("6500Mi")
	cell := b.cell(func(c *v1beta1.Cell) { c.Spec.VolumeSize = &size })
	cell = b.ready(cell)
	b.wantOneLaunch(cell)
	instance := b.cloud.Instances(cell)[0]
	checkInstance(t, cell, instance)
	checkUserData(t, b, cell, instance)
	checkStatus(t, b, cell, instance)

	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(t, b, cell)
	if is := b.cloud.Instances(cell); len(is) != 1 || is[0].State != world.Terminated {
		t.Errorf("the Cell is gone, its instances are %+v", is)
	}
}

func checkInstance(t *testing.T, cell *v1beta1.Cell, instance *world.Instance) {
	t.Helper()
	want := map[string]string{
		v1beta1.TagCluster: clusterID, v1beta1.TagCell: string(cell.UID), v1beta1.TagClass: cell.Spec.CellClassName,
		v1beta1.TagName: cell.Name, "team": "red",
		launchmark.TagAttempt: "1", launchmark.TagStarted: fmt.Sprint(cell.Status.Attempts[0].StartTime.Unix()),
		tagAuthority: openAttempt(cell).Authority, tagShape: openAttempt(cell).Shape,
	}
	if want[tagShape] == "" {
		t.Error("the attempt has no shape")
	}
	for what, tags := range map[string]map[string]string{
		"instance": instance.Tags, "interface": instance.InterfaceTags, "volume": instance.Volumes[0].Tags,
	} {
		if diff := cmp.Diff(want, maps.Clone(tags)); diff != "" {
			t.Errorf("tags of the %s (-want +got):\n%s", what, diff)
		}
	}
	if m := instance.Metadata; m.Disabled || !m.TokensRequired || m.HopLimit != 1 {
		t.Errorf("metadata options %+v, want IMDSv2 with one hop", m)
	}
	if len(instance.PrivateIPs) != 2 {
		t.Errorf("addresses %v, want two", instance.PrivateIPs)
	}
	if instance.ImageID != newest || instance.InstanceType != "t3.nano" || instance.SubnetID != subnetA {
		t.Errorf("image %s, type %s, subnet %s", instance.ImageID, instance.InstanceType, instance.SubnetID)
	}
	if diff := cmp.Diff([]string{group}, instance.Groups); diff != "" {
		t.Errorf("security groups (-want +got):\n%s", diff)
	}
	if v := instance.Volumes; len(v) != 1 || v[0].SizeGiB != 7 || !v[0].DeleteOnTermination || instance.OnShutdown != "terminate" {
		t.Errorf("volumes %+v, on shutdown %s", v, instance.OnShutdown)
	}
}

// checkUserData looks for what the cell's agent is to be started with.
func checkUserData(t *testing.T, b *bench, cell *v1beta1.Cell, instance *world.Instance) {
	t.Helper()
	parsed, err := userdata.Parse(instance.UserData)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, file := range parsed.Files {
		files[file.Path] = string(file.Content)
	}
	certificate, key, err := b.ca.CellCertificate(cellagent.ID(cell, &cell.Status.Attempts[0]))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/tmp/itzo/ca.crt": string(b.ca.CertificatePEM()), "/tmp/itzo/server.crt": string(certificate), "/tmp/itzo/server.key": string(key),
		"/tmp/itzo/itzo_url": "http://agents.example/itzo", "/tmp/itzo/itzo_version": "v2",
	} {
		if files[path] != want {
			t.Errorf("%s is %q, want %q", path, files[path], want)
		}
	}
	if parsed.Hostname != "first" {
		t.Errorf("host name %q, want the class's", parsed.Hostname)
	}
}

func checkStatus(t *testing.T, b *bench, cell *v1beta1.Cell, instance *world.Instance) {
	t.Helper()
	status := cell.Status
	got := []string{
		status.InstanceID, status.InstanceType, status.IP, status.PodIP, status.Zone, status.ImageID,
		status.Node, status.ControllerID, string(status.LaunchType), string(status.Phase), status.Agent.Name,
	}
	want := []string{
		instance.ID, "t3.nano", instance.PrivateIPs[0].String(), instance.PrivateIPs[1].String(), "us-east-1a", newest,
		"kip-" + b.name, clusterID, "On-demand", "Ready", "kip",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	var phases []v1beta1.CellPhase
	for _, reached := range status.PhaseTimes {
		phases = append(phases, reached.Phase)
	}
	if diff := cmp.Diff([]v1beta1.CellPhase{"Pending", "Booting", "Ready"}, phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	if err := wantCondition(cell, v1beta1.ConditionLaunched, metav1.ConditionTrue, v1beta1.ReasonLaunched, instance.ID); err != nil {
		t.Error(err)
	}
}

func TestPodOfACell(t *testing.T) {
	b := newBench(t).start()
	b.class()
	cell := b.ready(b.cell(withPod))
	if cell.Status.PodName != "web" || cell.Status.PodNamespace != "default" {
		t.Errorf("the pod in status is %s/%s", cell.Status.PodNamespace, cell.Status.PodName)
	}
}

func TestDeletedBeforeAnythingIsLaunched(t *testing.T) {
	b := newBench(t).start()
	cell := b.cell()
	b.unready(cell, v1beta1.ReasonClassNotFound)
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	fixture.WaitGone(t, b, cell)
	if calls := b.cloud.Calls("RunInstances"); len(calls) > 0 {
		t.Errorf("launches %+v", calls)
	}
}

// TestWrongIdentity boots an agent with the certificate of another cell.
func TestWrongIdentity(t *testing.T) {
	b := newBench(t).start()
	b.class()
	other := b.ready(b.cell(func(c *v1beta1.Cell) { c.Name += "-other" }))
	stolen := b.cloud.Instances(other)[0].UserData
	b.backend.Tamper(func(spec *boot.Spec) { spec.UserData = stolen })
	cell := b.cell()
	b.unready(cell, v1beta1.ReasonWrongIdentity, "is not this cell", string(other.UID))
	b.event(cell, v1beta1.ReasonWrongIdentity)
	b.poke(cell)
	is := b.unready(cell, v1beta1.ReasonWrongIdentity)
	if is.Status.Phase != v1beta1.CellBooting || is.Status.Agent != nil {
		t.Errorf("phase %s, agent %+v", is.Status.Phase, is.Status.Agent)
	}
}

// TestAgentOfAnotherAuthority: what answers has a certificate of its own making.
func TestAgentOfAnotherAuthority(t *testing.T) {
	other := newBench(t).start()
	other.class()
	stolen := other.cloud.Instances(other.ready(other.cell()))[0].UserData
	t.Run("cell", func(t *testing.T) {
		b := newBench(t).start()
		b.backend.Tamper(func(spec *boot.Spec) { spec.UserData = stolen })
		b.class()
		b.unready(b.cell(), v1beta1.ReasonWrongIdentity)
	})
}

// event waits for an event about the cell.
func (b *bench) event(cell *v1beta1.Cell, reason string) {
	b.Helper()
	fixture.Eventually(b, "there is an event "+reason, func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := b.List(ctx, &events); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Regarding.UID == cell.UID && e.Reason == reason {
				return nil
			}
		}
		return errors.New("there is none")
	})
}

// TestNothingNewIsNotWritten: a look that finds all as it was leaves the Cell alone.
func TestNothingNewIsNotWritten(t *testing.T) {
	b := newBench(t).start()
	b.class()
	cell := b.ready(b.cell())
	b.clock.Advance(readyCheckEvery * 2)
	before := len(b.cloud.Calls("DescribeInstances"))
	b.poke(cell)
	fixture.Eventually(t, "the instance was looked at", func(context.Context) error {
		if len(b.cloud.Calls("DescribeInstances")) == before {
			return errors.New("not asked")
		}
		return nil
	})
	is := b.ready(cell)
	if was, is := meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionReady), meta.FindStatusCondition(is.Status.Conditions, v1beta1.ConditionReady); !was.LastTransitionTime.Equal(&is.LastTransitionTime) {
		t.Errorf("Ready since %s, was %s", is.LastTransitionTime, was.LastTransitionTime)
	}
}
