package iam

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/query"
)

// The API versions and name spaces of the two services.
const (
	Version      = "2010-05-08"
	Namespace    = "https://iam.amazonaws.com/doc/2010-05-08/"
	STSVersion   = "2011-06-15"
	STSNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
)

// action is one of IAM's: it reads its parameters, and gives what to do and
// the resource that is asked for.
type action func(s *Store, p query.Params) (resource string, do func() (any, error))

func actions() map[string]action {
	return map[string]action{
		"GetInstanceProfile":            getProfile,
		"ListInstanceProfiles":          listProfiles,
		"CreateInstanceProfile":         createProfile,
		"DeleteInstanceProfile":         deleteProfile,
		"AddRoleToInstanceProfile":      addRole,
		"RemoveRoleFromInstanceProfile": removeRole,
		"GetRole":                       getRole,
		"CreateRole":                    createRole,
		"DeleteRole":                    deleteRole,
		"PutRolePolicy":                 putRolePolicy,
		"GetRolePolicy":                 getRolePolicy,
		"ListRolePolicies":              listRolePolicies,
		"DeleteRolePolicy":              deleteRolePolicy,
	}
}

// Handle does a call of IAM. The result is encoded as the action's result
// element.
func (s *Store) Handle(caller Caller, name string, p query.Params) (any, error) {
	read := actions()[name]
	if read == nil {
		return nil, awserr.New("InvalidAction", "Could not find operation %s for version %s", name, Version)
	}
	resource, do := read(s, p)
	if err := p.Finish(); err != nil {
		return nil, err
	}
	if err := caller.Authorize("iam:"+name, resource, nil); err != nil {
		return nil, err
	}
	return do()
}

type roleXML struct {
	Path    string `xml:"Path"`
	Name    string `xml:"RoleName"`
	ID      string `xml:"RoleId"`
	ARN     string `xml:"Arn"`
	Created string `xml:"CreateDate"`
	Trust   string `xml:"AssumeRolePolicyDocument"`
	Max     int    `xml:"MaxSessionDuration"`
}

type profileXML struct {
	Path    string    `xml:"Path"`
	Name    string    `xml:"InstanceProfileName"`
	ID      string    `xml:"InstanceProfileId"`
	ARN     string    `xml:"Arn"`
	Created string    `xml:"CreateDate"`
	Roles   []roleXML `xml:"Roles>member"`
}

func (s *Store) roleXML(r Role) roleXML {
	return roleXML{
		Path: r.Path, Name: r.Name, ID: r.ID, ARN: s.RoleARN(r), Created: r.Created.Format(time.RFC3339),
		Trust: url.QueryEscape(r.Trust), Max: int(time.Hour.Seconds()),
	}
}

func (s *Store) profileXML(p Profile) profileXML {
	x := profileXML{Path: p.Path, Name: p.Name, ID: p.ID, ARN: s.ProfileARN(p), Created: p.Created.Format(time.RFC3339)}
	if r, ok := s.RoleOf(p.Name); ok {
		x.Roles = []roleXML{s.roleXML(r)}
	}
	return x
}

type profileResult struct {
	Profile profileXML `xml:"InstanceProfile"`
}

type roleResult struct {
	Role roleXML `xml:"Role"`
}

// arn is where a role or a profile would be that has no path.
func (s *Store) arn(kind, name string) string {
	return "arn:aws:iam::" + s.Account + ":" + kind + "/" + name
}

func getProfile(s *Store, p query.Params) (string, func() (any, error)) {
	name := p.Required("InstanceProfileName")
	return s.arn("instance-profile", name), func() (any, error) {
		found, err := s.Profile(name)
		if err != nil {
			return nil, err
		}
		return profileResult{s.profileXML(found)}, nil
	}
}

type profilesResult struct {
	Profiles  []profileXML `xml:"InstanceProfiles>member"`
	Truncated bool         `xml:"IsTruncated"`
	Marker    string       `xml:"Marker,omitempty"`
}

// most is how many items a list has at most, unless MaxItems says less.
const most = 100

func listProfiles(s *Store, p query.Params) (string, func() (any, error)) {
	prefix, marker, max := p.String("PathPrefix"), p.String("Marker"), p.Int("MaxItems")
	return s.arn("instance-profile", ""), func() (any, error) {
		page := most
		if max != nil {
			page = *max
		}
		if page < 1 || page > 1000 {
			return nil, awserr.New("ValidationError", "1 validation error detected: Value '%d' at 'maxItems' failed to satisfy constraint: Member must have value between 1 and 1000", page)
		}
		var out profilesResult
		for _, found := range s.List() {
			if !strings.HasPrefix(found.Path, prefix) || found.Name <= marker {
				continue
			}
			if len(out.Profiles) == page {
				out.Truncated, out.Marker = true, out.Profiles[page-1].Name
				break
			}
			out.Profiles = append(out.Profiles, s.profileXML(found))
		}
		return out, nil
	}
}

