// Package account puts together what the emulated account has outside EC2:
// roles and the Parameter Store.
package account

import (
	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/iam"
	"kip.elotl.co/hack/localaws/service"
	"kip.elotl.co/hack/localaws/ssm"
)

// Account is what an account has outside EC2.
type Account struct {
	Roles      *iam.Store
	Parameters *ssm.Store
}

// Open reads the account's state from dir, or begins with the roles and the
// public parameters that go with the catalog.
func Open(c *catalog.Catalog, dir string, now clock.PassiveClock) (Account, error) {
	roles, err := iam.Open(iam.Config{Account: c.Account, Profiles: c.Profiles, Dir: dir, Clock: now})
	if err != nil {
		return Account{}, err
	}
	parameters, err := ssm.Open(ssm.Config{Region: c.Region, Account: c.Account, Public: c.PublicParameters(), Dir: dir, Clock: now})
	return Account{roles, parameters}, err
}

// Services are those that the emulator's endpoint has besides EC2.
func (a Account) Services() []service.Service {
	return []service.Service{a.Parameters.Service(), service.IAM(a.Roles), service.STS()}
}
