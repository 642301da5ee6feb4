package cell

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/ssm"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/test/fixture"
)

// stored are the parameters that the account has.
func (b *bench) stored() []ssm.Parameter { return b.cloud.Account.Parameters.List() }

func (b *bench) waitForParameters(want int) []ssm.Parameter {
	b.Helper()
	fixture.Eventually(b, fmt.Sprintf("there are %d parameters", want), func(context.Context) error {
		if got := len(b.stored()); got != want {
			return fmt.Errorf("there are %d", got)
		}
		return nil
	})
	return b.stored()
}

func storing(s *v1beta1.CellClassSpec) {
	s.UseCloudParameterStore, s.DefaultIAMPermissions = true, "web"
}

// TestParameterStore: the cell's certificates go through the store and no other
// way, readable for its own instance, and are gone when its agent has answered.
func TestParameterStore(t *testing.T) {
	b := newBench(t).start()
	b.readyClass(storing, func(s *v1beta1.CellClassSpec) {
		s.CellConfig = map[string]v1beta1.CellConfigValue{"itzoFlag-v": "5"}
		s.AWS.ParameterStore = v1beta1.ParameterStoreSpec{KMSKeyID: "alias/cells", Endpoint: "https://ssm.example.com"}
	})
	is := b.ready(b.cell())
	b.waitForParameters(0)
	puts := b.cloud.Calls("PutParameter")
	if len(puts) != 1 {
		t.Fatalf("%d parameters were put", len(puts))
	}
	made := b.cloud.Instances(is)[0]
	user := string(made.UserData)
	for _, secret := range []string{"PRIVATE KEY", "BEGIN CERTIFICATE", "itzoFlag-v"} {
		if strings.Contains(user, secret) {
			t.Errorf("the user data holds %q", secret)
		}
	}
	if !strings.Contains(user, "ssm https://ssm.example.com") {
		t.Error("the user data does not say where the parameters are")
	}
	if made.Metadata.HopLimit != 1 {
		t.Errorf("the hop limit is %d", made.Metadata.HopLimit)
	}
}

// TestParametersOfABootingCell: what is stored, for whom, and again when
// somebody deletes it; gone with the Cell.
func TestParametersOfABootingCell(t *testing.T) {
	b := newBench(t, silent).start()
	b.readyClass(storing)
	cell := b.cell()
	is := b.booting(cell)
	p := b.waitForParameters(1)[0]
	if want := "/kip/cells/" + is.Status.InstanceID + "/config"; p.Name != want || p.Type != "SecureString" {
		t.Errorf("parameter %s of type %s, want %s", p.Name, p.Type, want)
	}
	for _, part := range []string{"server.key: |", "ca.crt: |", "server.crt: |", "itzo_version: "} {
		if !strings.Contains(p.Latest().Value, part) {
			t.Errorf("it lacks %q", part)
		}
	}
	class := &v1beta1.CellClass{}
	if err := b.Get(t.Context(), client.ObjectKey{Name: b.name}, class); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"AWSUserID": class.Status.InstanceProfile.RoleID + ":" + is.Status.InstanceID, "KipControllerID": clusterID, "KipNametag": b.name,
		v1beta1.TagCluster: clusterID, v1beta1.TagCell: string(is.UID),
	}
	for key, value := range want {
		if p.Tags[key] != value {
			t.Errorf("tag %s is %q, want %q", key, p.Tags[key], value)
		}
	}
	if err := b.cloud.DeleteSecrets(t.Context(), []string{p.Name}); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(storeAgain)
	b.poke(cell)
	b.waitForParameters(1)
	if err := b.cloud.PutSecret(t.Context(), cloud.Secret{Name: p.Name, Value: "somebody's", Tags: p.Tags}); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(slowBoot + storeAgain)
	b.poke(cell)
	fixture.Eventually(t, "the parameter is as it was", func(context.Context) error {
		if stored := b.stored(); len(stored) != 1 || !strings.Contains(stored[0].Latest().Value, "server.key") {
			return fmt.Errorf("there are %+v", stored)
		}
		return nil
	})
	b.stop()
	b.start() // whoever goes on finds the parameter there
	b.poke(cell)
	b.waitForParameters(1)
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	b.waitForParameters(0)
}

