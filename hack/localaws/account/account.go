// Package account puts together what the emulated account has outside EC2:
// roles, the Parameter Store and access to image registries.
package account

import (
	"crypto/rand"

	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/ecr"
	"kip.elotl.co/hack/localaws/iam"
	"kip.elotl.co/hack/localaws/service"
	"kip.elotl.co/hack/localaws/ssm"
)

// Account is what an account has outside EC2.
type Account struct {
	Roles      *iam.Store
	Parameters *ssm.Store
	// Registry's password may be changed before Services is called.
	Registry ecr.Config
}

// Open reads the account's state from dir, or begins with the roles and the
// public parameters that go with the catalog.
func Open(c *catalog.Catalog, dir string, now clock.PassiveClock) (Account, error) {
	roles, err := iam.Open(iam.Config{Account: c.Account, Profiles: c.Profiles, Dir: dir, Clock: now})
	if err != nil {
		return Account{}, err
	}
	parameters, err := ssm.Open(ssm.Config{Region: c.Region, Account: c.Account, Public: c.PublicParameters(), Dir: dir, Clock: now})
	registry := ecr.Config{Region: c.Region, Account: c.Account, Password: rand.Text(), Clock: now}
	return Account{roles, parameters, registry}, err
}

// Services are those that the emulator's endpoint has besides EC2.
func (a Account) Services() []service.Service {
	return []service.Service{a.Parameters.Service(), a.Registry.Service(), service.IAM(a.Roles), service.STS()}
}
