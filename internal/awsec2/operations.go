package awsec2

import (
	"context"
	"net/url"
	"strconv"
)

// VPCEndpoint is a VPC endpoint with the ids of its security groups, of which a gateway endpoint has none.
type VPCEndpoint struct {
	ID     string
	Groups []string
}

// SecurityGroup is a security group without its rules.
type SecurityGroup struct {
	ID, Name, Description string
	VPC                   string // its id
	Owner                 string // the account's number
}

// Rule is one rule of a security group. Exactly one of IPv4, IPv6, PrefixList and Group says who is meant.
type Rule struct {
	Egress      bool
	Protocol    string // "tcp", "udp", "icmp", "icmpv6" or a number; "-1": all
	From, To    int32  // ports, both included, or ICMP's type and code; -1: all
	Description string // "": none

	IPv4, IPv6 string // a CIDR block
	PrefixList string // "pl-…"
	Group      string // "sg-…"
	GroupOwner string // its account's number; "" is to EC2 the caller's own
}

// DescribeVPCEndpoints reads VPC endpoints by their ids.
func (c *Client) DescribeVPCEndpoints(ctx context.Context, ids ...string) ([]VPCEndpoint, error) {
	var all []VPCEndpoint
	for in := list("VpcEndpointId", ids); in != nil; {
		var page endpointsAnswer
		if err := c.call(ctx, "DescribeVpcEndpoints", in, &page); err != nil {
			return nil, err
		}
		for _, e := range page.Endpoints {
			all = append(all, VPCEndpoint(e))
		}
		in = next(in, page.Next)
	}
	return all, nil
}

// DescribeSecurityGroups reads security groups by their ids. Their rules are DescribeSecurityGroupRules'.
func (c *Client) DescribeSecurityGroups(ctx context.Context, ids ...string) ([]SecurityGroup, error) {
	var all []SecurityGroup
	for in := list("GroupId", ids); in != nil; {
		var page groupsAnswer
		if err := c.call(ctx, "DescribeSecurityGroups", in, &page); err != nil {
			return nil, err
		}
		for _, g := range page.Groups {
			all = append(all, SecurityGroup(g))
		}
		in = next(in, page.Next)
	}
	return all, nil
}

// DescribeSecurityGroupRules reads the rules of a security group; of one that is not there, it reads none.
func (c *Client) DescribeSecurityGroupRules(ctx context.Context, group string) ([]Rule, error) {
	var all []Rule
	for in := (url.Values{"Filter.1.Name": {"group-id"}, "Filter.1.Value.1": {group}}); in != nil; {
		var page rulesAnswer
		if err := c.call(ctx, "DescribeSecurityGroupRules", in, &page); err != nil {
			return nil, err
		}
		for i := range page.Rules {
			all = append(all, page.Rules[i].rule())
		}
		in = next(in, page.Next)
	}
	return all, nil
}

// Authorize adds a rule to a group, by AuthorizeSecurityGroupIngress or AuthorizeSecurityGroupEgress.
func (c *Client) Authorize(ctx context.Context, group string, r Rule) error {
	return c.call(ctx, "AuthorizeSecurityGroup"+r.way(), r.permission(group), nil)
}

// Revoke takes a rule from a group, by RevokeSecurityGroupIngress or RevokeSecurityGroupEgress. A rule with
// another description than EC2 has is another rule; one without is the rule whatever its description.
func (c *Client) Revoke(ctx context.Context, group string, r Rule) error {
	return c.call(ctx, "RevokeSecurityGroup"+r.way(), r.permission(group), nil)
}

func (r Rule) way() string {
	if r.Egress {
		return "Egress"
	}
	return "Ingress"
}

// permission is a rule as a call wants it.
func (r Rule) permission(group string) url.Values {
	const p = "IpPermissions.1."
	in := url.Values{"GroupId": {group}, p + "IpProtocol": {r.Protocol}}
	if r.Protocol != "-1" {
		in.Set(p+"FromPort", strconv.Itoa(int(r.From)))
		in.Set(p+"ToPort", strconv.Itoa(int(r.To)))
	}
	var peer string
	switch {
	case r.IPv4 != "":
		peer = p + "IpRanges.1."
		in.Set(peer+"CidrIp", r.IPv4)
	case r.IPv6 != "":
		peer = p + "Ipv6Ranges.1."
		in.Set(peer+"CidrIpv6", r.IPv6)
	case r.PrefixList != "":
		peer = p + "PrefixListIds.1."
		in.Set(peer+"PrefixListId", r.PrefixList)
	default:
		peer = p + "Groups.1."
		in.Set(peer+"GroupId", r.Group)
		if r.GroupOwner != "" {
			in.Set(peer+"UserId", r.GroupOwner)
		}
	}
	if r.Description != "" {
		in.Set(peer+"Description", r.Description)
	}
	return in
}

// next makes of a call the one for the following page; nil: there is none.
func next(in url.Values, token string) url.Values {
	if token == "" {
		return nil
	}
	in.Set("NextToken", token)
	return in
}

// list is a list as the protocol has it: its members are numbered from 1.
func list(name string, values []string) url.Values {
	in := url.Values{}
	for i, v := range values {
		in.Set(name+"."+strconv.Itoa(i+1), v)
	}
	return in
}
