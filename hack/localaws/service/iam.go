package service

import (
	"context"

	"kip.elotl.co/hack/localaws/iam"
)

// IAM is the service of roles and instance profiles.
func IAM(store *iam.Store) Service {
	return Service{
		Name: "iam", Version: iam.Version, Namespace: iam.Namespace, Global: true,
		Handle: func(_ context.Context, r Request) (any, error) { return store.Handle(r.Caller, r.Action, r.Params) },
	}
}

// STS tells callers who they are.
func STS() Service {
	return Service{
		Name: "sts", Version: iam.STSVersion, Namespace: iam.STSNamespace, Global: true,
		Handle: func(_ context.Context, r Request) (any, error) { return iam.HandleSTS(r.Caller, r.Action, r.Params) },
	}
}
