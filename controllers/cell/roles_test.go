package cell

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/test/fixture"
)

// anotherRole deletes the role behind a profile and makes one of its name.
func (b *bench) anotherRole(profile string) (id string) {
	b.Helper()
	roles := b.cloud.Account.Roles
	role, ok := roles.RoleOf(profile)
	if !ok {
		b.Fatalf("%s has no role", profile)
	}
	for policy := range role.Policies {
		if err := roles.DeleteRolePolicy(role.Name, policy); err != nil {
			b.Fatal(err)
		}
	}
	b.without(profile)
	if err := roles.DeleteRole(role.Name); err != nil {
		b.Fatal(err)
	}
	made, err := roles.CreateRole(role.Name, role.Path, role.Trust)
	if err != nil {
		b.Fatal(err)
	}
	if err := roles.AddRole(profile, role.Name); err != nil {
		b.Fatal(err)
	}
	return made.ID
}

// without takes the role from a profile.
func (b *bench) without(profile string) {
	b.Helper()
	role, _ := b.cloud.Account.Roles.RoleOf(profile)
	if err := b.cloud.Account.Roles.RemoveRole(profile, role.Name); err != nil {
		b.Fatal(err)
	}
}

// TestRoleMadeAnew: the parameters of a cell that cannot read them are stored
// for the role that the profile has now, and the cause is told; the next cell
// has the right ones at once.
func TestRoleMadeAnew(t *testing.T) {
	b := newBench(t, silent).start()
	b.readyClass(storing)
	role := b.anotherRole("web")
	cell := b.cell()
	is := b.booting(cell)
	if p := b.waitForParameters(1)[0]; strings.Contains(p.Tags["AWSUserID"], role) {
		t.Fatalf("the class knows of role %s already", role)
	}
	b.clock.Advance(slowBoot + storeAgain)
	b.poke(cell)
	fixture.Eventually(t, "the parameter is for the role that there is", func(context.Context) error {
		if stored := b.stored(); len(stored) != 1 || stored[0].Tags["AWSUserID"] != role+":"+is.Status.InstanceID {
			return fmt.Errorf("stored are %+v", stored)
		}
		return nil
	})
	is = b.unready(cell, v1beta1.ReasonAgentSilent, `instance profile "web" has another role`, role, "/var/log/itzo/itzo.log")
	b.wait(is, "the attempt is of the new role", func(is *v1beta1.Cell) error {
		if got := is.Status.Attempts[0].ParameterRole; got != role {
			return fmt.Errorf("it is of role %s, not of %s", got, role)
		}
		return nil
	})
	b.event(cell, v1beta1.ReasonRoleChanged)
	next := b.booting(b.cell(suffixed("-2")))
	if got := next.Status.Attempts[0].ParameterRole; got != role {
		t.Errorf("the next cell's parameters are for role %s, not for %s", got, role)
	}
}

// TestRoleTakenAway: of a cell that waits for what nobody can read any more the
// cause is named.
func TestRoleTakenAway(t *testing.T) {
	b := newBench(t, silent).start()
	b.readyClass(storing)
	cell := b.cell()
	b.booting(cell)
	b.waitForParameters(1)
	b.without("web")
	b.clock.Advance(slowBoot + storeAgain)
	b.poke(cell)
	b.unready(cell, v1beta1.ReasonProfileNotFound, "cannot read its parameters", `instance profile "web" has no role: add one to it`)
}

// TestWrongProfileWithStore: what the Cell names is named before anything is
// launched, in the words that a class without parameter store has for it.
func TestWrongProfileWithStore(t *testing.T) {
	for name, profile := range map[string]string{
		"unknown": "nobodys", "ARN": "arn:aws:iam::123456789012:instance-profile/nobodys", "elsewhere": "arn:aws:iam::999999999999:instance-profile/web",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).start()
			b.readyClass(storing)
			cell := b.cell(func(c *v1beta1.Cell) { c.Spec.InstanceProfile = profile })
			b.unready(cell, v1beta1.ReasonProfileNotFound, fmt.Sprintf("spec.instanceProfile: %q: no instance profile of this name or ARN", profile))
			b.event(cell, v1beta1.ReasonProfileNotFound)
			if n := len(b.cloud.Calls("RunInstances")); n != 0 {
				t.Errorf("%d launches", n)
			}
		})
	}
}

