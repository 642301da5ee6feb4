package main

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/account"
	"kip.elotl.co/hack/localaws/catalog"
)

// openAccount opens what the account has outside EC2, and gives the roles that
// the flags name their policies.
func (o *options) openAccount(c *catalog.Catalog) (account.Account, error) {
	opened, err := account.Open(c, o.stateDir, clock.RealClock{})
	if err != nil {
		return opened, err
	}
	if o.registryPassword != "" {
		opened.Registry.Password = o.registryPassword
	}
	for _, name := range slices.Sorted(maps.Keys(o.roles)) {
		document, err := os.ReadFile(o.roles[name])
		if err != nil {
			return opened, fmt.Errorf("--role %s: %w", name, err)
		}
		if err := opened.Roles.Configure(name, string(document)); err != nil {
			return opened, fmt.Errorf("--role %s: %s: %w", name, o.roles[name], err)
		}
	}
	return opened, nil
}
