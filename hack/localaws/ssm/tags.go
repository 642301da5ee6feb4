package ssm

import (
	"maps"
	"slices"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/iam"
)

// readTags reads tags, and refuses what cannot be one.
func readTags(list []tag) (map[string]string, error) {
	out := map[string]string{}
	for _, t := range list {
		switch _, twice := out[t.Key]; {
		case t.Key == "" || len([]rune(t.Key)) > 128 || len([]rune(t.Value)) > 256:
			return nil, invalid("Tag %q: keys have from 1 to 128 characters, values at most 256.", t.Key)
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return nil, invalid(`Tag keys can't be prefixed with "aws:": %s`, t.Key)
		case twice:
			return nil, invalid("Duplicate tag keys are not permitted: %s", t.Key)
		}
		out[t.Key] = t.Value
	}
	if len(out) > maxTags {
		return nil, tooMany()
	}
	return out, nil
}

func tooMany() error {
	return awserr.New("TooManyTagsError", "The resource may have at most %d tags.", maxTags)
}

// resource names what is tagged.
type resource struct{ ResourceType, ResourceId string }

func (s *Store) tagged(caller iam.Caller, action string, r resource) error {
	if r.ResourceType != resourceTypeName {
		return awserr.New("InvalidResourceType", "%s is not a valid resource type: this emulator has parameters alone.", r.ResourceType)
	}
	if err := caller.Authorize("ssm:"+action, s.arn(r.ResourceId), s.tagsOf(r.ResourceId)); err != nil {
		return err
	}
	if p, ok := s.find(r.ResourceId); !ok || p.public {
		return awserr.New("InvalidResourceId", "The resource ID %q is not valid. Verify that you entered the correct ID and try again.", r.ResourceId)
	}
	return nil
}

// changeTags makes the tags of a parameter what edit makes of them.
func (s *Store) changeTags(name string, edit func(map[string]string)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.parameters[name]
	if !ok {
		return awserr.New("InvalidResourceId", "The resource ID %q is not valid. Verify that you entered the correct ID and try again.", name)
	}
	tags := map[string]string{}
	maps.Copy(tags, p.Tags)
	edit(tags)
	if len(tags) > maxTags {
		return tooMany()
	}
	p.Tags = tags
	s.parameters[name] = p
	return s.save()
}

type addTagsInput struct {
	ResourceType, ResourceId string
	Tags                     []tag
}

func (s *Store) addTags(caller iam.Caller, in addTagsInput) (any, error) {
	more, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if err := s.tagged(caller, "AddTagsToResource", resource{in.ResourceType, in.ResourceId}); err != nil {
		return nil, err
	}
	return nil, s.changeTags(in.ResourceId, func(tags map[string]string) { maps.Copy(tags, more) })
}

type removeTagsInput struct {
	ResourceType, ResourceId string
	TagKeys                  []string
}

func (s *Store) removeTags(caller iam.Caller, in removeTagsInput) (any, error) {
	if err := s.tagged(caller, "RemoveTagsFromResource", resource{in.ResourceType, in.ResourceId}); err != nil {
		return nil, err
	}
	return nil, s.changeTags(in.ResourceId, func(tags map[string]string) {
		for _, key := range in.TagKeys {
			delete(tags, key)
		}
	})
}

type tagsOutput struct{ TagList []tag }

func (s *Store) listTags(caller iam.Caller, in resource) (any, error) {
	if err := s.tagged(caller, "ListTagsForResource", in); err != nil {
		return nil, err
	}
	out := tagsOutput{[]tag{}}
	tags := s.tagsOf(in.ResourceId)
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out.TagList = append(out.TagList, tag{key, tags[key]})
	}
	return out, nil
}