// TestStoreRefuses: the action that lacks is named, and the cell comes up once
// it is allowed.
func TestStoreRefuses(t *testing.T) {
	b := newBench(t).start()
	b.readyClass(storing)
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "PutParameter", Code: "AccessDeniedException"}}})
	cell := b.cell()
	b.unready(cell, v1beta1.ReasonNotAuthorized, "storing the cell's parameters", "ssm:PutParameter")
	b.pokeAndWait(cell) // the next look, which tries nothing, says the same
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(cell), cell); err != nil || readyReason(cell) != v1beta1.ReasonNotAuthorized {
		t.Errorf("then it is %s: %v", readyReason(cell), err)
	}
	b.cloud.Spoil(t, faults.Plan{})
	b.ready(cell)
	b.waitForParameters(0)
	if n := len(b.cloud.Calls("RunInstances")); n != 1 {
		t.Errorf("%d launches", n)
	}
}

// TestKilledBeforeTheParameters were put: whoever goes on puts them, for the
// instance that is there.
func TestKilledBeforeTheParameters(t *testing.T) {
	b := newBench(t).start()
	b.readyClass(storing)
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "PutParameter", Code: "InternalServerError"}}})
	cell := b.cell()
	fixture.Eventually(t, "the instance is launched, and nothing is stored", func(context.Context) error {
		if len(b.cloud.Calls("RunInstances")) == 0 || len(b.cloud.Calls("PutParameter")) == 0 {
			return fmt.Errorf("%d launches", len(b.cloud.Calls("RunInstances")))
		}
		return nil
	})
	b.stop()
	if n := len(b.stored()); n != 0 {
		t.Fatalf("%d parameters are stored", n)
	}
	b.cloud.Spoil(t, faults.Plan{})
	b.start()
	is := b.ready(cell)
	b.waitForParameters(0)
	if n := len(b.cloud.Instances(is)); n != 1 {
		t.Errorf("%d instances", n)
	}
}

// TestLostInstanceLeavesNoParameters behind: the next one has its own.
func TestLostInstanceLeavesNoParameters(t *testing.T) {
	b := newBench(t, silent).start()
	b.readyClass(storing)
	cell := b.cell()
	first := b.booting(cell).Status.InstanceID
	b.waitForParameters(1)
	b.cloud.Kill(t, first)
	b.clock.Advance(bootCheckEvery * 2)
	b.poke(cell)
	b.wait(cell, "another instance", func(is *v1beta1.Cell) error {
		if id := is.Status.InstanceID; id == "" || id == first {
			return fmt.Errorf("instance %q", id)
		}
		return nil
	})
	fixture.Eventually(t, "only the other's parameters are there", func(context.Context) error {
		if left := b.stored(); len(left) != 1 || strings.Contains(left[0].Name, first) {
			return fmt.Errorf("there are %d", len(left))
		}
		return nil
	})
}

// TestOwnAgent: a class without itzo.url gets the operator's, with its digests.
func TestOwnAgent(t *testing.T) {
	b := newBench(t)
	b.wrap = func(o *Options) {
		o.OwnAgent = AgentSource{URL: "http://192.0.2.1:8082", Version: "v9", SHA256: map[string]string{"itzo-amd64": strings.Repeat("ab", 32)}}
	}
	b.start()
	b.readyClass(func(s *v1beta1.CellClassSpec) { s.Itzo = v1beta1.ItzoSpec{} })
	made := b.cloud.Instances(b.ready(b.cell()))[0]
	for _, want := range []string{"http://192.0.2.1:8082", `"v9"`, strings.Repeat("ab", 32) + "  itzo-amd64"} {
		if !strings.Contains(string(made.UserData), want) {
			t.Errorf("the user data lacks %q", want)
		}
	}
}

