package attach

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// startMoto gives the address of somebody else's fake of EC2.
func startMoto(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("moto_server")
	if err != nil {
		if os.Getenv("CI") == "" {
			t.Skip("moto_server is missing here: pip install moto[server]")
		}
		t.Fatal("moto_server is missing: pip install moto[server]")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-H", "127.0.0.1", "-p", port)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &output, &output, 5*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	t.Cleanup(func() { cancel(); <-gone })
	url := "http://127.0.0.1:" + port
	for deadline := time.Now().Add(time.Minute); ; {
		if res, err := http.Get(url + "/moto-api/"); err == nil {
			res.Body.Close()
			return url
		}
		select {
		case err := <-gone:
			gone <- err
			t.Fatalf("moto_server ended: %v: %s", err, output.String())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("moto_server does not answer: %s", output.String())
		}
	}
}

// TestRestoreSecurityGroups: rules that were lost come back, additional ones go with --prune,
// and a group that was deleted is named. EC2 is moto, API Gateway ours.
func TestRestoreSecurityGroups(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.BaseEndpoint, cfg.HTTPClient = aws.String(startMoto(t)), &http.Client{}
	client := ec2.NewFromConfig(cfg)
	w.clients.EC2 = client
	group := func(name string) string {
		vpc := must(client.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")}))
		out := must(client.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{GroupName: &name, Description: aws.String("of " + name), VpcId: vpc.Vpc.VpcId}))
		return aws.ToString(out.GroupId)
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
	if _, err := client.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &link, IpPermissions: additional.permission()}); err != nil {
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
	if _, err := client.DeleteSecurityGroup(t.Context(), &ec2.DeleteSecurityGroupInput{GroupId: &other}); err != nil {
		t.Fatal(err)
	}
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
	shown := ec2types.SecurityGroupRule{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(1), ToPort: aws.Int32(2),
		ReferencedGroupInfo: &ec2types.ReferencedSecurityGroup{GroupId: aws.String("sg-2"), UserId: aws.String("222")}}
	if r := ruleOf(shown, "111"); r.GroupOwner != "222" || r.Group != "sg-2" {
		t.Errorf("of another account: %+v", r)
	}
	if r := ruleOf(shown, "222"); r.GroupOwner != "" {
		t.Errorf("of its own account: %+v", r)
	}
}
