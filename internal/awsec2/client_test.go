package awsec2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
)

// fake is an EC2 that answers with what it is given, in turn, and keeps what it was asked.
type fake struct {
	answers []answer
	asked   []url.Values
}

type answer struct {
	status int // 0: the connection breaks off in the middle of text
	text   string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.URL.Path != "/" {
		http.Error(w, "not a call", http.StatusTeapot)
		return
	}
	f.asked = append(f.asked, r.PostForm)
	if len(f.answers) == 0 {
		http.Error(w, "asked too often", http.StatusTeapot)
		return
	}
	a := f.answers[0]
	f.answers = f.answers[1:]
	if a.status == 0 {
		w.Header().Set("Content-Length", fmt.Sprint(2*len(a.text)+1))
		io.WriteString(w, a.text)
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(a.status)
	io.WriteString(w, a.text)
}

func refused(status int, code, message string) answer {
	return answer{status, "<Response><Errors><Error><Code>" + code + "</Code><Message>" + message + "</Message></Error></Errors><RequestID>req-1</RequestID></Response>"}
}

// client asks f, tries a call at most three times and waits pause between the tries.
func (f *fake) client(t *testing.T, pause time.Duration) *Client {
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	cfg := aws.Config{Region: "eu-west-1", Credentials: keys}
	return New(cfg, &srv.URL, retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 3
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return pause, nil })
	}))
}

var keys = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "s3cr3t", SessionToken: "tok"}, nil
})

func TestPages(t *testing.T) {
	one, two := Rule{Protocol: "tcp", From: 1, To: 2, IPv4: "10.0.0.0/8"}, Rule{Egress: true, Protocol: "-1", From: -1, To: -1, IPv6: "::/0"}
	f := &fake{answers: []answer{{200, rulesXML("a+b/c=", one)}, {200, rulesXML("d")}, {200, rulesXML("", two)}}}
	rules, err := f.client(t, 0).DescribeSecurityGroupRules(t.Context(), "sg-1")
	if err != nil || !slices.Equal(rules, []Rule{one, two}) {
		t.Fatalf("%+v, %v", rules, err)
	}
	for i, token := range []string{"", "a+b/c=", "d"} {
		want := url.Values{"Action": {"DescribeSecurityGroupRules"}, "Version": {"2016-11-15"}, "Filter.1.Name": {"group-id"}, "Filter.1.Value.1": {"sg-1"}}
		if token != "" {
			want.Set("NextToken", token)
		}
		if !reflect.DeepEqual(f.asked[i], want) {
			t.Errorf("page %d was asked for by %v, want %v", i, f.asked[i], want)
		}
	}
}

func TestDescribe(t *testing.T) {
	f := &fake{answers: []answer{
		{200, xmlOf("DescribeSecurityGroups", "<securityGroupInfo><item><groupId>sg-1</groupId></item></securityGroupInfo><nextToken>n</nextToken>")},
		{200, xmlOf("DescribeSecurityGroups", "<securityGroupInfo><item><groupId>sg-2</groupId></item></securityGroupInfo>")},
		{200, xmlOf("DescribeVpcEndpoints", "<vpcEndpointSet><item><vpcEndpointId>vpce-1</vpcEndpointId></item></vpcEndpointSet><nextToken>n</nextToken>")},
		{200, xmlOf("DescribeVpcEndpoints", "<vpcEndpointSet><item><vpcEndpointId>vpce-2</vpcEndpointId></item></vpcEndpointSet>")},
	}}
	c := f.client(t, 0)
	groups, err := c.DescribeSecurityGroups(t.Context(), "sg-1", "sg-2")
	if err != nil || len(groups) != 2 || groups[0].ID != "sg-1" || groups[1].ID != "sg-2" {
		t.Errorf("%+v, %v", groups, err)
	}
	endpoints, err := c.DescribeVPCEndpoints(t.Context(), "vpce-1", "vpce-2")
	if err != nil || len(endpoints) != 2 || endpoints[0].ID != "vpce-1" || endpoints[1].ID != "vpce-2" {
		t.Errorf("%+v, %v", endpoints, err)
	}
	if a := f.asked[0]; a.Get("GroupId.1") != "sg-1" || a.Get("GroupId.2") != "sg-2" || a.Get("NextToken") != "" || f.asked[1].Get("NextToken") != "n" {
		t.Errorf("%v", f.asked)
	}
	if a := f.asked[2]; a.Get("VpcEndpointId.1") != "vpce-1" || a.Get("VpcEndpointId.2") != "vpce-2" || f.asked[3].Get("NextToken") != "n" {
		t.Errorf("%v", f.asked)
	}
}

