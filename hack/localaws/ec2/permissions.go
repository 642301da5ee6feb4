package ec2

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/query"
	"kip.elotl.co/hack/localaws/world"
)

// permissionXML is all rules of one direction, protocol and range of ports.
type permissionXML struct {
	Protocol   string     `xml:"ipProtocol"`
	From       *int       `xml:"fromPort"`
	To         *int       `xml:"toPort"`
	Groups     []pairXML  `xml:"groups>item"`
	Ranges     []rangeXML `xml:"ipRanges>item"`
	IPv6Ranges []rangeXML `xml:"ipv6Ranges>item"`
}

type pairXML struct {
	UserID      string `xml:"userId"`
	ID          string `xml:"groupId"`
	Description string `xml:"description,omitempty"`
}

type rangeXML struct {
	IPv4        string `xml:"cidrIp,omitempty"`
	IPv6        string `xml:"cidrIpv6,omitempty"`
	Description string `xml:"description,omitempty"`
}

// permissions puts the rules of one direction together as EC2 shows them.
func (s *Server) permissions(rules []world.Rule, egress bool) []permissionXML {
	var out []permissionXML
	for _, r := range rules {
		if r.Egress != egress {
			continue
		}
		i := slices.IndexFunc(out, func(p permissionXML) bool {
			return p.Protocol == r.Protocol && (p.From == nil || *p.From == r.From && *p.To == r.To)
		})
		if i < 0 {
			i = len(out)
			out = append(out, permissionXML{Protocol: r.Protocol})
			if r.Protocol != "-1" {
				out[i].From, out[i].To = &r.From, &r.To
			}
		}
		p := &out[i]
		switch v4, v6 := families(r.CIDR); {
		case r.PeerID != "":
			p.Groups = append(p.Groups, pairXML{s.World.Catalog.Account, r.PeerID, r.Description})
		case v6 != "":
			p.IPv6Ranges = append(p.IPv6Ranges, rangeXML{IPv6: v6, Description: r.Description})
		default:
			p.Ranges = append(p.Ranges, rangeXML{IPv4: v4, Description: r.Description})
		}
	}
	return out
}

// readRules reads IpPermissions.N, or the one rule that the call's own
// parameters make.
func readRules(p query.Params, egress bool) ([]world.Rule, error) {
	var out []world.Rule
	if protocol, ok := p.Lookup("IpProtocol"); ok {
		r, err := readPorts(p, protocol)
		if err != nil {
			return nil, err
		}
		r.Egress = egress
		if r.CIDR, err = readCIDR(p.Required("CidrIp"), true); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	for _, m := range p.Structs("IpPermissions") {
		base, err := readPorts(m, m.Required("IpProtocol"))
		if err != nil {
			return nil, err
		}
		base.Egress = egress
		peers, err := readPeers(m, base)
		if err != nil {
			return nil, err
		}
		out = append(out, peers...)
	}
	return out, p.Err()
}

// readPeers reads who a permission is for: a rule each.
func readPeers(m query.Params, base world.Rule) ([]world.Rule, error) {
	var out []world.Rule
	for _, family := range []struct {
		list, field string
		v4          bool
	}{{"IpRanges", "CidrIp", true}, {"Ipv6Ranges", "CidrIpv6", false}} {
		for _, item := range m.Structs(family.list) {
			r := base
			var err error
			if r.CIDR, err = readCIDR(item.Required(family.field), family.v4); err != nil {
				return nil, err
			}
			r.Description = item.String("Description")
			out = append(out, r)
		}
	}
	for _, item := range m.Structs("Groups") {
		r := base
		r.PeerID, r.Description = item.Required("GroupId"), item.String("Description")
		item.String("UserId") // the account's own groups are all there are
		item.String("VpcId")
		out = append(out, r)
	}
	if len(out) == 0 && m.Err() == nil {
		return nil, awserr.New("InvalidParameterValue", "Invalid value for IpPermissions: at least one of ipRanges, ipv6Ranges and groups must be given")
	}
	return out, nil
}

// readCIDR takes host bits away, as EC2 does.
func readCIDR(value string, v4 bool) (string, error) {
	if value == "" {
		return "", nil // it is missing, which the parameters say
	}
	cidr, err := netip.ParsePrefix(value)
	if err != nil || cidr.Addr().Is4() != v4 {
		return "", awserr.New("InvalidParameterValue", "CIDR block %s is malformed", value)
	}
	return cidr.Masked().String(), nil
}

// protocolName writes the protocols that have a name with it.
func protocolName(protocol string) (string, error) {
	name := strings.ToLower(protocol)
	switch name {
	case "tcp", "udp", "icmp", "icmpv6", "-1":
		return name, nil
	case "6":
		return "tcp", nil
	case "17":
		return "udp", nil
	case "1":
		return "icmp", nil
	case "58":
		return "icmpv6", nil
	}
	if n, err := strconv.Atoi(name); err != nil || n < 0 || n > 255 {
		return "", awserr.New("InvalidParameterValue", "Invalid value '%s' for IP protocol. Unknown protocol.", protocol)
	}
	return name, nil
}

func readPorts(p query.Params, protocol string) (world.Rule, error) {
	r := world.Rule{From: -1, To: -1}
	from, to := p.Int("FromPort"), p.Int("ToPort")
	if protocol == "" {
		return r, p.Err()
	}
	var err error
	if r.Protocol, err = protocolName(protocol); err != nil {
		return r, err
	}
	ports := r.Protocol == "tcp" || r.Protocol == "udp"
	if !ports && r.Protocol != "icmp" && r.Protocol != "icmpv6" {
		return r, nil // all else has no ports
	}
	if from == nil || to == nil {
		if ports {
			return r, awserr.New("InvalidParameterValue", "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
		}
		return r, nil
	}
	r.From, r.To = *from, *to
	if ports && (r.From < 0 || r.To > 65535 || r.From > r.To) {
		return r, awserr.New("InvalidParameterValue", "Invalid TCP/UDP port range (%d:%d)", r.From, r.To)
	}
	return r, nil
}
