package ec2

import "kip.elotl.co/hack/localaws/world"

// eventXML is a scheduled event as DescribeInstanceStatus tells of it.
type eventXML struct {
	ID          string `xml:"instanceEventId"`
	Code        string `xml:"code"`
	Description string `xml:"description"`
	NotBefore   string `xml:"notBefore,omitempty"`
	NotAfter    string `xml:"notAfter,omitempty"`
}

func scheduled(i *world.Instance) []eventXML {
	var out []eventXML
	for _, m := range i.Trouble.Maintenance {
		e := eventXML{ID: m.ID, Code: m.Code, Description: m.Description}
		if !m.NotBefore.IsZero() {
			e.NotBefore = timestamp(m.NotBefore)
		}
		if !m.NotAfter.IsZero() {
			e.NotAfter = timestamp(m.NotAfter)
		}
		out = append(out, e)
	}
	return out
}

func systemStatus(i *world.Instance) summaryXML { return summary(i, i.Trouble.SystemImpaired) }

func instanceStatus(i *world.Instance) summaryXML { return summary(i, i.Trouble.InstanceImpaired) }

func summary(i *world.Instance, impaired bool) summaryXML {
	switch {
	case i.State != world.Running:
		return summaryXML{Status: "not-applicable"}
	case impaired:
		return summaryXML{Status: "impaired", Details: []reachableItem{{Name: "reachability", Status: "failed"}}}
	}
	return summaryXML{Status: "ok", Details: []reachableItem{{Name: "reachability", Status: "passed"}}}
}

func reachable(s summaryXML) []string {
	var out []string
	for _, d := range s.Details {
		out = append(out, d.Status)
	}
	return out
}
