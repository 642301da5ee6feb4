package admin

import (
	"net/http"
	"time"

	"kip.elotl.co/hack/localaws/awserr"
)

// Parameter is a parameter of the Parameter Store, without its value.
type Parameter struct {
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	Tier     string            `json:"tier"`
	KeyID    string            `json:"keyID,omitempty"`
	Version  int64             `json:"version"`
	Bytes    int               `json:"bytes"`
	Modified time.Time         `json:"modified"`
	Tags     map[string]string `json:"tags,omitempty"`
}

func (a *API) parameters(*http.Request) (any, error) {
	out := []Parameter{}
	for _, p := range a.Parameters.List() {
		v := p.Latest()
		out = append(out, Parameter{
			Name: p.Name, Type: p.Type, Tier: p.Tier, KeyID: p.KeyID, Version: v.Number, Bytes: len(v.Value), Modified: v.Modified, Tags: p.Tags,
		})
	}
	return out, nil
}

// Role is a role, with the instance profiles that have it.
type Role struct {
	Name     string   `json:"name"`
	ID       string   `json:"id"`
	Profiles []string `json:"profiles,omitempty"`
	// Policies are its inline policy documents by name.
	Policies map[string]string `json:"policies,omitempty"`
}

func (a *API) roles(*http.Request) (any, error) {
	out := []Role{}
	for _, r := range a.World.IAM.Roles() {
		x := Role{Name: r.Name, ID: r.ID, Policies: r.Policies}
		for _, p := range a.World.IAM.List() {
			if p.Role == r.Name {
				x.Profiles = append(x.Profiles, p.Name)
			}
		}
		out = append(out, x)
	}
	return out, nil
}

// RoleRequest makes a role, in an instance profile of its name, or changes its
// policy.
type RoleRequest struct {
	Policy string `json:"policy"` // a policy document
}

func (a *API) putRole(r *http.Request) (any, error) {
	var in RoleRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	return struct{}{}, a.World.IAM.Configure(r.PathValue("name"), in.Policy)
}

// credentials are what the metadata service gives an instance for its role.
func (a *API) credentials(r *http.Request) (any, error) {
	id := r.PathValue("id")
	i, ok := a.World.Instance(id)
	if !ok {
		return nil, awserr.New("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
	}
	identity, ok := a.World.IAM.OfInstance(i.ProfileARN, id)
	if !ok {
		return nil, awserr.New("NoSuchEntity", "The instance %s has no role", id)
	}
	return identity.Document(), nil
}
