package main

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/iam"
	"kip.elotl.co/hack/localaws/service"
	"kip.elotl.co/hack/localaws/ssm"
)

// account is what the account has outside EC2.
type account struct {
	roles      *iam.Store
	parameters *ssm.Store
}

func (o *options) openAccount(c *catalog.Catalog) (account, error) {
	roles, err := o.openRoles(c)
	if err != nil {
		return account{}, err
	}
	parameters, err := ssm.Open(ssm.Config{
		Region: c.Region, Account: c.Account, Public: c.PublicParameters(), Dir: o.stateDir, Clock: clock.RealClock{},
	})
	return account{roles, parameters}, err
}

func (a account) services() []service.Service {
	return []service.Service{a.parameters.Service(), service.IAM(a.roles), service.STS()}
}

// openRoles opens the roles, and gives those that the flags name their
// policies.
func (o *options) openRoles(c *catalog.Catalog) (*iam.Store, error) {
	store, err := iam.Open(iam.Config{Account: c.Account, Profiles: c.Profiles, Dir: o.stateDir, Clock: clock.RealClock{}})
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(o.roles)) {
		document, err := os.ReadFile(o.roles[name])
		if err != nil {
			return nil, fmt.Errorf("--role %s: %w", name, err)
		}
		if err := store.Configure(name, string(document)); err != nil {
			return nil, fmt.Errorf("--role %s: %s: %w", name, o.roles[name], err)
		}
	}
	return store, nil
}