func TestPermission(t *testing.T) {
	for name, c := range map[string]struct {
		rule Rule
		way  string
		want string // behind "IpPermissions.1."
	}{
		"IPv4":              {Rule{Protocol: "tcp", From: 0, To: 443, IPv4: "10.0.0.0/8", Description: "R&D"}, "Ingress", "FromPort=0 IpProtocol=tcp IpRanges.1.CidrIp=10.0.0.0/8 IpRanges.1.Description=R&D ToPort=443"},
		"IPv6, all, out":    {Rule{Egress: true, Protocol: "-1", From: -1, To: -1, IPv6: "::/0", Description: "d"}, "Egress", "IpProtocol=-1 Ipv6Ranges.1.CidrIpv6=::/0 Ipv6Ranges.1.Description=d"},
		"a prefix list":     {Rule{Egress: true, Protocol: "udp", From: 5, To: 6, PrefixList: "pl-1", Description: "d"}, "Egress", "FromPort=5 IpProtocol=udp PrefixListIds.1.Description=d PrefixListIds.1.PrefixListId=pl-1 ToPort=6"},
		"a group":           {Rule{Protocol: "icmp", From: 8, To: -1, Group: "sg-2", Description: "d"}, "Ingress", "FromPort=8 Groups.1.Description=d Groups.1.GroupId=sg-2 IpProtocol=icmp ToPort=-1"},
		"another account's": {Rule{Protocol: "tcp", From: 1, To: 1, Group: "sg-2", GroupOwner: "222"}, "Ingress", "FromPort=1 Groups.1.GroupId=sg-2 Groups.1.UserId=222 IpProtocol=tcp ToPort=1"},
	} {
		f := &fake{answers: []answer{{200, xmlOf("AuthorizeSecurityGroup"+c.way, "<return>true</return>")}, {200, xmlOf("RevokeSecurityGroup"+c.way, "<return>true</return>")}}}
		client := f.client(t, 0)
		if err := errors.Join(client.Authorize(t.Context(), "sg-1", c.rule), client.Revoke(t.Context(), "sg-1", c.rule)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i, call := range []string{"Authorize", "Revoke"} {
			want := []string{"Action=" + call + "SecurityGroup" + c.way, "GroupId=sg-1", "Version=2016-11-15"}
			for word := range strings.FieldsSeq(c.want) {
				want = append(want, "IpPermissions.1."+word)
			}
			var got []string
			for key, values := range f.asked[i] {
				got = append(got, key+"="+strings.Join(values, "|"))
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s sent %q, want %q", name, call, got, want)
			}
		}
	}
}

func TestTriesAgain(t *testing.T) {
	good := answer{200, rulesXML("", Rule{Protocol: "tcp", IPv4: "10.0.0.0/8"})}
	limit := refused(503, "RequestLimitExceeded", "Request limit exceeded.")
	for name, c := range map[string]struct {
		answers []answer
		calls   int
		code    string // of the error; "": none
	}{
		"at once":                       {[]answer{good}, 1, ""},
		"too many calls":                {[]answer{limit, limit, good}, 3, ""},
		"too many calls for three":      {[]answer{limit, limit, limit, good}, 3, "RequestLimitExceeded"},
		"too many calls, by status 400": {[]answer{refused(400, "RequestLimitExceeded", ""), good}, 2, ""},
		"500":                           {[]answer{refused(500, "InternalError", ""), good}, 2, ""},
		"a gateway's page":              {[]answer{{502, "<html>"}, good}, 2, ""},
		"cut off":                       {[]answer{{0, good.text}, good}, 2, ""},
		"not there":                     {[]answer{refused(400, "InvalidGroup.NotFound", ""), good}, 1, "InvalidGroup.NotFound"},
		"not allowed":                   {[]answer{refused(403, "UnauthorizedOperation", ""), good}, 1, "UnauthorizedOperation"},
		"not understood":                {[]answer{{200, "<html></html>"}, good}, 1, "-"},
		"a redirection":                 {[]answer{{307, ""}, good}, 1, "UnknownError"},
	} {
		f := &fake{answers: c.answers}
		rules, err := f.client(t, 0).DescribeSecurityGroupRules(t.Context(), "sg-1")
		code := ""
		var api smithy.APIError
		if errors.As(err, &api) {
			code = api.ErrorCode()
		} else if err != nil {
			code = "-"
		}
		if code != c.code || len(f.asked) != c.calls || (err == nil) != (len(rules) == 1) {
			t.Errorf("%s: %d calls, %v; want %d, %q", name, len(f.asked), err, c.calls, c.code)
		}
	}
}

func TestErrorTellsCallAndStatus(t *testing.T) {
	f := &fake{answers: []answer{refused(403, "UnauthorizedOperation", "You are not authorized to perform this operation.")}}
	err := f.client(t, 0).Revoke(t.Context(), "sg-1", Rule{Egress: true, Protocol: "-1", IPv4: "0.0.0.0/0"})
	var op *smithy.OperationError
	var status interface{ HTTPStatusCode() int }
	if !errors.As(err, &op) || op.ServiceID != "EC2" || op.OperationName != "RevokeSecurityGroupEgress" || !errors.As(err, &status) || status.HTTPStatusCode() != 403 {
		t.Fatalf("%v", err)
	}
	const want = "operation error EC2: RevokeSecurityGroupEgress, status 403, UnauthorizedOperation: You are not authorized to perform this operation. (request req-1)"
	if err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

func TestEndsWithContext(t *testing.T) {
	f := &fake{answers: []answer{refused(503, "RequestLimitExceeded", "")}}
	c := f.client(t, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.retryer = waiting{c.retryer, cancel}
	_, err := c.DescribeSecurityGroups(ctx, "sg-1")
	var api smithy.APIError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &api) || api.ErrorCode() != "RequestLimitExceeded" {
		t.Errorf("%v", err)
	}
}

// waiting tells when the wait for another try begins.
type waiting struct {
	aws.Retryer
	begins func()
}

func (w waiting) RetryDelay(n int, err error) (time.Duration, error) {
	w.begins()
	return w.Retryer.RetryDelay(n, err)
}

func TestSignature(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	c := New(aws.Config{Region: "eu-west-1", Credentials: keys}, nil, nil)
	c.now = func() time.Time { return now }
	form := url.Values{"Action": {"DescribeSecurityGroups"}, "Description": {"a b+c/ü"}}.Encode()
	req, err := c.request(t.Context(), form)
	if err != nil {
		t.Fatal(err)
	}
	if got := req.URL.String(); got != "https://ec2.eu-west-1.amazonaws.com/" {
		t.Errorf("sent to %s", got)
	}
	const sum = "AKID/20260304/eu-west-1/ec2/aws4_request, SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token, Signature="
	if got := req.Header.Get("Authorization"); !strings.Contains(got, sum) || strings.Contains(got, "s3cr3t") || req.Header.Get("X-Amz-Security-Token") != "tok" {
		t.Errorf("Authorization: %s", got)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil || string(body) != form {
		t.Errorf("the body is %q, %v", body, err)
	}
	if _, err := New(aws.Config{Region: "eu-west-1"}, nil, nil).request(t.Context(), form); err == nil || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("without credentials: %v", err)
	}
}

// source is one of a configuration's sources.
type source aws.FIPSEndpointState

func (s source) GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error) {
	return aws.FIPSEndpointState(s), aws.FIPSEndpointState(s) != aws.FIPSEndpointStateUnset, nil
}

func TestEndpoint(t *testing.T) {
	const unset, on, off = source(aws.FIPSEndpointStateUnset), source(aws.FIPSEndpointStateEnabled), source(aws.FIPSEndpointStateDisabled)
	for _, c := range []struct {
		region   string
		endpoint *string
		sources  []any
		want     string
	}{
		{"eu-west-1", nil, nil, "https://ec2.eu-west-1.amazonaws.com/"},
		{"cn-north-1", nil, nil, "https://ec2.cn-north-1.amazonaws.com.cn/"},
		{"us-east-1", nil, []any{"not one", unset, on, off}, "https://ec2-fips.us-east-1.amazonaws.com/"},
		{"us-east-1", nil, []any{off, on}, "https://ec2.us-east-1.amazonaws.com/"},
		{"us-gov-west-1", nil, []any{on}, "https://ec2.us-gov-west-1.amazonaws.com/"},
		{"us-east-1", aws.String("http://localhost:4566"), []any{on}, "http://localhost:4566/"},
		{"us-east-1", aws.String("https://proxy/ec2/"), nil, "https://proxy/ec2/"},
	} {
		if got := New(aws.Config{Region: c.region, ConfigSources: c.sources}, c.endpoint, nil).endpoint; got != c.want {
			t.Errorf("%s: %s, want %s", c.region, got, c.want)
		}
	}
}
