package v1beta1_test

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

func offering(key, operator string, values ...any) object {
	return object{"requirements": []any{object{"key": key, "operator": operator, "values": values}}}
}

const (
	zoneKey   = "topology.kubernetes.io/zone"
	onlyOneID = "sg-01234567"
)

// TestCellWishes tries what a pod can ask of its cell.
func TestCellWishes(t *testing.T) {
	c := apiServer.Client(t)
	profile := func(n int) string { return "arn:aws:iam::123456789012:instance-profile/" + strings.Repeat("p", n) }
	for _, f := range []field{
		{"launchType", "On-demand", ""},
		{"launchType", "Spot", ""},
		{"launchType", "Spot-preferred", ""},
		{"launchType", "spot", "spec.launchType"},
		{"launchType", "", "spec.launchType"},

		{"zone", "us-west-2-lax-1a", ""},
		{"zone", "US", "spec.zone"},

		{"offeringTerms", []any{offering(zoneKey, "In", "a", "b")}, ""},
		{"offeringTerms", []any{offering("node.kubernetes.io/instance-type", "NotIn", "m5.large"), offering("kubernetes.io/arch", "In", "arm64")}, ""},
		{"offeringTerms", []any{offering("team", "In", "red")}, "spec.offeringTerms[0].requirements[0].key"},
		{"offeringTerms", []any{offering(zoneKey, "Exists", "a")}, "spec.offeringTerms[0].requirements[0].operator"},
		{"offeringTerms", []any{offering(zoneKey, "In")}, "spec.offeringTerms[0].requirements[0].values"},
		{"offeringTerms", []any{offering(zoneKey, "In", "a", "a")}, "Duplicate"},
		{"offeringTerms", []any{offering(zoneKey, "In", list(64, "z%d")...)}, ""},
		{"offeringTerms", []any{offering(zoneKey, "In", list(65, "z%d")...)}, "64"},
		{"offeringTerms", []any{offering(zoneKey, "In", strings.Repeat("z", 65))}, "64"},
		{"offeringTerms", []any{object{"requirements": []any{}}}, "spec.offeringTerms[0].requirements"},
		{"offeringTerms", []any{object{}}, "spec.offeringTerms[0].requirements"},
		{"offeringTerms", []any{offering(zoneKey, "In", "a"), offering(zoneKey, "In", "a")}, ""},

		{"securityGroups", []any{onlyOneID, "sg-0123456789abcdef0"}, ""},
		{"securityGroups", []any{"default"}, "spec.securityGroups[0]"},
		{"securityGroups", []any{onlyOneID, onlyOneID}, "Duplicate"},
		{"securityGroups", list(5, "sg-%08x"), ""},
		{"securityGroups", list(6, "sg-%08x"), "spec.securityGroups"},

		{"instanceProfile", "web", ""},
		{"instanceProfile", profile(10), ""},
		{"instanceProfile", "", "spec.instanceProfile"},
		{"instanceProfile", "two words", "spec.instanceProfile"},
		{"instanceProfile", "arn:aws:iam::123456789012:role/web", "spec.instanceProfile"},
		{"instanceProfile", strings.Repeat("p", 129), "spec.instanceProfile"},
		{"instanceProfile", profile(2048), "2048"},

		{"privateIPOnly", true, ""},
		{"privateIPOnly", false, ""},
		{"privateIPOnly", "true", "spec.privateIPOnly"},
		{"imageOverlayRootfs", false, ""},
		{"imageOverlayRootfs", "no", "spec.imageOverlayRootfs"},

		{"routes", []any{"10.20.0.0/16", "fd00:1::/64", "0.0.0.0/0"}, ""},
		{"routes", []any{"10.20.0.1/16"}, "must be a CIDR whose host bits are zero"},
		{"routes", []any{"10.20.0.0"}, "must be a CIDR"},
		{"routes", []any{"internet"}, "spec.routes[0]"},
		{"routes", []any{"10.20.0.0/16", "10.20.0.0/16"}, "Duplicate"},
		{"routes", list(16, "10.%d.0.0/16"), ""},
		{"routes", list(17, "10.%d.0.0/16"), "spec.routes"},

		{"healthyTimeoutSeconds", int64(0), ""},
		{"healthyTimeoutSeconds", int64(1<<31 - 1), ""},
		{"healthyTimeoutSeconds", int64(-1), "spec.healthyTimeoutSeconds"},
		{"healthyTimeoutSeconds", int64(1 << 31), "spec.healthyTimeoutSeconds"},
		{"healthyTimeoutSeconds", "90s", "spec.healthyTimeoutSeconds"},
	} {
		t.Run(f.name(), func(t *testing.T) { check(t, c, manifest("Cell", "wishes", set(cellSpec(), f.path, f.value)), f.want) })
	}
}

// TestWishesAreImmutable changes, adds and takes away each of them.
func TestWishesAreImmutable(t *testing.T) {
	c := apiServer.Client(t)
	for i, wish := range []struct {
		field               string
		value, other, alike any
	}{
		{"launchType", "Spot", "On-demand", "Spot"},
		{"offeringTerms", []any{offering(zoneKey, "In", "a")}, []any{offering(zoneKey, "In", "b")}, []any{offering(zoneKey, "In", "a")}},
		{"securityGroups", []any{onlyOneID}, []any{onlyOneID, "sg-76543210"}, []any{onlyOneID}},
		{"instanceProfile", "web", "shop", "web"},
		{"privateIPOnly", true, false, true},
		{"imageOverlayRootfs", false, true, false},
		{"routes", []any{"10.20.0.0/16"}, []any{"10.30.0.0/16"}, []any{"10.20.0.0/16"}},
		{"healthyTimeoutSeconds", int64(0), int64(1), int64(0)},
		{"resources", object{"cpu": "2"}, object{"cpu": "3"}, object{"cpu": "2000m"}},
		{"resources", object{"cpu": "2"}, object{"cpu": "2", "memory": "1Gi"}, object{"cpu": int64(2)}},
		{"resources", object{"cpu": "2", "memory": "1Gi"}, object{"cpu": "2"}, object{"memory": "1024Mi", "cpu": "2"}},
		{"resources", object{"nvidia.com/gpu": "1"}, object{"aws.amazon.com/neuron": "1"}, object{"nvidia.com/gpu": int64(1)}},
	} {
		with := set(cellSpec(), wish.field, wish.value)
		refusal := fmt.Sprintf("spec.%s cannot be changed", wish.field)
		for change, test := range map[string]struct {
			before object
			after  any
			want   string
		}{
			"changed": {with, wish.other, refusal}, "taken away": {with, nil, refusal}, "added": {cellSpec(), wish.value, refusal}, "alike": {with, wish.alike, ""},
		} {
			t.Run(fmt.Sprintf("%d %s %s", i, wish.field, change), func(t *testing.T) {
				name := fmt.Sprintf("wish-%d-%s", i, strings.ReplaceAll(change, " ", "-"))
				o := create(t, c, manifest("Cell", name, test.before).DeepCopy())
				o.Object["spec"] = set(o.Object["spec"].(object), wish.field, test.after)
				checkAnswer(t, c.Update(t.Context(), o, client.DryRunAll), test.want)
			})
		}
	}
}
