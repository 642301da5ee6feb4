package iam

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/policy"
)

// Credentials of a role hold for six to seven hours, and are the same within
// an hour, as the metadata service's are until new ones are due.
const (
	sessionRenewed = time.Hour
	sessionHolds   = 7 * time.Hour
)

// temporaryKey is what the access key IDs of sessions begin with.
const temporaryKey = "ASIA"

// Credentials are those of a role on an instance.
type Credentials struct {
	AccessKeyID, SecretAccessKey, Token string
	Updated, Expires                    time.Time
}

// session is what a token says. It is sealed with the store's key, so that no
// session has to be remembered.
type session struct {
	RoleID     string
	RoleName   string
	InstanceID string
	Expires    int64 // Unix seconds
}

// Credentials makes those of a role on an instance.
func (s *Store) Credentials(r Role, instanceID string) Credentials {
	updated := s.Clock.Now().UTC().Truncate(sessionRenewed)
	expires := updated.Add(sessionHolds)
	sealed, _ := json.Marshal(session{r.ID, r.Name, instanceID, expires.Unix()}) // strings and numbers always marshal
	token := base64.StdEncoding.EncodeToString(append(s.sum("token", sealed), sealed...))
	return Credentials{
		AccessKeyID: s.accessKey(token), SecretAccessKey: base64.StdEncoding.EncodeToString(s.sum("secret", sealed)[:30]),
		Token: token, Updated: updated, Expires: expires,
	}
}

// Identity is what an instance has from its instance profile.
type Identity struct {
	ProfileID string
	Role      string // its name
	Credentials
}

// OfInstance gives an instance's identity; false when the profile is gone, or
// has no role.
func (s *Store) OfInstance(profileARN, instanceID string) (Identity, bool) {
	p, ok := s.ByARN(profileARN)
	if !ok {
		return Identity{}, false
	}
	r, ok := s.RoleOf(p.Name)
	if !ok {
		return Identity{}, false
	}
	return Identity{ProfileID: p.ID, Role: r.Name, Credentials: s.Credentials(r, instanceID)}, true
}

// Document is the form in which the metadata service gives credentials.
func (c Credentials) Document() map[string]string {
	return map[string]string{
		"Code": "Success", "LastUpdated": c.Updated.Format(time.RFC3339), "Type": "AWS-HMAC", "AccessKeyId": c.AccessKeyID,
		"SecretAccessKey": c.SecretAccessKey, "Token": c.Token, "Expiration": c.Expires.Format(time.RFC3339),
	}
}

func (s *Store) sum(use string, data []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(use + ":"))
	h.Write(data)
	return h.Sum(nil)
}

func (s *Store) accessKey(token string) string {
	return temporaryKey + base32.StdEncoding.EncodeToString(s.sum("access key", []byte(token)))[:16]
}

// open reads a token; false for one that this store has not sealed.
func (s *Store) open(token string) (session, bool) {
	var out session
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(raw) < sha256.Size || !hmac.Equal(raw[:sha256.Size], s.sum("token", raw[sha256.Size:])) {
		return out, false
	}
	return out, json.Unmarshal(raw[sha256.Size:], &out) == nil
}

// Caller is who makes a call.
type Caller struct {
	store   *Store
	session *session // nil for the account's own keys, which may do all
}

// Identify finds who calls by the access key ID and the session token of a
// call. All keys but those of sessions are the account's own. The codes are
// EC2's; other services have other names for them.
func (s *Store) Identify(accessKeyID, token string) (Caller, error) {
	if token == "" && !strings.HasPrefix(accessKeyID, temporaryKey) {
		return Caller{store: s}, nil
	}
	found, ok := s.open(token)
	if !ok || accessKeyID != s.accessKey(token) {
		return Caller{}, awserr.New("AuthFailure", "AWS was not able to validate the provided access credentials")
	}
	if s.Clock.Now().Unix() >= found.Expires {
		return Caller{}, awserr.New("RequestExpired", "The security token included in the request is expired")
	}
	// The credentials of a role that was made anew under its name are not its.
	if r, err := s.Role(found.RoleName); err != nil || r.ID != found.RoleID {
		return Caller{}, awserr.New("AuthFailure", "AWS was not able to validate the provided access credentials")
	}
	return Caller{store: s, session: &found}, nil
}

// Session names a session as role/instance; "" for the account's own keys.
func (c Caller) Session() string {
	if c.session == nil {
		return ""
	}
	return c.session.RoleName + "/" + c.session.InstanceID
}

// UserID is what the policy variable aws:userid is.
func (c Caller) UserID() string {
	if c.session == nil {
		return c.store.Account
	}
	return c.session.RoleID + ":" + c.session.InstanceID
}

// ARN names the caller.
func (c Caller) ARN() string {
	if c.session == nil {
		return "arn:aws:iam::" + c.store.Account + ":root"
	}
	return "arn:aws:sts::" + c.store.Account + ":assumed-role/" + c.Session()
}

// Account is the caller's account.
func (c Caller) Account() string { return c.store.Account }

// Authorize judges an action on a resource. An error is for a service that
// speaks JSON: its code is AccessDeniedException.
func (c Caller) Authorize(action, resource string, tags map[string]string) error {
	if c.session == nil {
		return nil
	}
	context := map[string]string{"aws:userid": c.UserID()}
	for key, value := range tags {
		context["aws:resourcetag/"+key] = value
		context["ssm:resourcetag/"+key] = value
	}
	because := "no identity-based policy allows the " + action + " action"
	switch policy.Judge(c.store.policies(c.session.RoleName), policy.Request{Action: action, Resource: resource, Context: context}) {
	case policy.Allow:
		return nil
	case policy.ExplicitDeny:
		return awserr.New("AccessDeniedException", "User: %s is not authorized to perform: %s on resource: %s with an explicit deny in an identity-based policy",
			c.ARN(), action, resource)
	}
	return awserr.New("AccessDeniedException", "User: %s is not authorized to perform: %s on resource: %s because %s", c.ARN(), action, resource, because)
}

// policies are those of a role as it is now.
func (s *Store) policies(role string) []policy.Policy {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []policy.Policy
	for _, document := range s.roles[role].Policies {
		p, ok := s.parsed[document]
		if !ok {
			var err error
			if p, err = policy.Parse([]byte(document)); err != nil {
				// It was read before it was taken in, perhaps by another version of
				// this program: what cannot be judged by denies all.
				p = policy.Policy{Statements: []policy.Statement{{Actions: []string{"*"}, Resources: []string{"*"}}}}
			}
			s.parsed[document] = p
		}
		out = append(out, p)
	}
	return out
}
