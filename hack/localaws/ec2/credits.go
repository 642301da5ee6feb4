package ec2

import (
	"context"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/world"
)

type creditsResponse struct {
	header
	Credits   []creditXML `xml:"instanceCreditSpecificationSet>item"`
	NextToken string      `xml:"nextToken,omitempty"`
}

type creditXML struct {
	ID      string `xml:"instanceId"`
	Credits string `xml:"cpuCredits"`
}

// describeCredits lists the credit options of the instances named or, when
// none is, of those that are unlimited.
func (s *Server) describeCredits(_ context.Context, c *Call) (response, error) {
	ids := c.Params.Strings("InstanceId")
	known := fields[instance]{"instance-id": one(func(i instance) string { return i.ID })}
	found, next, err := s.selectInstances(c, ids, known, nil, func(i instance) bool {
		return len(ids) > 0 || i.CPUCredits == "unlimited" && i.State != world.Terminated
	})
	if err != nil {
		return nil, err
	}
	out := &creditsResponse{NextToken: next}
	for _, i := range found {
		if i.CPUCredits == "" {
			return nil, awserr.New("InvalidParameterValue", "The instance '%s' is of type %s, which is not a burstable performance type", i.ID, i.InstanceType)
		}
		out.Credits = append(out.Credits, creditXML{i.ID, i.CPUCredits})
	}
	return out, nil
}
