// Package ecr is the emulated Elastic Container Registry as far as the access to
// its registries goes: the JSON protocol's GetAuthorizationToken
// (docs.aws.amazon.com/AmazonECR/latest/APIReference). Images are elsewhere, in a
// registry that takes the password.
package ecr

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/iam"
	"kip.elotl.co/hack/localaws/service"
)

// User is who a token is for, whatever the role that asked for it.
const User = "AWS"

// tokenHolds is how long a token says that it is valid. What takes it does not
// look at that.
const tokenHolds = 12 * time.Hour

const maxRegistryIDs = 10

// Config is what tokens are made of.
type Config struct {
	Region, Account string
	// Password is in every token.
	Password string
	Clock    clock.PassiveClock
}

// Host is the name of an account's registry in a region.
func Host(account, region string) string { return account + ".dkr.ecr." + region + ".amazonaws.com" }

// Service is ECR behind the emulator's endpoint.
func (c Config) Service() service.Service {
	return service.Service{
		Name: "ecr", Target: "AmazonEC2ContainerRegistry_V20150921.", Show: show,
		Handle: func(_ context.Context, r service.Request) (any, error) {
			if r.Action != "GetAuthorizationToken" {
				return nil, awserr.New("UnknownOperationException", "The operation %s is not known", r.Action)
			}
			return c.token(r.Caller, r.Body)
		},
	}
}

type tokenInput struct {
	RegistryIDs []string `json:"registryIds"`
}

type tokenOutput struct {
	AuthorizationData []authorization `json:"authorizationData"`
}

type authorization struct {
	AuthorizationToken string  `json:"authorizationToken"`
	ExpiresAt          float64 `json:"expiresAt"` // seconds since 1970
	ProxyEndpoint      string  `json:"proxyEndpoint"`
}

// token answers one for each registry that is named, by the caller's account
// where none is: AWS knows no narrower resource than all of them.
func (c Config) token(caller iam.Caller, body []byte) (any, error) {
	var in tokenInput
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, awserr.New("SerializationException", "The body cannot be read: %s", err)
	}
	if err := caller.Authorize("ecr:GetAuthorizationToken", "*", nil); err != nil {
		return nil, err
	}
	if in.RegistryIDs == nil {
		in.RegistryIDs = []string{c.Account}
	}
	if n := len(in.RegistryIDs); n == 0 || n > maxRegistryIDs {
		return nil, invalid("registryIds must have from 1 to %d members", maxRegistryIDs)
	}
	out := tokenOutput{}
	for _, account := range in.RegistryIDs {
		if !regexp.MustCompile(`^[0-9]{12}$`).MatchString(account) {
			return nil, invalid("registryIds: %q must be the number of an account", account)
		}
		out.AuthorizationData = append(out.AuthorizationData, authorization{
			AuthorizationToken: base64.StdEncoding.EncodeToString([]byte(User + ":" + c.Password)),
			ExpiresAt:          float64(c.Clock.Now().Add(tokenHolds).UnixMilli()) / 1000,
			ProxyEndpoint:      "https://" + Host(account, c.Region),
		})
	}
	return out, nil
}

func invalid(format string, args ...any) error {
	return awserr.New("InvalidParameterException", "Invalid parameter at "+format, args...)
}

// show gives what a body asks for.
func show(body []byte) map[string]string {
	var in tokenInput
	if json.NewDecoder(io.LimitReader(bytes.NewReader(body), 1<<16)).Decode(&in) != nil || len(in.RegistryIDs) == 0 {
		return map[string]string{}
	}
	return map[string]string{"RegistryIds": strings.Join(in.RegistryIDs, " ")}
}
