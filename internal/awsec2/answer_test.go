package awsec2

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// xmlOf is an answer as EC2 writes it.
func xmlOf(operation, inside string) string {
	return fmt.Sprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%[1]sResponse xmlns=\"http://ec2.amazonaws.com/doc/%[2]s/\">\n    <requestId>req-1</requestId>\n%[3]s</%[1]sResponse>", operation, version, inside)
}

// rulesXML writes rules as EC2 does; what a rule lacks is not written.
func rulesXML(next string, rules ...Rule) string {
	var b strings.Builder
	add := func(name, text string) {
		if text != "" {
			b.WriteString("<" + name + ">")
			xml.EscapeText(&b, []byte(text))
			b.WriteString("</" + name + ">\n")
		}
	}
	b.WriteString("<securityGroupRuleSet>")
	for i, r := range rules {
		b.WriteString("<item>")
		add("securityGroupRuleId", fmt.Sprintf("sgr-%d", i))
		add("groupId", "sg-1")
		add("groupOwnerId", "111111111111")
		add("isEgress", fmt.Sprint(r.Egress))
		add("ipProtocol", r.Protocol)
		add("fromPort", fmt.Sprint(r.From))
		add("toPort", fmt.Sprint(r.To))
		add("cidrIpv4", r.IPv4)
		add("cidrIpv6", r.IPv6)
		add("prefixListId", r.PrefixList)
		if r.Group+r.GroupOwner != "" {
			b.WriteString("<referencedGroupInfo>")
			add("groupId", r.Group)
			add("userId", r.GroupOwner)
			b.WriteString("</referencedGroupInfo>")
		}
		add("description", r.Description)
		b.WriteString("<tagSet><item><key>description</key><value>of the tag</value></item></tagSet></item>")
	}
	b.WriteString("</securityGroupRuleSet>")
	add("nextToken", next)
	return xmlOf("DescribeSecurityGroupRules", b.String())
}

