package aws

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/internal/cloud"
)

func TestTerminate(t *testing.T) {
	e := newEmulator(t)
	id := e.launch(t, "token").ID
	if err := e.Terminate(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	gone := e.waitFor(t, id, cloud.StateTerminated)
	if gone.PrivateIP.IsValid() || gone.PodIP.IsValid() || gone.StateReason == "" {
		t.Errorf("terminated: %+v", gone)
	}
	if err := e.Terminate(t.Context(), id); err != nil {
		t.Errorf("again: %v", err)
	}
	wantKind(t, e.Terminate(t.Context(), "i-0123456789abcdef0"), cloud.KindNotFound, "i-0123456789abcdef0")
}

func TestManyTerminationsAreFewCalls(t *testing.T) {
	e := newEmulator(t)
	ids := e.launchMany(t, 100)
	unknown := []string{"i-0123456789abcdef0", "i-0123456789abcdef1"}
	all := slices.Concat(ids[:50], unknown, ids[50:])
	parallel(len(all), func(i int) {
		err := e.Terminate(t.Context(), all[i])
		if !slices.Contains(unknown, all[i]) {
			if err != nil {
				t.Errorf("%s: %v", all[i], err)
			}
			return
		}
		wantKind(t, err, cloud.KindNotFound)
		var refusal *cloud.Error
		if errors.As(err, &refusal) && refusal.Subject != all[i] {
			t.Errorf("%s: the error is about %s", all[i], refusal.Subject)
		}
	})
	if calls := len(e.calls("TerminateInstances")); calls > 6 {
		t.Errorf("%d calls for 102 instances", calls)
	}
	for _, i := range e.world.All() {
		if i.State.Live() {
			t.Errorf("%s is %s", i.ID, i.State.Name)
		}
	}
}

func TestTerminateSurvivesAProtectedInstance(t *testing.T) {
	e := newEmulator(t)
	ids := e.launchMany(t, 5)
	in := runInput(request("protected"))
	protect := true
	in.DisableApiTermination = &protect
	out, err := e.ec2.RunInstances(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	ids = append(ids, *out.Instances[0].InstanceId)
	parallel(len(ids), func(i int) {
		err := e.Terminate(t.Context(), ids[i])
		if i < 5 && err != nil {
			t.Errorf("%s: %v", ids[i], err)
		}
		if i == 5 {
			wantKind(t, err, cloud.KindInvalid, "OperationNotPermitted")
		}
	})
}

func TestBlame(t *testing.T) {
	refusal := func(kind cloud.Kind, message string) error { return &cloud.Error{Kind: kind, Message: message} }
	ids := []string{"i-1", "i-2", "i-3", "i-11"}
	for name, c := range map[string]struct {
		err  error
		ids  []string
		rest [][]string
	}{
		"success":              {nil, ids, nil},
		"alone":                {refusal(cloud.KindNotFound, "The instance ID 'i-1' does not exist"), ids[:1], nil},
		"one named":            {refusal(cloud.KindNotFound, "The instance ID 'i-1' does not exist"), ids, [][]string{{"i-2", "i-3", "i-11"}}},
		"two named":            {refusal(cloud.KindNotFound, "The instance IDs 'i-3, i-11' do not exist"), ids, [][]string{{"i-1", "i-2"}}},
		"all named":            {refusal(cloud.KindNotFound, "The instance IDs 'i-1, i-2, i-3, i-11' do not exist"), ids, nil},
		"none named":           {refusal(cloud.KindNotFound, "Something does not exist"), ids, [][]string{{"i-1", "i-2"}, {"i-3", "i-11"}}},
		"named by its ARN":     {refusal(cloud.KindUnauthorized, "not authorized to perform: ec2:TerminateInstances on resource: arn:aws:ec2:us-east-1:1:instance/i-2 because"), ids, [][]string{{"i-1", "i-3", "i-11"}}},
		"may do nothing":       {refusal(cloud.KindUnauthorized, "You are not authorized to perform this operation."), ids, nil},
		"throttled":            {refusal(cloud.KindThrottled, "Request limit exceeded."), ids, nil},
		"not from EC2 at all":  {errors.New("no"), ids, nil},
		"transient, none says": {refusal(cloud.KindTransient, "An internal error"), ids, nil},
	} {
		guilty, rest := blame(c.err, c.ids)
		if diff := cmp.Diff(c.rest, rest); diff != "" {
			t.Errorf("%s: to ask again (-want +got):\n%s", name, diff)
		}
		if err := guilty("i-1"); (err == nil) != (c.err == nil) {
			t.Errorf("%s: the guilty get %v", name, err)
		}
	}
}

func TestTag(t *testing.T) {
	e := newEmulator(t)
	id := e.launch(t, "token").ID
	if err := e.Tag(t.Context(), id, map[string]string{"pod": "web", "a": "one more"}); err != nil {
		t.Fatal(err)
	}
	tagged, err := e.Instance(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"Name": "a cell", "kip.elotl.co/cluster": "c1", "b": "2", "a": "one more", "pod": "web"}
	if diff := cmp.Diff(want, tagged.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	wantKind(t, e.Tag(t.Context(), "i-0123456789abcdef0", map[string]string{"a": "1"}), cloud.KindNotFound, "i-0123456789abcdef0")
	for _, bad := range []string{"", "i-*", "web", "i-1,i-2"} {
		wantKind(t, e.Tag(t.Context(), bad, map[string]string{"a": "1"}), cloud.KindInvalid)
	}
	wantKind(t, e.Tag(t.Context(), id, nil), cloud.KindInvalid, "no tags")
}

// Equal tags share a call; one that fails does not fail the others.
func TestManyTaggingsAreFewCalls(t *testing.T) {
	e := newEmulator(t)
	ids := e.launchMany(t, 60)
	const unknown = "i-0123456789abcdef0"
	all := slices.Concat(ids[:20], []string{unknown}, ids[20:])
	before := len(e.calls("CreateTags"))
	value := func(i int) string { return []string{"even", "odd"}[i%2] }
	parallel(len(all), func(i int) {
		err := e.Tag(t.Context(), all[i], map[string]string{"kind": value(i)})
		if all[i] == unknown {
			wantKind(t, err, cloud.KindNotFound, unknown)
		} else if err != nil {
			t.Errorf("%s: %v", all[i], err)
		}
	})
	if calls := len(e.calls("CreateTags")) - before; calls > 6 {
		t.Errorf("%d calls for 61 taggings with two sets of tags", calls)
	}
	for i, id := range all {
		if instance, err := e.Instance(t.Context(), id); id != unknown && (err != nil || instance.Tags["kind"] != value(i)) {
			t.Errorf("%s: %v, %v", id, instance.Tags, err)
		}
	}
}