// TestProfileWithoutRole says so in the class's words, and goes on when it has one.
func TestProfileWithoutRole(t *testing.T) {
	for name, edit := range map[string][]func(*v1beta1.CellClassSpec){"user data": nil, "parameter store": {storing}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).start()
			if _, err := b.cloud.Account.Roles.CreateProfile("empty", "/"); err != nil {
				t.Fatal(err)
			}
			b.readyClass(edit...)
			cell := b.cell(func(c *v1beta1.Cell) { c.Spec.InstanceProfile = "empty" })
			is := b.unready(cell, v1beta1.ReasonProfileNotFound, `spec.instanceProfile: instance profile "empty" has no role: add one to it`)
			if text := readyCondition(is).Message; strings.Contains(text, "no instance profile") {
				t.Errorf("message %q", text)
			}
			role, _ := b.cloud.Account.Roles.RoleOf("web")
			if err := b.cloud.Account.Roles.AddRole("empty", role.Name); err != nil {
				t.Fatal(err)
			}
			b.clock.Advance(profileRetry)
			b.poke(cell)
			b.ready(cell)
		})
	}
}

// TestParametersTooLarge: a cell that could not be told its configuration is not
// launched.
func TestParametersTooLarge(t *testing.T) {
	b := newBench(t).start()
	b.readyClass(storing, func(s *v1beta1.CellClassSpec) {
		s.CellConfig = map[string]v1beta1.CellConfigValue{}
		for i := range 10 { // leaves room for all but the certificates
			s.CellConfig[fmt.Sprintf("key%d", i)] = v1beta1.CellConfigValue(strings.Repeat("x", 4000))
		}
	})
	cell := b.cell()
	b.unready(cell, v1beta1.ReasonParametersTooLarge, fmt.Sprintf("CellClass %q: spec.cellConfig: ", b.name), "the limit is 40960")
	if n := len(b.cloud.Calls("RunInstances")); n != 0 {
		t.Errorf("%d launches", n)
	}
	class := &v1beta1.CellClass{}
	if err := b.Get(t.Context(), client.ObjectKey{Name: b.name}, class); err != nil {
		t.Fatal(err)
	}
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.CellConfig = nil })
	b.ready(cell)
}

// TestSlowCellIsLeftAlone: what is there as it was written is not written again,
// and looked at less and less often.
func TestSlowCellIsLeftAlone(t *testing.T) {
	b := newBench(t, silent).start()
	b.readyClass(storing, bootWithin(0))
	cell := b.cell()
	b.booting(cell)
	b.waitForParameters(1)
	looks := len(b.cloud.Calls("GetParametersByPath"))
	for range 12 {
		b.clock.Advance(storeAgain)
		b.pokeAndWait(cell)
	}
	looks = len(b.cloud.Calls("GetParametersByPath")) - looks
	if puts := len(b.cloud.Calls("PutParameter")); puts != 1 || looks < 4 || looks > 8 {
		t.Errorf("%d writes, %d looks within 12 minutes", puts, looks)
	}
}

// TestFailingStoreIsAskedLess: what does not work is not tried as often for ever.
func TestFailingStoreIsAskedLess(t *testing.T) {
	b := newBench(t, silent).start()
	b.readyClass(storing)
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "PutParameter", Code: "AccessDeniedException"}}})
	cell := b.cell()
	b.unready(cell, v1beta1.ReasonNotAuthorized, "ssm:PutParameter")
	for range 15 {
		b.clock.Advance(2 * storeRetry)
		b.pokeAndWait(cell)
	}
	if puts := len(b.cloud.Calls("PutParameter")); puts < 4 || puts > 11 {
		t.Errorf("%d writes within five minutes", puts)
	}
}
