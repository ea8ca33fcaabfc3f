package attach

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/tapway/tapway/internal/awsec2"
)

// SecurityGroup is a security group with its rules, sorted.
type SecurityGroup struct {
	ID          string      `json:"groupId"`
	Name        string      `json:"groupName,omitempty"`
	Description string      `json:"description,omitempty"`
	VPC         string      `json:"vpcId,omitempty"`
	Rules       []GroupRule `json:"rules"`
}

// GroupRule is an awsec2.Rule as a backup has it.
type GroupRule struct {
	Egress      bool   `json:"egress,omitempty"`
	Protocol    string `json:"protocol"` // "tcp"; "-1": all
	From        int32  `json:"fromPort"` // -1: all
	To          int32  `json:"toPort"`
	Description string `json:"description,omitempty"`

	IPv4       string `json:"cidrIpv4,omitempty"`
	IPv6       string `json:"cidrIpv6,omitempty"`
	PrefixList string `json:"prefixListId,omitempty"`
	Group      string `json:"referencedGroupId,omitempty"`
	GroupOwner string `json:"referencedGroupOwner,omitempty"` // its account; "" the group's own
}

// GroupUser says why a group is in a backup.
type GroupUser struct {
	Kind   string   `json:"kind"` // "function", "VPC link", "VPC endpoint"
	Name   string   `json:"name"`
	Groups []string `json:"groups"`
}

// String is a rule as people say it: "in tcp 443 from 10.0.0.0/8".
func (r GroupRule) String() string {
	way, by := "in", " from "
	if r.Egress {
		way, by = "out", " to "
	}
	protocol := r.Protocol
	switch {
	case protocol == "-1":
		protocol = "all"
	case r.From == r.To:
		protocol += fmt.Sprintf(" %d", r.From)
	default:
		protocol += fmt.Sprintf(" %d-%d", r.From, r.To)
	}
	text := way + " " + protocol + by + r.IPv4 + r.IPv6 + r.PrefixList + r.Group
	if r.Description != "" {
		text += fmt.Sprintf(" (%s)", r.Description)
	}
	return text
}

// same is a rule as far as AWS tells two apart.
func (r GroupRule) same() GroupRule {
	r.Description = ""
	if r.Protocol == "-1" {
		r.From, r.To = -1, -1
	}
	return r
}

var lambdaFunction = regexp.MustCompile(`arn:aws[a-z-]*:lambda:([a-z0-9-]+):[0-9]{12}:function:[A-Za-z0-9_-]+(?::[A-Za-z0-9_$-]+)?`)

// functions are the ARNs of the functions that an API calls, its authorizers included.
func (b *Backup) functions() []string {
	all := [][]json.RawMessage{b.API.Resources, b.API.Integrations, b.Parts["authorizers"]}
	var arns []string
	for _, list := range all {
		for _, raw := range list {
			arns = append(arns, lambdaFunction.FindAllString(string(raw), -1)...)
		}
	}
	slices.Sort(arns)
	return slices.Compact(arns)
}

