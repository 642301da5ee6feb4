package podspec

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// entry is one registry of a Docker configuration.
type entry struct {
	// host may have a port, and * in place of what is between dots.
	host string
	// path is empty or begins with a slash; images must begin with it.
	path               string
	username, password string
}

// dockerAuth is one entry as Docker writes it. auth is base64 of
// username:password, and counts more than the other two.
type dockerAuth struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Auth     string `json:"auth"`
}

// entriesOf reads a pull Secret; one of another type, or nil, has none.
func entriesOf(secret *corev1.Secret) ([]entry, error) {
	if secret == nil {
		return nil, nil
	}
	switch secret.Type {
	case corev1.SecretTypeDockerConfigJson:
		return parseDockerConfig(corev1.DockerConfigJsonKey, secret.Data[corev1.DockerConfigJsonKey])
	case corev1.SecretTypeDockercfg:
		return parseDockerConfig(corev1.DockerConfigKey, secret.Data[corev1.DockerConfigKey])
	}
	return nil, nil
}

// parseDockerConfig reads the content of ~/.docker/config.json, or of the older
// ~/.dockercfg, which is what stands under "auths" in the former. Errors show
// nothing of the content but names of registries.
func parseDockerConfig(key string, data []byte) ([]entry, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var config struct {
		Auths map[string]dockerAuth `json:"auths"`
	}
	into := any(&config)
	if key == corev1.DockerConfigKey {
		into = &config.Auths
	}
	if err := json.Unmarshal(data, into); err != nil {
		return nil, fmt.Errorf("%s: %w", key, describe(err))
	}
	var entries []entry
	for _, registry := range slices.Sorted(maps.Keys(config.Auths)) {
		e, ok := addressOf(registry)
		if !ok {
			continue
		}
		if err := e.setUser(config.Auths[registry]); err != nil {
			return nil, fmt.Errorf("%s: registry %q: %w", key, registry, err)
		}
		if e.username != "" || e.password != "" {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// describe is a JSON error without the text that it was found in.
func describe(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("a JSON %s at byte %d where a %s is expected", jsonKind(kind.Value), kind.Offset, kind.Type.Kind())
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("is not JSON at byte %d", syntax.Offset)
	}
	return errors.New("is not JSON")
}

// jsonKind leaves the digits away that encoding/json shows of a number.
func jsonKind(value string) string {
	kind, _, _ := strings.Cut(value, " ")
	return kind
}

func (e *entry) setUser(auth dockerAuth) error {
	e.username, e.password = auth.Username, auth.Password
	if auth.Auth == "" {
		return nil
	}
	// Some tools leave the padding away.
	plain, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(auth.Auth, "="))
	if err != nil {
		return errors.New("auth is not base64")
	}
	var found bool
	if e.username, e.password, found = strings.Cut(string(plain), ":"); !found {
		return errors.New("auth is not username:password")
	}
	return nil
}

// addressOf takes a key of the configuration apart: with or without scheme, and
// with a path that /v1/ or /v2/ may stand before, which mean nothing. What is
// no address belongs to no image; a kubelet passes over it as well.
func addressOf(registry string) (entry, bool) {
	if !strings.HasPrefix(registry, "https://") && !strings.HasPrefix(registry, "http://") {
		registry = "https://" + registry
	}
	parsed, err := url.Parse(registry)
	if err != nil || parsed.Host == "" {
		return entry{}, false
	}
	e := entry{host: canonicalHost(parsed.Host), path: parsed.Path}
	for _, version := range []string{"/v1", "/v2"} {
		if e.path == version || strings.HasPrefix(e.path, version+"/") {
			e.path = strings.TrimPrefix(e.path, version)
			break
		}
	}
	if e.path == "/" {
		e.path = ""
	}
	return e, true
}
