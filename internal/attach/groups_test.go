package attach

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/awsec2"
	"github.com/tapway/tapway/internal/mototest"
)

// ask makes a call of EC2's that tapway does not make, and gives the text of one element of the answer. moto looks at
// the signature's scope only.
func ask(t *testing.T, moto, element string, form url.Values) string {
	t.Helper()
	form.Set("Version", "2016-11-15")
	req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, moto, strings.NewReader(form.Encode())))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0")
	res := must(http.DefaultClient.Do(req))
	defer res.Body.Close()
	answer := string(must(io.ReadAll(res.Body)))
	_, after, ok := strings.Cut(answer, "<"+element+">")
	text, _, end := strings.Cut(after, "</"+element+">")
	if res.StatusCode != http.StatusOK || !ok || !end {
		t.Fatalf("%s: status %d: %s", form.Get("Action"), res.StatusCode, answer)
	}
	return text
}

// TestRestoreSecurityGroups: rules that were lost come back, additional ones go with --prune,
// and a group that was deleted is named. EC2 is moto, API Gateway ours.
func TestRestoreSecurityGroups(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	moto := mototest.Start(t)
	cfg.HTTPClient = &http.Client{}
	w.clients.EC2 = awsec2.New(cfg, &moto, nil)
	group := func(name string) string {
		vpc := ask(t, moto, "vpcId", url.Values{"Action": {"CreateVpc"}, "CidrBlock": {"10.0.0.0/16"}})
		return ask(t, moto, "groupId", url.Values{"Action": {"CreateSecurityGroup"}, "GroupName": {name}, "GroupDescription": {"of " + name}, "VpcId": {vpc}})
	}
	link, other := group("link"), group("other")
	rules := []GroupRule{
		{Protocol: "tcp", From: 443, To: 443, IPv4: "10.0.0.0/8", Description: "office"},
		{Protocol: "tcp", From: 8000, To: 8010, IPv6: "2001:db8::/32"},
		{Protocol: "tcp", From: 5432, To: 5432, Group: other},
	}
	for _, rule := range rules {
		if err := w.clients.allowRule(t.Context(), link, rule); err != nil {
			t.Fatal(err)
		}
	}
	w.AddVPCLink("vlink9", link, other)
	var api struct{ APIID string }
	w.call(t, "POST", "/v2/apis", map[string]any{"name": "shop", "protocolType": "HTTP"}, &api)
	w.call(t, "POST", "/v2/apis/"+api.APIID+"/integrations", map[string]any{"integrationType": "HTTP_PROXY", "integrationMethod": "GET", "payloadFormatVersion": "1.0",
		"integrationUri": "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/a/1/2", "connectionType": "VPC_LINK", "connectionId": "vlink9"}, nil)

	b := w.backup(t, api.APIID)
	if len(b.Groups) != 2 || len(b.Notes) != 0 || len(b.Users) != 1 || b.Users[0].Kind != "VPC link" {
		t.Fatalf("groups %+v, users %+v, notes %v", b.Groups, b.Users, b.Notes)
	}
	at := slices.IndexFunc(b.Groups, func(g SecurityGroup) bool { return g.ID == link })
	if at < 0 || len(b.Groups[at].Rules) != 4 { // and the one that lets everything out
		t.Fatalf("%+v", b.Groups)
	}
	for _, rule := range rules[:2] {
		if err := w.clients.revokeRule(t.Context(), link, rule); err != nil {
			t.Fatal(err)
		}
	}
	additional := GroupRule{Protocol: "tcp", From: 22, To: 22, IPv4: "0.0.0.0/0"}
	if err := w.clients.EC2.Authorize(t.Context(), link, awsec2.Rule(additional)); err != nil {
		t.Fatal(err)
	}
	p, err := w.restore(t, b, api.APIID, RestoreOptions{})
	if err != nil || len(p.Steps) != 2 || len(p.Extra) != 1 || !strings.Contains(p.Extra[0], "in tcp 22 from 0.0.0.0/0") {
		t.Fatalf("%+v, %v", p, err)
	}
	w.restored(t, b, api.APIID)
	if g, _, err := w.clients.readGroup(t.Context(), link); err != nil || !slices.Equal(g.Rules, b.Groups[at].Rules) {
		t.Fatalf("%v\nwas %v: %v", g.Rules, b.Groups[at].Rules, err)
	}
	for _, rule := range []GroupRule{rules[0], rules[2]} { // there already
		if err := w.clients.allowRule(t.Context(), link, rule); err != nil {
			t.Errorf("a rule that is there: %v", err)
		}
	}

	if err := w.clients.revokeRule(t.Context(), link, rules[2]); err != nil {
		t.Fatal(err)
	}
	w.AddVPCLink("vlink9", link)
	ask(t, moto, "requestId", url.Values{"Action": {"DeleteSecurityGroup"}, "GroupId": {other}})
	p, err = w.clients.PlanRestore(t.Context(), b, api.APIID, RestoreOptions{}, nil)
	if err != nil || len(p.Left) != 2 || !strings.Contains(p.Left[0], other+" (other) was deleted") || !strings.Contains(p.Left[1], "VPC link vlink9 had the security groups") {
		t.Fatalf("%+v, %v", p, err)
	}
}

func TestRuleText(t *testing.T) {
	for want, r := range map[string]GroupRule{
		"in tcp 443 from 10.0.0.0/8 (office)": {Protocol: "tcp", From: 443, To: 443, IPv4: "10.0.0.0/8", Description: "office"},
		"out all to ::/0":                     {Egress: true, Protocol: "-1", From: -1, To: -1, IPv6: "::/0"},
		"in udp 5-6 from sg-1":                {Protocol: "udp", From: 5, To: 6, Group: "sg-1"},
		"out tcp 443 to pl-1":                 {Egress: true, Protocol: "tcp", From: 443, To: 443, PrefixList: "pl-1"},
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	shown := awsec2.Rule{Protocol: "tcp", From: 1, To: 2, Group: "sg-2", GroupOwner: "222"}
	if r := ruleOf(shown, "111"); r.GroupOwner != "222" || r.Group != "sg-2" {
		t.Errorf("of another account: %+v", r)
	}
	if r := ruleOf(shown, "222"); r.GroupOwner != "" {
		t.Errorf("of its own account: %+v", r)
	}
}
