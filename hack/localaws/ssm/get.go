package ssm

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/iam"
)

// parameterJSON is a parameter with its value.
type parameterJSON struct {
	Name             string
	Type             string
	Value            string
	Version          int64
	Selector         string `json:",omitempty"`
	LastModifiedDate float64
	ARN              string
	DataType         string
}

// seconds is a time as JSON 1.1 writes it: seconds since 1970.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func (s *Store) show(p Parameter, v Version, selector string, decrypt bool) parameterJSON {
	out := parameterJSON{
		Name: p.Name, Type: p.Type, Value: v.Value, Version: v.Number, LastModifiedDate: seconds(v.Modified), ARN: s.arn(p.Name), DataType: p.DataType,
	}
	if selector != "" {
		out.Selector = ":" + selector
	}
	if p.Type == typeSecure && !decrypt {
		sum := sha256.Sum256([]byte(p.Name + "\n" + v.Value))
		out.Value = base64.StdEncoding.EncodeToString(append([]byte("encrypted:"), sum[:]...))
	}
	return out
}

// authorizeRead asks whether the caller may have a parameter's value, and, of
// one that is encrypted with a key of the account's own, whether the caller
// may use that key.
func (s *Store) authorizeRead(caller iam.Caller, action, name string, decrypt bool) error {
	if err := caller.Authorize("ssm:"+action, s.arn(name), s.tagsOf(name)); err != nil {
		return err
	}
	p, _ := s.find(name)
	if !decrypt || p.Type != typeSecure || p.KeyID == defaultKey {
		return nil
	}
	key := p.KeyID
	if !strings.HasPrefix(key, "arn:") {
		kind := "key/"
		if strings.HasPrefix(key, "alias/") {
			kind = ""
		}
		key = "arn:aws:kms:" + s.Region + ":" + s.Account + ":" + kind + key
	}
	if caller.Authorize("kms:Decrypt", key, nil) != nil {
		return awserr.New("AccessDeniedException", "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
	}
	return nil
}

// version finds the version that a selector names; the latest without one.
func version(p Parameter, selector string) (Version, bool) {
	if selector == "" {
		return p.Latest(), true
	}
	i := slices.IndexFunc(p.Versions, func(v Version) bool { return strconv.FormatInt(v.Number, 10) == selector })
	if i < 0 {
		return Version{}, false
	}
	return p.Versions[i], true
}

type getInput struct {
	Name           string
	WithDecryption bool
}

type getOutput struct{ Parameter parameterJSON }

func (s *Store) get(caller iam.Caller, in getInput) (any, error) {
	if err := s.checkAsked([]string{in.Name}); err != nil {
		return nil, err
	}
	name, selector := s.split(in.Name)
	if err := s.authorizeRead(caller, "GetParameter", name, in.WithDecryption); err != nil {
		return nil, err
	}
	p, ok := s.find(name)
	if !ok {
		return nil, notFound(name)
	}
	v, ok := version(p, selector)
	if !ok {
		return nil, awserr.New("ParameterVersionNotFound", "Systems Manager could not find version %s of %s. Verify the version and try again.", selector, name)
	}
	return getOutput{s.show(p, v, selector, in.WithDecryption)}, nil
}

type getManyInput struct {
	Names          []string
	WithDecryption bool
}

type getManyOutput struct {
	Parameters        []parameterJSON
	InvalidParameters []string
}

func (s *Store) getMany(caller iam.Caller, in getManyInput) (any, error) {
	if err := s.checkAsked(in.Names); err != nil {
		return nil, err
	}
	for _, asked := range in.Names {
		name, _ := s.split(asked)
		if err := s.authorizeRead(caller, "GetParameters", name, in.WithDecryption); err != nil {
			return nil, err
		}
	}
	out := getManyOutput{[]parameterJSON{}, []string{}}
	for _, asked := range in.Names {
		name, selector := s.split(asked)
		p, ok := s.find(name)
		if ok {
			var v Version
			if v, ok = version(p, selector); ok {
				out.Parameters = append(out.Parameters, s.show(p, v, selector, in.WithDecryption))
			}
		}
		if !ok {
			out.InvalidParameters = append(out.InvalidParameters, asked)
		}
	}
	return out, nil
}

type byPathInput struct {
	Path                      string
	Recursive, WithDecryption bool
	ParameterFilters          []stringFilter
	MaxResults                *int
	NextToken                 string
}

type byPathOutput struct {
	Parameters []parameterJSON
	NextToken  string `json:",omitempty"`
}

func (s *Store) byPath(caller iam.Caller, in byPathInput) (any, error) {
	if !strings.HasPrefix(in.Path, "/") || !nameCharacters.MatchString(in.Path) {
		return nil, invalid(`The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash "/". It can't be prefixed with "aws" or "ssm" (case-insensitive).`)
	}
	if err := caller.Authorize("ssm:GetParametersByPath", s.arn(in.Path), nil); err != nil {
		return nil, err
	}
	test, err := selects(in.ParameterFilters, []string{"Type", "KeyId", "tag"})
	if err != nil {
		return nil, err
	}
	var found []Parameter
	for _, p := range append(s.List(), s.publicOnes(in.Path)...) {
		if below(p.Name, in.Path, in.Recursive) && test(p) {
			found = append(found, p)
		}
	}
	part, next, err := page(found, in.MaxResults, pageByPath, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := byPathOutput{Parameters: []parameterJSON{}, NextToken: next}
	for _, p := range part {
		out.Parameters = append(out.Parameters, s.show(p, p.Latest(), "", in.WithDecryption))
	}
	return out, nil
}

// publicOnes are AWS's parameters, which are listed below their own path alone.
func (s *Store) publicOnes(path string) []Parameter {
	if !strings.HasPrefix(path+"/", reservedPrefix) {
		return nil
	}
	var out []Parameter
	for _, name := range slices.Sorted(maps.Keys(s.Public)) {
		out = append(out, s.public(name, s.Public[name]))
	}
	return out
}

// page cuts one page out of parameters, which are in the order of their names.
func page(items []Parameter, asked *int, most int, token string) (part []Parameter, next string, err error) {
	size := most
	if asked != nil {
		size = *asked
	}
	if size < 1 || size > most {
		return nil, "", invalid("1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint: Member must have value between 1 and %d", size, most)
	}
	if token != "" {
		after, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			return nil, "", awserr.New("InvalidNextToken", "The specified token is not valid.")
		}
		items = slices.DeleteFunc(slices.Clone(items), func(p Parameter) bool { return p.Name <= string(after) })
	}
	if len(items) <= size {
		return items, "", nil
	}
	return items[:size], base64.RawURLEncoding.EncodeToString([]byte(items[size-1].Name)), nil
}