// vpcLinks are the ids of the VPC links that integrations use.
func (b *Backup) vpcLinks() []string {
	var ids []string
	add := func(raw json.RawMessage) {
		var in struct{ ConnectionType, ConnectionID string }
		if json.Unmarshal(raw, &in) == nil && in.ConnectionType == "VPC_LINK" && !strings.Contains(in.ConnectionID, "$") {
			ids = append(ids, in.ConnectionID)
		}
	}
	for _, raw := range b.API.Integrations {
		add(raw)
	}
	for _, raw := range b.API.Resources {
		var r resource
		if json.Unmarshal(raw, &r) != nil {
			continue
		}
		for _, m := range r.Methods {
			var in method
			if json.Unmarshal(m, &in) == nil {
				add(in.Integration)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// readGroups finds the security groups behind functions, VPC links and interface endpoints,
// and reads their rules.
func (c *Clients) readGroups(ctx context.Context, b *Backup, progress Progress) error {
	if err := c.readUsers(ctx, b, progress); err != nil {
		return err
	}
	var ids []string
	for _, u := range b.Users {
		ids = append(ids, u.Groups...)
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		progress.say("read security groups", len(b.Groups), 0)
		g, ok, err := c.readGroup(ctx, id)
		if err := b.note("security group "+id, err); err != nil {
			return err
		}
		if ok {
			b.Groups = append(b.Groups, g)
		}
	}
	return nil
}

func (c *Clients) readUsers(ctx context.Context, b *Backup, progress Progress) error {
	add := func(kind, name string, groups []string) {
		if len(groups) > 0 {
			b.Users = append(b.Users, GroupUser{kind, name, slices.Sorted(slices.Values(groups))})
		}
	}
	for _, arn := range b.functions() {
		progress.say("read the functions' networks", 0, 0)
		if region := lambdaFunction.FindStringSubmatch(arn)[1]; region != c.Region {
			b.Notes = append(b.Notes, arn+" is in another region: its security groups are not in the backup")
			continue
		}
		out, err := c.Lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &arn})
		if err := b.note("network of "+arn, err); err != nil {
			return err
		}
		if out != nil && out.VpcConfig != nil {
			add("function", arn, out.VpcConfig.SecurityGroupIds)
		}
	}
	for _, id := range b.vpcLinks() {
		raw, err := c.ask(ctx, http.MethodGet, []string{"v2", "vpclinks", id}, nil, nil)
		if b.API.Kind == REST && notFound(err) {
			continue // a link to a network load balancer: it has no groups
		}
		if err := b.note("VPC link "+id, err); err != nil {
			return err
		}
		var link struct{ SecurityGroupIDs []string }
		if raw != nil {
			if err := json.Unmarshal(raw, &link); err != nil {
				return fmt.Errorf("read VPC link %s: %w", id, err)
			}
		}
		add("VPC link", id, link.SecurityGroupIDs)
	}
	var head struct {
		Endpoint struct{ VPCEndpointIDs []string } `json:"endpointConfiguration"`
	}
	if err := json.Unmarshal(b.API.Raw, &head); err != nil {
		return fmt.Errorf("read the API: %w", err)
	}
	for _, id := range head.Endpoint.VPCEndpointIDs {
		endpoints, err := c.EC2.DescribeVPCEndpoints(ctx, id)
		if err := b.note("VPC endpoint "+id, gone(err)); err != nil {
			return err
		}
		for _, e := range endpoints {
			add("VPC endpoint", id, e.Groups)
		}
	}
	return nil
}

// readGroup reads a group and its rules; ok is false when it is not there.
func (c *Clients) readGroup(ctx context.Context, id string) (g SecurityGroup, ok bool, err error) {
	found, err := c.EC2.DescribeSecurityGroups(ctx, id)
	if err = gone(err); err != nil {
		return g, false, err
	}
	if len(found) != 1 {
		return g, false, fmt.Errorf("EC2 shows %d security groups %s", len(found), id)
	}
	s := found[0]
	g = SecurityGroup{ID: id, Name: s.Name, Description: s.Description, VPC: s.VPC, Rules: []GroupRule{}}
	rules, err := c.EC2.DescribeSecurityGroupRules(ctx, id)
	if err != nil {
		return g, false, failed("read the rules of security group "+id, err)
	}
	for _, r := range rules {
		g.Rules = append(g.Rules, ruleOf(r, s.Owner))
	}
	slices.SortFunc(g.Rules, func(a, b GroupRule) int { return strings.Compare(a.String(), b.String()) })
	return g, true, nil
}

// ruleOf is a rule of a group of owner's.
func ruleOf(r awsec2.Rule, owner string) GroupRule {
	if r.GroupOwner == owner {
		r.GroupOwner = ""
	}
	return GroupRule(r)
}

// allowRule adds a rule to a group; one that is there is no error.
func (c *Clients) allowRule(ctx context.Context, group string, r GroupRule) error {
	err := c.EC2.Authorize(ctx, group, awsec2.Rule(r))
	if err != nil && codeOf(err) != "InvalidPermission.Duplicate" {
		return failed("add a rule to security group "+group, err)
	}
	return nil
}

// revokeRule takes a rule from a group; one that is gone is no error.
func (c *Clients) revokeRule(ctx context.Context, group string, r GroupRule) error {
	r.Description = "" // or EC2 wants the very same
	err := c.EC2.Revoke(ctx, group, awsec2.Rule(r))
	if err != nil && codeOf(err) != "InvalidPermission.NotFound" {
		return failed("take a rule from security group "+group, err)
	}
	return nil
}