func createProfile(s *Store, p query.Params) (string, func() (any, error)) {
	name, path := p.Required("InstanceProfileName"), p.String("Path")
	return s.arn("instance-profile", name), func() (any, error) {
		made, err := s.CreateProfile(name, path)
		if err != nil {
			return nil, err
		}
		return profileResult{s.profileXML(made)}, nil
	}
}

func deleteProfile(s *Store, p query.Params) (string, func() (any, error)) {
	name := p.Required("InstanceProfileName")
	return s.arn("instance-profile", name), func() (any, error) { return nil, s.DeleteProfile(name) }
}

func addRole(s *Store, p query.Params) (string, func() (any, error)) {
	name, role := p.Required("InstanceProfileName"), p.Required("RoleName")
	return s.arn("instance-profile", name), func() (any, error) { return nil, s.AddRole(name, role) }
}

func removeRole(s *Store, p query.Params) (string, func() (any, error)) {
	name, role := p.Required("InstanceProfileName"), p.Required("RoleName")
	return s.arn("instance-profile", name), func() (any, error) { return nil, s.RemoveRole(name, role) }
}

func getRole(s *Store, p query.Params) (string, func() (any, error)) {
	name := p.Required("RoleName")
	return s.arn("role", name), func() (any, error) {
		found, err := s.Role(name)
		if err != nil {
			return nil, err
		}
		return roleResult{s.roleXML(found)}, nil
	}
}

func createRole(s *Store, p query.Params) (string, func() (any, error)) {
	name, path, trust := p.Required("RoleName"), p.String("Path"), p.Required("AssumeRolePolicyDocument")
	p.String("Description")
	return s.arn("role", name), func() (any, error) {
		made, err := s.CreateRole(name, path, trust)
		if err != nil {
			return nil, err
		}
		return roleResult{s.roleXML(made)}, nil
	}
}

func deleteRole(s *Store, p query.Params) (string, func() (any, error)) {
	name := p.Required("RoleName")
	return s.arn("role", name), func() (any, error) { return nil, s.DeleteRole(name) }
}

func putRolePolicy(s *Store, p query.Params) (string, func() (any, error)) {
	role, name, document := p.Required("RoleName"), p.Required("PolicyName"), p.Required("PolicyDocument")
	return s.arn("role", role), func() (any, error) { return nil, s.PutRolePolicy(role, name, document) }
}

func deleteRolePolicy(s *Store, p query.Params) (string, func() (any, error)) {
	role, name := p.Required("RoleName"), p.Required("PolicyName")
	return s.arn("role", role), func() (any, error) { return nil, s.DeleteRolePolicy(role, name) }
}

type policyResult struct {
	Role     string `xml:"RoleName"`
	Name     string `xml:"PolicyName"`
	Document string `xml:"PolicyDocument"`
}

func getRolePolicy(s *Store, p query.Params) (string, func() (any, error)) {
	role, name := p.Required("RoleName"), p.Required("PolicyName")
	return s.arn("role", role), func() (any, error) {
		found, err := s.Role(role)
		if err != nil {
			return nil, err
		}
		document, ok := found.Policies[name]
		if !ok {
			return nil, noPolicy(name)
		}
		return policyResult{role, name, url.QueryEscape(document)}, nil
	}
}

type policiesResult struct {
	Names     []string `xml:"PolicyNames>member"`
	Truncated bool     `xml:"IsTruncated"`
}

func listRolePolicies(s *Store, p query.Params) (string, func() (any, error)) {
	role := p.Required("RoleName")
	return s.arn("role", role), func() (any, error) {
		found, err := s.Role(role)
		if err != nil {
			return nil, err
		}
		return policiesResult{Names: slices.Sorted(maps.Keys(found.Policies))}, nil
	}
}

type identityResult struct {
	ARN     string `xml:"Arn"`
	UserID  string `xml:"UserId"`
	Account string `xml:"Account"`
}

// HandleSTS does a call of STS. Everybody may ask who they are.
func HandleSTS(caller Caller, name string, p query.Params) (any, error) {
	if name != "GetCallerIdentity" {
		return nil, awserr.New("InvalidAction", "Could not find operation %s for version %s", name, STSVersion)
	}
	if err := p.Finish(); err != nil {
		return nil, err
	}
	return identityResult{caller.ARN(), caller.UserID(), caller.Account()}, nil
}