func TestDecodeRules(t *testing.T) {
	item := func(inside string) string {
		return xmlOf("DescribeSecurityGroupRules", "<securityGroupRuleSet><item>"+inside+"</item></securityGroupRuleSet>")
	}
	for name, c := range map[string]struct {
		answer string
		want   Rule
	}{
		"IPv4": {item("<isEgress>false</isEgress><ipProtocol>tcp</ipProtocol><fromPort>443</fromPort><toPort>443</toPort><cidrIpv4>10.0.0.0/8</cidrIpv4><tagSet/>"),
			Rule{Protocol: "tcp", From: 443, To: 443, IPv4: "10.0.0.0/8"}},
		"IPv6, all, to": {item("<isEgress>true</isEgress><ipProtocol>-1</ipProtocol><fromPort>-1</fromPort><toPort>-1</toPort><cidrIpv6>::/0</cidrIpv6>"),
			Rule{Egress: true, Protocol: "-1", From: -1, To: -1, IPv6: "::/0"}},
		"a prefix list, a range": {item("<ipProtocol>udp</ipProtocol><fromPort>0</fromPort><toPort>65535</toPort><prefixListId>pl-1</prefixListId>"),
			Rule{Protocol: "udp", To: 65535, PrefixList: "pl-1"}},
		"a group's users, in another account and peered": {item("<groupId>sg-1</groupId><groupOwnerId>111</groupOwnerId><ipProtocol>tcp</ipProtocol><fromPort>1</fromPort><toPort>2</toPort>" +
			"<referencedGroupInfo><groupId>sg-2</groupId><userId>222</userId><vpcId>vpc-2</vpcId><vpcPeeringConnectionId>pcx-1</vpcPeeringConnectionId><peeringStatus>active</peeringStatus></referencedGroupInfo>"),
			Rule{Protocol: "tcp", From: 1, To: 2, Group: "sg-2", GroupOwner: "222"}},
		"a description, escaped": {item("<ipProtocol>tcp</ipProtocol><fromPort>1</fromPort><toPort>1</toPort><cidrIpv4>10.0.0.1/32</cidrIpv4><description> R&amp;D &lt;büro&gt; </description>"),
			Rule{Protocol: "tcp", From: 1, To: 1, IPv4: "10.0.0.1/32", Description: " R&D <büro> "}},
		"tags are no description": {item("<ipProtocol>50</ipProtocol><cidrIpv4>10.0.0.0/8</cidrIpv4><tagSet><item><key>a</key><value>b</value><description>of a tag</description></item></tagSet>"),
			Rule{Protocol: "50", From: -1, To: -1, IPv4: "10.0.0.0/8"}},
		"no ports": {item("<ipProtocol>-1</ipProtocol><fromPort/><toPort></toPort>"), Rule{Protocol: "-1", From: -1, To: -1}},
		"one port": {item("<ipProtocol>tcp</ipProtocol><fromPort>1</fromPort>"), Rule{Protocol: "tcp", From: -1, To: -1}},
		"ICMP":     {item("<ipProtocol>icmp</ipProtocol><fromPort>8</fromPort><toPort>-1</toPort>"), Rule{Protocol: "icmp", From: 8, To: -1}},
	} {
		var got rulesAnswer
		if err := decode([]byte(c.answer), "DescribeSecurityGroupRules", &got); err != nil || len(got.Rules) != 1 || got.Rules[0].rule() != c.want || got.Next != "" {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	var none rulesAnswer
	if err := decode([]byte(xmlOf("DescribeSecurityGroupRules", "<securityGroupRuleSet/>")), "DescribeSecurityGroupRules", &none); err != nil || len(none.Rules) != 0 {
		t.Errorf("no rules: %+v, %v", none, err)
	}
}

func TestDecodeGroupsAndEndpoints(t *testing.T) {
	var groups groupsAnswer
	err := decode([]byte(xmlOf("DescribeSecurityGroups", `<securityGroupInfo><item><ownerId>111</ownerId><groupId>sg-1</groupId><groupName>link</groupName>
		<groupDescription>of a &quot;link&quot;</groupDescription><vpcId>vpc-1</vpcId>
		<ipPermissions><item><ipProtocol>tcp</ipProtocol><groups><item><userId>222</userId><groupId>sg-2</groupId><groupName>x</groupName></item></groups></item></ipPermissions>
		<ipPermissionsEgress/><tagSet><item><key>groupName</key><value>v</value></item></tagSet></item></securityGroupInfo><nextToken>more</nextToken>`)), "DescribeSecurityGroups", &groups)
	want := SecurityGroup{ID: "sg-1", Name: "link", Description: `of a "link"`, VPC: "vpc-1", Owner: "111"}
	if err != nil || len(groups.Groups) != 1 || SecurityGroup(groups.Groups[0]) != want || groups.Next != "more" {
		t.Errorf("%+v, %v; want %+v", groups, err, want)
	}
	var endpoints endpointsAnswer
	err = decode([]byte(xmlOf("DescribeVpcEndpoints", `<vpcEndpointSet><item><vpcEndpointId>vpce-1</vpcEndpointId><groupSet><item><groupId>sg-1</groupId><groupName>a</groupName></item>
		<item><groupId>sg-2</groupId></item></groupSet><tagSet><item><key>k</key></item></tagSet></item><item><vpcEndpointId>vpce-2</vpcEndpointId><groupSet/></item></vpcEndpointSet>`)), "DescribeVpcEndpoints", &endpoints)
	if err != nil || len(endpoints.Endpoints) != 2 || endpoints.Endpoints[0].ID != "vpce-1" || !slices.Equal(endpoints.Endpoints[0].Groups, []string{"sg-1", "sg-2"}) || endpoints.Endpoints[1].Groups != nil {
		t.Errorf("%+v, %v", endpoints, err)
	}
}

// TestDecodeRefuses: what is not the whole answer to the call is never taken for an empty list.
func TestDecodeRefuses(t *testing.T) {
	whole := rulesXML("", Rule{Protocol: "tcp", IPv4: "10.0.0.0/8"})
	for name, answer := range map[string]string{
		"nothing":              "",
		"a page":               "<!DOCTYPE html><html><body>please log in</body></html>",
		"JSON":                 "{}",
		"another call's":       xmlOf("DescribeSecurityGroups", ""),
		"an error":             "<Response><Errors><Error><Code>X</Code></Error></Errors></Response>",
		"cut off":              whole[:len(whole)-1],
		"cut off in the rules": whole[:strings.Index(whole, "</item>")],
		"a port too high":      strings.Replace(whole, "<fromPort>0<", "<fromPort>2147483648<", 1),
		"a port that is none":  strings.Replace(whole, "<toPort>0<", "<toPort>http<", 1),
		"a way that is none":   strings.Replace(whole, "<isEgress>false<", "<isEgress>out<", 1),
	} {
		var got rulesAnswer
		if err := decode([]byte(answer), "DescribeSecurityGroupRules", &got); err == nil || !strings.Contains(err.Error(), "is not understood") {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if err := decode([]byte(whole), "DescribeSecurityGroupRules", &rulesAnswer{}); err != nil {
		t.Errorf("the whole: %v", err)
	}
	if err := decode([]byte(xmlOf("RevokeSecurityGroupEgress", "<return>true</return>")), "RevokeSecurityGroupIngress", nil); err == nil {
		t.Error("the answer to another call, with nothing to read in it")
	}
}

func TestRefusal(t *testing.T) {
	const written = `<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>InvalidGroup.NotFound</Code><Message>The security group 'sg-1'
  does not exist</Message></Error></Errors><RequestID>req-1</RequestID></Response>`
	for name, c := range map[string]struct {
		answer string
		want   Error
	}{
		"EC2's":   {written, Error{400, "InvalidGroup.NotFound", "The security group 'sg-1' does not exist", "req-1"}},
		"no code": {"<Response><Errors><Error><Message>m</Message></Error></Errors></Response>", Error{400, "UnknownError", "m", "in the header"}},
		"a page":  {"<html><body>502</body></html>", Error{400, "UnknownError", "", "in the header"}},
		"nothing": {"", Error{400, "UnknownError", "", "in the header"}},
	} {
		got := refusal(&http.Response{StatusCode: 400, Header: http.Header{"X-Amzn-Requestid": {"in the header"}}}, []byte(c.answer))
		if *got != c.want {
			t.Errorf("%s: %+v, want %+v", name, *got, c.want)
		}
	}
}

// FuzzDecode: what is read of an answer of rules is read again from an answer that says the same.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(rulesXML("more", Rule{Protocol: "tcp", From: 1, To: 2, IPv4: "10.0.0.0/8", Description: "a & b"}, Rule{Egress: true, Protocol: "-1", From: -1, To: -1, Group: "sg-2", GroupOwner: "222"})))
	f.Add([]byte(xmlOf("DescribeSecurityGroups", "<securityGroupInfo><item><groupId>sg-1</groupId></item></securityGroupInfo>")))
	f.Add([]byte(xmlOf("DescribeVpcEndpoints", "<vpcEndpointSet><item><groupSet><item><groupId>sg-1</groupId></item></groupSet></item></vpcEndpointSet>")))
	f.Add([]byte("<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if e := refusal(&http.Response{StatusCode: 400}, answer); e.Code == "" || e.Status != 400 {
			t.Errorf("%+v", e)
		}
		for operation, out := range map[string]any{"DescribeSecurityGroups": &groupsAnswer{}, "DescribeVpcEndpoints": &endpointsAnswer{}, "RevokeSecurityGroupEgress": nil} {
			if err := decode(answer, operation, out); err == nil && !strings.Contains(string(answer), operation) {
				t.Errorf("%s: %+v", operation, out)
			}
		}
		read := func(answer []byte) (rules []Rule, next string, err error) {
			var page rulesAnswer
			err = decode(answer, "DescribeSecurityGroupRules", &page)
			for i := range page.Rules {
				rules = append(rules, page.Rules[i].rule())
			}
			return rules, page.Next, err
		}
		rules, next, err := read(answer)
		if err != nil {
			return
		}
		again, nextAgain, err := read([]byte(rulesXML(next, rules...)))
		if err != nil || !reflect.DeepEqual(again, rules) || nextAgain != next {
			t.Errorf("%+v %q, then %+v %q, %v", rules, next, again, nextAgain, err)
		}
	})
}