// TestAnotherLayout: what a class now puts into more, or fewer, chunks leaves
// no old ones beside them.
func TestAnotherLayout(t *testing.T) {
	b := newBench(t, silent).start()
	b.readyClass(storing, bootWithin(0))
	cell := b.cell()
	b.booting(cell)
	b.waitForParameters(1)
	class := &v1beta1.CellClass{}
	for _, step := range []struct{ size, chunks int }{{8000, 3}, {4000, 2}, {0, 1}} {
		if err := b.Get(t.Context(), client.ObjectKey{Name: b.name}, class); err != nil {
			t.Fatal(err)
		}
		class.Spec.CellConfig = map[string]v1beta1.CellConfigValue{}
		for i := 0; i*2000 < step.size; i++ {
			class.Spec.CellConfig[fmt.Sprintf("key%d", i)] = v1beta1.CellConfigValue(strings.Repeat("x", 2000))
		}
		if err := b.Update(t.Context(), class); err != nil {
			t.Fatal(err)
		}
		fixture.Eventually(t, "the layout follows the class", func(context.Context) error {
			b.clock.Advance(storeAgain)
			b.poke(cell)
			if got := len(b.stored()); got != step.chunks {
				return fmt.Errorf("%d parameters, want %d", got, step.chunks)
			}
			return nil
		})
	}
	puts := len(b.cloud.Calls("PutParameter"))
	for range 3 {
		b.clock.Advance(storeAgain)
		b.pokeAndWait(cell)
	}
	if again := len(b.cloud.Calls("PutParameter")) - puts; again != 0 {
		t.Errorf("what is there was put %d times more", again)
	}
}

// TestRoleOfTheLaunch: a class that gets another profile meanwhile does not
// change whom the parameters of a booting cell are for.
func TestRoleOfTheLaunch(t *testing.T) {
	b := newBench(t).start()
	b.readyClass(storing)
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "PutParameter", Code: "AccessDeniedException"}}})
	cell := b.cell()
	is := b.unready(cell, v1beta1.ReasonNotAuthorized, "ssm:PutParameter")
	role := is.Status.Attempts[0].ParameterRole
	class := &v1beta1.CellClass{}
	if err := b.Get(t.Context(), client.ObjectKey{Name: b.name}, class); err != nil {
		t.Fatal(err)
	}
	class.Spec.DefaultIAMPermissions = "kip-profile"
	if err := b.Update(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	fixture.WaitFor(t, b, class, "the class has another role", func(is *v1beta1.CellClass) error {
		if p := is.Status.InstanceProfile; p == nil || p.RoleID == role {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
	b.cloud.Spoil(t, faults.Plan{})
	fixture.Eventually(t, "the parameters are for the role of the instance", func(context.Context) error {
		b.clock.Advance(storeRetry)
		b.poke(cell)
		for _, call := range b.cloud.Calls("PutParameter") {
			if call.Code == "" && strings.Contains(fmt.Sprint(call.Params), role+":"+is.Status.InstanceID) {
				return nil
			}
		}
		return fmt.Errorf("%d calls", len(b.cloud.Calls("PutParameter")))
	})
	b.ready(cell)
}

// TestStoreCannotBeEmptied: a ready cell stays supervised, the action that lacks
// is named, also when the Cell is deleted.
func TestStoreCannotBeEmptied(t *testing.T) {
	b := newBench(t).start()
	b.readyClass(storing)
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "DeleteParameters", Code: "AccessDeniedException"}}})
	cell := b.cell()
	b.ready(cell)
	b.event(cell, v1beta1.ReasonParametersLeft)
	if err := b.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	b.unready(cell, v1beta1.ReasonNotAuthorized, "stay in Parameter Store", "ssm:DeleteParameters")
	b.cloud.Spoil(t, faults.Plan{})
	b.poke(cell)
	b.waitForParameters(0)
}
