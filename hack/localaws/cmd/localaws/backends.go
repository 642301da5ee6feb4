package main

import (
	"context"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/iam"
)

// backend is one way to boot instances.
type backend struct {
	// flags adds flags of the back end's own; may be nil.
	flags func(*pflag.FlagSet)
	// open makes the back end ready.
	open func(context.Context, environment) (opened, error)
}

// environment is what a back end may build on.
type environment struct {
	Catalog *catalog.Catalog
	// Dir is a directory of the back end's own below the state directory.
	Dir string
	// IAM has the roles of instances.
	IAM *iam.Store
	// Parameters gives the document that an instance finds in the Parameter
	// Store.
	Parameters func(instanceID string) string
	Log        logr.Logger
}

// opened is a back end in use.
type opened struct {
	boot.Backend
	// close releases what the back end holds besides its machines; may be nil.
	close func(context.Context) error
}

// backends are the back ends by the name that --boot knows them by.
func backends() map[string]backend {
	return map[string]backend{
		"hollow":  hollowBackend(),
		"sandbox": sandboxBackend(),
	}
}
