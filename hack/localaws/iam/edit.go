package iam

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/policy"
)

// iamPath is the form of the paths of roles and profiles.
var iamPath = regexp.MustCompile(`^(/|/[\x21-\x7e]{1,510}/)$`)

func checkPath(path string) (string, error) {
	if path == "" {
		return "/", nil
	}
	if !iamPath.MatchString(path) {
		return "", awserr.New("ValidationError", "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	return path, nil
}

// CreateRole makes a role. trust says who may assume it: it is kept, and not
// judged by.
func (s *Store) CreateRole(name, path, trust string) (r Role, err error) {
	if err := checkName("roleName", name, maxRoleName); err != nil {
		return r, err
	}
	if path, err = checkPath(path); err != nil {
		return r, err
	}
	if !json.Valid([]byte(trust)) {
		return r, awserr.New("MalformedPolicyDocument", "This policy contains invalid Json")
	}
	err = s.change(func() error {
		if _, ok := s.roles[name]; ok {
			return awserr.New("EntityAlreadyExists", "Role with name %s already exists.", name)
		}
		r = Role{Name: name, ID: uniqueID("AROA", ""), Path: path, Trust: trust, Created: s.now(), Policies: map[string]string{}}
		s.roles[name] = r
		return nil
	})
	return r, err
}

func (s *Store) now() time.Time { return s.Clock.Now().UTC().Truncate(time.Second) }

// DeleteRole ends a role that has no policies and is in no profile.
func (s *Store) DeleteRole(name string) error {
	return s.change(func() error {
		r, ok := s.roles[name]
		if !ok {
			return noRole(name)
		}
		if len(r.Policies) > 0 {
			return awserr.New("DeleteConflict", "Cannot delete entity, must delete policies first.")
		}
		for _, p := range s.profiles {
			if p.Role == name {
				return awserr.New("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
			}
		}
		delete(s.roles, name)
		return nil
	})
}

// PutRolePolicy gives a role an inline policy, in the place of one of the same
// name. A document that cannot be judged by is refused.
func (s *Store) PutRolePolicy(role, name, document string) error {
	if err := checkName("policyName", name, maxPolicyName); err != nil {
		return err
	}
	if err := checkPolicy(document); err != nil {
		return err
	}
	return s.changePolicies(role, func(policies map[string]string) error {
		policies[name] = document
		return nil
	})
}

// filled are the condition keys that Caller.Authorize has values for.
var filled = []string{"aws:userid", "aws:resourcetag", "ssm:resourcetag"}

// checkPolicy refuses what could not be judged by, and what would be judged
// wrongly for want of values.
func checkPolicy(document string) error {
	p, err := policy.Parse([]byte(document))
	if err != nil {
		return awserr.New("MalformedPolicyDocument", "Syntax errors in policy: %s", err)
	}
	for _, key := range p.Keys() {
		if !slices.Contains(filled, key) {
			return awserr.New("MalformedPolicyDocument", "The condition key %s is not emulated here: calls have values for %s only", key, strings.Join(filled, ", "))
		}
	}
	return nil
}

// DeleteRolePolicy takes an inline policy away.
func (s *Store) DeleteRolePolicy(role, name string) error {
	return s.changePolicies(role, func(policies map[string]string) error {
		if _, ok := policies[name]; !ok {
			return noPolicy(name)
		}
		delete(policies, name)
		return nil
	})
}

func noPolicy(name string) error {
	return awserr.New("NoSuchEntity", "The role policy with name %s cannot be found.", name)
}

func (s *Store) changePolicies(role string, edit func(map[string]string) error) error {
	return s.change(func() error {
		r, ok := s.roles[role]
		if !ok {
			return noRole(role)
		}
		r.Policies = maps.Clone(r.Policies)
		if err := edit(r.Policies); err != nil {
			return err
		}
		s.roles[role] = r
		return nil
	})
}

// CreateProfile makes an instance profile without a role.
func (s *Store) CreateProfile(name, path string) (p Profile, err error) {
	if err := checkName("instanceProfileName", name, maxProfileName); err != nil {
		return p, err
	}
	if path, err = checkPath(path); err != nil {
		return p, err
	}
	err = s.change(func() error {
		if _, ok := s.profiles[name]; ok {
			return awserr.New("EntityAlreadyExists", "Instance Profile %s already exists.", name)
		}
		p = Profile{Name: name, ID: uniqueID("AIPA", ""), Path: path, Created: s.now()}
		s.profiles[name] = p
		return nil
	})
	return p, err
}

// DeleteProfile ends an instance profile that has no role.
func (s *Store) DeleteProfile(name string) error {
	return s.changeProfile(name, func(p *Profile) error {
		if p.Role != "" {
			return awserr.New("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
		}
		delete(s.profiles, name)
		return nil
	})
}

// AddRole puts a role into a profile that has none.
func (s *Store) AddRole(profile, role string) error {
	return s.changeProfile(profile, func(p *Profile) error {
		if _, ok := s.roles[role]; !ok {
			return noRole(role)
		}
		if p.Role != "" {
			return awserr.New("LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
		}
		p.Role = role
		s.profiles[profile] = *p
		return nil
	})
}

// RemoveRole takes the role out of a profile.
func (s *Store) RemoveRole(profile, role string) error {
	return s.changeProfile(profile, func(p *Profile) error {
		if p.Role != role || role == "" {
			return noRole(role)
		}
		p.Role = ""
		s.profiles[profile] = *p
		return nil
	})
}

func (s *Store) changeProfile(name string, edit func(*Profile) error) error {
	return s.change(func() error {
		p, ok := s.profiles[name]
		if !ok {
			return noProfile(name)
		}
		return edit(&p)
	})
}

// Configure makes sure that a role with an inline policy of its own name is
// there, in an instance profile of that name too.
func (s *Store) Configure(name, document string) error {
	if _, err := s.Role(name); err != nil {
		if _, err := s.CreateRole(name, "/", trustEC2); err != nil {
			return err
		}
	}
	p, err := s.Profile(name)
	if err != nil {
		if p, err = s.CreateProfile(name, "/"); err != nil {
			return err
		}
	}
	if p.Role == "" {
		if err := s.AddRole(name, name); err != nil {
			return err
		}
	}
	return s.PutRolePolicy(name, name, document)
}
