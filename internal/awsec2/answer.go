package awsec2

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strconv"
)

// decode reads an answer into out; nil reads only whether it is one to this operation. A list of EC2's has
// its members in <item>; what is not asked for, such as tags, is passed over.
func decode(answer []byte, operation string, out any) error {
	if out == nil {
		out = new(struct{})
	}
	d := xml.NewDecoder(bytes.NewReader(answer))
	for {
		token, err := d.Token()
		if err != nil {
			return fmt.Errorf("the answer is not understood: %w", err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if want := operation + "Response"; start.Name.Local != want {
			return fmt.Errorf("the answer is not understood: it is <%s>, not <%s>", start.Name.Local, want)
		}
		if err := d.DecodeElement(out, &start); err != nil {
			return fmt.Errorf("the answer is not understood: %w", err)
		}
		return nil
	}
}

type endpointsAnswer struct {
	Endpoints []struct {
		ID     string   `xml:"vpcEndpointId"`
		Groups []string `xml:"groupSet>item>groupId"`
	} `xml:"vpcEndpointSet>item"`
	Next string `xml:"nextToken"`
}

type groupsAnswer struct {
	Groups []struct {
		ID          string `xml:"groupId"`
		Name        string `xml:"groupName"`
		Description string `xml:"groupDescription"`
		VPC         string `xml:"vpcId"`
		Owner       string `xml:"ownerId"`
	} `xml:"securityGroupInfo>item"`
	Next string `xml:"nextToken"`
}

type rulesAnswer struct {
	Rules []ruleAnswer `xml:"securityGroupRuleSet>item"`
	Next  string       `xml:"nextToken"`
}

type ruleAnswer struct {
	Egress      bool   `xml:"isEgress"`
	Protocol    string `xml:"ipProtocol"`
	From        port   `xml:"fromPort"`
	To          port   `xml:"toPort"`
	Description string `xml:"description"`
	IPv4        string `xml:"cidrIpv4"`
	IPv6        string `xml:"cidrIpv6"`
	PrefixList  string `xml:"prefixListId"`
	Group       struct {
		ID    string `xml:"groupId"`
		Owner string `xml:"userId"`
	} `xml:"referencedGroupInfo"`
}

// port is a port that EC2 told or did not. To encoding/xml's own numbers an empty element is 0.
type port struct {
	n    int32
	told bool
}

func (p *port) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	n, err := strconv.ParseInt(string(text), 10, 32)
	*p = port{int32(n), true}
	return err
}

// rule makes the ports -1 unless EC2 told both.
func (a *ruleAnswer) rule() Rule {
	r := Rule{
		Egress: a.Egress, Protocol: a.Protocol, From: -1, To: -1, Description: a.Description,
		IPv4: a.IPv4, IPv6: a.IPv6, PrefixList: a.PrefixList, Group: a.Group.ID, GroupOwner: a.Group.Owner,
	}
	if a.From.told && a.To.told {
		r.From, r.To = a.From.n, a.To.n
	}
	return r
}
