package ec2

import (
	"context"

	"kip.elotl.co/hack/localaws/awserr"
)

const maxTaggedResources = 1000

func (s *Server) createTags(_ context.Context, c *Call) (response, error) {
	ids, err := taggedResources(c)
	if err != nil {
		return nil, err
	}
	tags, err := readTags(c.Params)
	if err != nil {
		return nil, err
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	if len(tags) == 0 {
		return nil, awserr.New("MissingParameter", "The request must contain the parameter Tag")
	}
	if err := s.World.SetTags(ids, tags); err != nil {
		return nil, err
	}
	return &done{Return: true}, nil
}

// deleteTags takes off the tags named, or all when none is; one that is named
// with a value goes only if it has that value.
func (s *Server) deleteTags(_ context.Context, c *Call) (response, error) {
	ids, err := taggedResources(c)
	if err != nil {
		return nil, err
	}
	drop := map[string]*string{}
	for _, t := range c.Params.Structs("Tag") {
		key := t.Required("Key")
		drop[key] = nil
		if v, ok := t.Lookup("Value"); ok {
			drop[key] = &v
		}
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	if err := s.World.DeleteTags(ids, drop); err != nil {
		return nil, err
	}
	return &done{Return: true}, nil
}

func taggedResources(c *Call) ([]string, error) {
	ids := c.Params.Strings("ResourceId")
	if len(ids) == 0 {
		return nil, awserr.New("MissingParameter", "The request must contain the parameter ResourceId")
	}
	if len(ids) > maxTaggedResources {
		return nil, awserr.New("InvalidParameterValue", "At most %d resources can be tagged in one call", maxTaggedResources)
	}
	return ids, nil
}
