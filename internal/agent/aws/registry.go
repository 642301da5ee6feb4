package aws

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"k8s.io/utils/clock"

	"kip.elotl.co/internal/itzo"
)

const (
	// renewBefore is how long before its end a token counts as too old: a pull
	// that begins with it may take that long. Tokens hold for 12 hours
	// (docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html).
	renewBefore = 30 * time.Minute
	// tokenTimeout bounds the time to get one: the pull is tried without it then.
	tokenTimeout = 20 * time.Second
)

// RegistriesOptions say where tokens come from.
type RegistriesOptions struct {
	// Endpoint of ECR; empty: that of the registry's region.
	Endpoint string
	// MetadataEndpoint of the instance's metadata; empty: the usual address.
	MetadataEndpoint string
	Clock            clock.PassiveClock
}

// Registries gives access to private registries of ECR with the role of the
// instance's profile. It implements agent.Registries.
type Registries struct {
	options RegistriesOptions
	role    *aws.CredentialsCache

	mu     sync.Mutex
	tokens map[location]*registryToken
}

// registryToken is the last one of a location; turn is held by who uses it.
type registryToken struct {
	turn        chan struct{}
	credentials *itzo.RegistryCredentials
	until       time.Time
}

// NewRegistries asks nothing yet.
func NewRegistries(o RegistriesOptions) *Registries {
	return &Registries{options: o, role: roleOf(instanceMetadata(o.MetadataEndpoint)), tokens: map[location]*registryToken{}}
}

// Credentials answers those for a registry host, nil for one that is not ECR's.
// They are kept until shortly before they expire. Errors say what the instance
// lacks.
func (r *Registries) Credentials(ctx context.Context, host string) (*itzo.RegistryCredentials, error) {
	at, ok := locate(host)
	if !ok {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	t := r.token(at)
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a token of ECR in %s: %w", at.region, ctx.Err())
	}
	if t.credentials != nil && r.options.Clock.Now().Before(t.until) {
		return t.credentials, nil
	}
	data, err := r.ask(ctx, at)
	if err != nil {
		return nil, err
	}
	credentials, expires, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("reading the token of ECR in %s: %w", at.region, err)
	}
	t.credentials, t.until = credentials, expires.Add(-renewBefore)
	return credentials, nil
}

func (r *Registries) token(at location) *registryToken {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tokens[at] == nil {
		r.tokens[at] = &registryToken{turn: make(chan struct{}, 1)}
	}
	return r.tokens[at]
}

func (r *Registries) ask(ctx context.Context, at location) (*ecr.GetAuthorizationTokenOutput, error) {
	if _, err := r.role.Retrieve(ctx); err != nil {
		return nil, withoutRole(err)
	}
	options := ecr.Options{Region: at.region, Credentials: r.role, HTTPClient: awshttp.NewBuildableClient().WithTimeout(callTimeout)}
	if at.fips {
		options.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
	}
	if at.dualStack {
		options.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
	}
	if r.options.Endpoint != "" {
		options.BaseEndpoint = aws.String(r.options.Endpoint)
	}
	out, err := ecr.New(options).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	var refused smithy.APIError
	if errors.As(err, &refused) && refused.ErrorCode() == "AccessDeniedException" {
		return nil, fmt.Errorf("the role of the cell's instance profile lacks ecr:GetAuthorizationToken: %s", refused.ErrorMessage())
	}
	if err != nil {
		return nil, fmt.Errorf("asking ECR in %s for a token: %s", at.region, reason(err))
	}
	return out, nil
}

// withoutRole says why the instance has no credentials. The metadata service
// answers 404 where there is no profile, or not yet.
func withoutRole(err error) error {
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusNotFound {
		return errors.New("the cell has no instance profile: the class's defaultIAMPermissions has to name one whose role allows ecr:GetAuthorizationToken")
	}
	return fmt.Errorf("asking the instance's metadata for the credentials of its role: %s", reason(err))
}

// decode takes a token apart: base64 of user:password. Errors show nothing of it.
func decode(out *ecr.GetAuthorizationTokenOutput) (*itzo.RegistryCredentials, time.Time, error) {
	if len(out.AuthorizationData) == 0 {
		return nil, time.Time{}, errors.New("there is none")
	}
	data := out.AuthorizationData[0]
	plain, err := base64.StdEncoding.DecodeString(aws.ToString(data.AuthorizationToken))
	if err != nil {
		return nil, time.Time{}, errors.New("it is not base64")
	}
	user, password, found := strings.Cut(string(plain), ":")
	if !found || user == "" || password == "" {
		return nil, time.Time{}, errors.New("it is not user:password")
	}
	return &itzo.RegistryCredentials{Username: user, Password: password}, aws.ToTime(data.ExpiresAt), nil
}
