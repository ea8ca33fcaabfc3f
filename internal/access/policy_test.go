package access

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapway/tapway"
)

// asked is one call that a policy is asked about.
type asked struct {
	method, path, ip, stage string
	header                  http.Header
	secure                  bool
	at                      string
	facts                   *tapway.Facts
	caller                  Caller
}

func (a asked) request() *Request {
	r := &Request{HTTP: &http.Request{Method: a.method, Header: a.header}, Call: new(tapway.Call), Path: a.path, Stage: a.stage, Secure: a.secure, facts: a.facts, Caller: a.caller}
	if a.method == "" {
		r.HTTP.Method = "GET"
	}
	if a.path == "" {
		r.Path = "/pets"
	}
	if a.stage == "" {
		r.Stage = "prod"
	}
	if a.ip != "" {
		r.Client = netip.MustParseAddr(a.ip).Unmap()
	}
	r.Now = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	if a.at != "" {
		r.Now, _ = time.Parse(time.RFC3339, a.at)
	}
	return r
}

func mustPolicy(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := ParsePolicy([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}

const allowAll = `{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*"}`

func policyOf(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// TestPublishedExamples: the policies of AWS's page of examples (apigateway-resource-policies-examples)
// and of its knowledge centre do what they are there for, with neighbours.
func TestPublishedExamples(t *testing.T) {
	private := func(vpc, vpce string) *tapway.Facts { return &tapway.Facts{VPC: vpc, VPCEndpoint: vpce} }
	deny := policyOf(allowAll, `{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":["execute-api:/*"],
		"Condition":{"IpAddress":{"aws:SourceIp":["192.0.2.0/24","198.51.100.0/24"]}}}`)
	denyPrivate := policyOf(allowAll, `{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":["execute-api:/*"],
		"Condition":{"IpAddress":{"aws:VpcSourceIp":["192.0.2.0/24","198.51.100.0/24"]}}}`)
	vpc := policyOf(allowAll, `{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":["execute-api:/*"],
		"Condition":{"StringNotEquals":{"aws:SourceVpc":"vpc-1a2b3c4d"}}}`)
	vpce := policyOf(allowAll, `{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":["execute-api:/*"],
		"Condition":{"StringNotEquals":{"aws:SourceVpce":"vpce-1a2b3c4d"}}}`)
	roles := policyOf(`{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:role/developer","arn:aws:iam::111122223333:role/Admin"]},"Action":"execute-api:Invoke","Resource":["execute-api:/stage/GET/pets"]}`)
	only := policyOf(`{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:us-east-1:123456789012:abc123/*"}`,
		`{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:us-east-1:123456789012:abc123/*","Condition":{"NotIpAddress":{"aws:SourceIp":["52.36.146.106","34.216.36.206/32","205.251.233.179/32"]}}}`)
	for _, tt := range []struct {
		name, policy string
		call         asked
		want         bool
	}{
		{"range, last before", deny, asked{ip: "192.0.1.255"}, true},
		{"range, first", deny, asked{ip: "192.0.2.0"}, false},
		{"range, last", deny, asked{ip: "192.0.2.255"}, false},
		{"range, first behind", deny, asked{ip: "192.0.3.0"}, true},
		{"second range", deny, asked{ip: "198.51.100.7"}, false},
		{"IPv4 in IPv6", deny, asked{ip: "::ffff:192.0.2.7"}, false},
		{"IPv6", deny, asked{ip: "2001:db8::1"}, true},
		{"no address is known", deny, asked{}, true},
		{"private, in the range", denyPrivate, asked{ip: "192.0.2.7", facts: private("vpc-1", "vpce-1")}, false},
		{"private, beside it", denyPrivate, asked{ip: "192.0.3.7", facts: private("vpc-1", "vpce-1")}, true},
		{"private rule, public call", denyPrivate, asked{ip: "192.0.2.7"}, true},
		{"public rule, private call", deny, asked{ip: "192.0.2.7", facts: private("vpc-1", "vpce-1")}, true},
		{"the VPC", vpc, asked{facts: private("vpc-1a2b3c4d", "vpce-1")}, true},
		{"another VPC", vpc, asked{facts: private("vpc-1a2b3c4e", "vpce-1")}, false},
		{"no VPC", vpc, asked{ip: "10.0.0.1"}, false},
		{"the endpoint", vpce, asked{facts: private("vpc-1", "vpce-1a2b3c4d")}, true},
		{"another endpoint", vpce, asked{facts: private("vpc-1", "vpce-1")}, false},
		{"no endpoint", vpce, asked{ip: "10.0.0.1"}, false},
		{"role, anonymous", roles, asked{stage: "stage"}, false},
		{"role", roles, asked{stage: "stage", caller: Caller{ARN: "arn:aws:iam::111122223333:role/Admin", Account: "111122223333"}}, true},
		{"another role", roles, asked{stage: "stage", caller: Caller{ARN: "arn:aws:iam::111122223333:role/admin", Account: "111122223333"}}, false},
		{"role, another path", roles, asked{stage: "stage", path: "/pets/1", caller: Caller{ARN: "arn:aws:iam::111122223333:role/Admin"}}, false},
		{"only three", only, asked{ip: "52.36.146.106"}, true},
		{"their neighbour", only, asked{ip: "52.36.146.107"}, false},
	} {
		if v := mustPolicy(t, tt.policy).Evaluate(tt.call.request(), Invoke); v.Allowed != tt.want {
			t.Errorf("%s: %s", tt.name, v)
		}
	}
}

func TestResources(t *testing.T) {
	for _, tt := range []struct {
		resource, stage, method, path string
		want                          bool
	}{
		{"execute-api:/*", "prod", "GET", "/", true},
		{"*", "prod", "GET", "/x", true},
		{"execute-api:/prod/*", "prod", "GET", "/x", true},
		{"execute-api:/prod/*", "dev", "GET", "/x", false},
		{"execute-api:/prod/GET/pets", "prod", "GET", "/pets", true},
		{"execute-api:/prod/GET/pets", "prod", "GET", "/pets/", false},
		{"execute-api:/prod/GET/pets", "prod", "GET", "/pet", false},
		{"execute-api:/prod/GET/pets", "prod", "GET", "/petss", false},
		{"execute-api:/prod/GET/pets", "prod", "POST", "/pets", false},
		{"execute-api:/prod/GET/pets", "prod", "GET", "/Pets", false}, // letter case counts, as in AWS
		{"execute-api:/prod/GET/", "prod", "GET", "/", true},
		{"execute-api:/*/GET/pets/*", "dev", "GET", "/pets/1/toys", true}, // "*" goes over slashes
		{"execute-api:/*/GET/pets/*", "dev", "GET", "/pets", false},
		{"execute-api:/prod/GET/pets/?", "prod", "GET", "/pets/1", true},
		{"execute-api:/prod/GET/pets/?", "prod", "GET", "/pets/12", false},
		{"execute-api:/prod/GET/pets/?", "prod", "GET", "/pets/ü", true}, // one character
		{"execute-api:/prod/*/pets", "prod", "DELETE", "/pets", true},
		{"arn:aws:execute-api:eu-west-1:123456789012:abc/prod/GET/pets", "prod", "GET", "/pets", true},
		{"arn:aws:execute-api:eu-west-1:123456789012:abc/prod/GET/pets", "prod", "GET", "/pets/x", false},
		{"arn:aws-cn:execute-api:*:*:*/prod/GET/pets", "prod", "GET", "/pets", true},
		{"arn:aws:execute-api:*:*:*/GET/pets", "prod", "GET", "/pets", true}, // the first "*" is API and stage
		{"arn:aws:execute-api:*:*:*/dev/GET/pets", "prod", "GET", "/pets", false},
		{"arn:aws:execute-api:us-east-1:1:*", "prod", "GET", "/pets", true},
		{"arn:aws:execute-api:us-east-1:1:abc/*/*/a:b", "prod", "GET", "/a:b", true},
	} {
		p := mustPolicy(t, policyOf(`{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"`+tt.resource+`"}`))
		if v := p.Evaluate(asked{method: tt.method, path: tt.path, stage: tt.stage}.request(), Invoke); v.Allowed != tt.want {
			t.Errorf("%s: %s/%s%s: %v", tt.resource, tt.stage, tt.method, tt.path, v)
		}
		// NotResource means all the others.
		p = mustPolicy(t, policyOf(allowAll, `{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","NotResource":["`+tt.resource+`"]}`))
		if v := p.Evaluate(asked{method: tt.method, path: tt.path, stage: tt.stage}.request(), Invoke); v.Allowed != tt.want {
			t.Errorf("NotResource %s: %s/%s%s: %v", tt.resource, tt.stage, tt.method, tt.path, v)
		}
	}
}

// TestReadings: a path that the backend may take for another is judged as both.
func TestPolicyReadings(t *testing.T) {
	denied := mustPolicy(t, policyOf(allowAll, `{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*/GET/admin*"}`))
	public := mustPolicy(t, policyOf(`{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*/GET/public/*"}`))
	for path, want := range map[string][2]bool{
		"/admin":               {false, false},
		"/public/x":            {true, true},
		"/public/%61":          {true, true},
		"/public/a%20b;c.json": {true, true},
		"//admin":              {false, false},
		"/%61dmin":             {false, false},
		"/%2561dmin":           {false, false},
		"/public/../admin":     {false, false},
		"/public/%2e%2e/admin": {false, false},
		"/public/..;/admin/x":  {false, false},
		`/public/..\admin`:     {false, false},
		"/public/../other":     {true, false},
		"/x/../public/y":       {true, false}, // the backend may not resolve it
		"/%25252525252561":     {false, false},
	} {
		for i, p := range []*Policy{denied, public} {
			if v := p.Evaluate(asked{path: path}.request(), Invoke); v.Allowed != want[i] {
				t.Errorf("%s, policy %d: %s", path, i, v)
			}
		}
	}
}

func TestActions(t *testing.T) {
	for _, tt := range []struct {
		element         string
		invoke, invalid bool
	}{
		{`"Action":"execute-api:Invoke"`, true, false},
		{`"Action":"EXECUTE-API:invoke"`, true, false},
		{`"Action":["execute-api:InvalidateCache","execute-api:Inv*"]`, true, true},
		{`"Action":"*"`, true, true},
		{`"Action":"execute-api:?nvoke"`, true, false},
		{`"Action":"execute-api:InvalidateCache"`, false, true},
		{`"NotAction":"execute-api:InvalidateCache"`, true, false},
		{`"NotAction":"execute-api:Invoke"`, false, true},
	} {
		p := mustPolicy(t, policyOf(`{"Effect":"Allow","Principal":{"AWS":"*"},`+tt.element+`,"Resource":"*"}`))
		if got := p.Evaluate(asked{}.request(), Invoke).Allowed; got != tt.invoke {
			t.Errorf("%s: Invoke %v", tt.element, got)
		}
		if got := p.Evaluate(asked{}.request(), InvalidateCache).Allowed; got != tt.invalid {
			t.Errorf("%s: InvalidateCache %v", tt.element, got)
		}
	}
}

// TestConditions: every operator with its neighbours, and what an absent key means to each.
func TestConditions(t *testing.T) {
	agent := func(s string) asked { return asked{header: http.Header{"User-Agent": {s}}} }
	me := asked{caller: Caller{ARN: "arn:aws:iam::111122223333:role/dev/Ann", Account: "111122223333"}}
	for _, tt := range []struct {
		condition string
		call      asked
		want      bool
	}{
		{`"StringEquals":{"aws:UserAgent":"curl"}`, agent("curl"), true},
		{`"StringEquals":{"aws:UserAgent":"curl"}`, agent("Curl"), false},
		{`"StringEquals":{"aws:UserAgent":["a","curl"]}`, agent("curl"), true},
		{`"StringEquals":{"aws:UserAgent":"c*"}`, agent("curl"), false},
		{`"StringEquals":{"AWS:useragent":"curl"}`, agent("curl"), true},
		{`"StringEquals":{"aws:UserAgent":"curl"}`, asked{}, false},
		{`"StringEqualsIfExists":{"aws:UserAgent":"curl"}`, asked{}, true},
		{`"StringEqualsIfExists":{"aws:UserAgent":"curl"}`, agent("wget"), false},
		{`"StringNotEquals":{"aws:UserAgent":["a","curl"]}`, agent("curl"), false},
		{`"StringNotEquals":{"aws:UserAgent":["a","curl"]}`, agent("wget"), true},
		{`"StringNotEquals":{"aws:UserAgent":"curl"}`, asked{}, true},
		{`"StringNotEqualsIfExists":{"aws:UserAgent":"curl"}`, asked{}, true},
		{`"StringEqualsIgnoreCase":{"aws:UserAgent":"CURL"}`, agent("curl"), true},
		{`"StringNotEqualsIgnoreCase":{"aws:UserAgent":"CURL"}`, agent("curl"), false},
		{`"StringLike":{"aws:Referer":"https://*.example.com/?"}`, asked{header: http.Header{"Referer": {"https://a.b.example.com/x"}}}, true},
		{`"StringLike":{"aws:Referer":"https://*.example.com/?"}`, asked{header: http.Header{"Referer": {"https://a.b.example.com/"}}}, false},
		{`"StringNotLike":{"aws:Referer":"https://*"}`, asked{header: http.Header{"Referer": {"http://x"}}}, true},
		{`"ForAnyValue:StringEquals":{"aws:UserAgent":"curl"}`, agent("curl"), true},
		{`"ForAnyValue:StringEquals":{"aws:UserAgent":"curl"}`, asked{}, false},
		{`"ForAnyValue:StringNotEquals":{"aws:UserAgent":"curl"}`, asked{}, false},
		{`"ForAllValues:StringEquals":{"aws:UserAgent":"curl"}`, asked{}, true},
		{`"ForAllValues:StringEquals":{"aws:UserAgent":"curl"}`, agent("wget"), false},
		{`"Bool":{"aws:SecureTransport":"true"}`, asked{secure: true}, true},
		{`"Bool":{"aws:SecureTransport":true}`, asked{secure: true}, true},
		{`"Bool":{"aws:SecureTransport":"false"}`, asked{secure: true}, false},
		{`"Bool":{"aws:SecureTransport":"false"}`, asked{}, true},
		{`"Null":{"aws:SourceVpce":"true"}`, asked{}, true},
		{`"Null":{"aws:SourceVpce":"false"}`, asked{}, false},
		{`"Null":{"aws:SourceVpce":false}`, asked{facts: &tapway.Facts{VPCEndpoint: "vpce-1"}}, true},
		{`"DateGreaterThan":{"aws:CurrentTime":"2026-11-20T09:59:59Z"}`, asked{}, true},
		{`"DateGreaterThan":{"aws:CurrentTime":"2026-11-20T10:00:00Z"}`, asked{}, false},
		{`"DateGreaterThanEquals":{"aws:CurrentTime":"2026-11-20T10:00:00Z"}`, asked{}, true},
		{`"DateLessThan":{"aws:CurrentTime":"2026-11-20T11:00:00+01:00"}`, asked{}, false},
		{`"DateLessThanEquals":{"aws:CurrentTime":"2026-11-20T11:00:00+01:00"}`, asked{}, true},
		{`"DateLessThan":{"aws:CurrentTime":"2026-11-21"}`, asked{}, true},
		{`"DateEquals":{"aws:EpochTime":"1795168800"}`, asked{}, true},
		{`"DateNotEquals":{"aws:EpochTime":1795168800}`, asked{}, false},
		{`"NumericEquals":{"aws:EpochTime":1795168800}`, asked{}, true},
		{`"NumericNotEquals":{"aws:EpochTime":"1795168800"}`, asked{}, false},
		{`"NumericLessThan":{"aws:EpochTime":"1795168800"}`, asked{}, false},
		{`"NumericLessThan":{"aws:EpochTime":"1795168801"}`, asked{}, true},
		{`"NumericLessThanEquals":{"aws:EpochTime":"1795168800"}`, asked{}, true},
		{`"NumericGreaterThan":{"aws:EpochTime":"1795168799.5"}`, asked{}, true},
		{`"NumericGreaterThanEquals":{"aws:EpochTime":"1795168801"}`, asked{}, false},
		{`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`, asked{ip: "203.0.113.255"}, true},
		{`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`, asked{ip: "203.0.114.0"}, false},
		{`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`, asked{}, false},
		{`"IpAddressIfExists":{"aws:SourceIp":"203.0.113.0/24"}`, asked{}, true},
		{`"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}`, asked{ip: "203.0.113.0"}, false},
		{`"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}`, asked{ip: "203.0.112.255"}, true},
		{`"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}`, asked{}, true},
		{`"IpAddress":{"aws:SourceIp":"2001:db8::/32"}`, asked{ip: "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"}, true},
		{`"IpAddress":{"aws:SourceIp":"2001:db8::/32"}`, asked{ip: "2001:db9::"}, false},
		{`"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}`, asked{ip: "2001:db8::1"}, false},
		{`"IpAddress":{"aws:SourceIp":["0.0.0.0/0","::/0"]}`, asked{ip: "2001:db8::1"}, true},
		{`"StringEquals":{"aws:SourceIp":"203.0.113.7"}`, asked{ip: "203.0.113.7"}, true},
		{`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/dev/*"}`, me, true},
		{`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/*"}`, me, true},
		{`"ArnLike":{"aws:PrincipalArn":"arn:aws:*:role/dev/Ann:x:y"}`, me, false}, // "*" does not go over colons
		{`"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/dev/*"}`, asked{}, true},
		{`"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::*:role/dev/*"}`, me, false},
		{`"StringEquals":{"aws:PrincipalAccount":"111122223333"}`, me, true},
		{`"StringEquals":{"aws:UserAgent":"curl"},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, agent("curl"), false}, // all must hold
	} {
		p := mustPolicy(t, policyOf(`{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"*","Condition":{`+tt.condition+`}}`))
		if v := p.Evaluate(tt.call.request(), Invoke); v.Allowed != tt.want {
			t.Errorf("%s of %+v: %s", tt.condition, tt.call, v)
		}
	}
}

// TestPolicyProblems: what cannot be carried out is refused, with its place.
func TestPolicyProblems(t *testing.T) {
	statement := func(members string) string {
		return "{\n\"Version\":\"2012-10-17\",\n\"Statement\":[\n{" + members + "}]}"
	}
	const rest = `"Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*"`
	with := func(condition string) string {
		return statement(`"Effect":"Deny",` + rest + `,"Condition":{` + condition + `}`)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "the policy ends too early"},
		{"no JSON", "{\n  x}", "line 2, column 3: not valid JSON"},
		{"half", `{"Version":`, "the policy ends too early"},
		{"two", policyOf(allowAll) + "{}", "something stands behind the policy"},
		{"array", `[]`, "want an object, found an array"},
		{"version", `{"Version":"2020-01-01","Statement":[` + allowAll + `]}`, `line 1, column 12: "2020-01-01" is no version`},
		{"element", `{"version":"2012-10-17"}`, `"version" is no element of a policy`},
		{"no statement", `{"Version":"2012-10-17"}`, "the policy has no Statement"},
		{"empty", `{"Statement":[]}`, "Statement is empty"},
		{"twice", `{"Statement":` + "{\"Effect\":\"Deny\",\"Effect\":\"Allow\"}}", `line 1, column 31: "Effect" stands here twice`},
		{"effect", statement(`"Effect":"allow",` + rest), `line 4, column 11: "allow" is no Effect; write "Allow" or "Deny"`},
		{"no effect", statement(rest), "the statement has no Effect"},
		{"no principal", statement(`"Effect":"Allow","Action":"*","Resource":"*"`), "the statement has no Principal"},
		{"NotPrincipal", statement(`"Effect":"Deny","NotPrincipal":"*","Action":"*","Resource":"*"`), "NotPrincipal is not carried out"},
		{"principal", statement(`"Effect":"Allow","Principal":"me","Action":"*","Resource":"*"`), `"me" is no Principal`},
		{"wild principal", statement(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::1:role/*"},"Action":"*","Resource":"*"`), `is no AWS principal`},
		{"kind of principal", statement(`"Effect":"Allow","Principal":{"aws":"*"},"Action":"*","Resource":"*"`), `"aws" is no kind of principal; write AWS`},
		{"no action", statement(`"Effect":"Allow","Principal":"*","Resource":"*"`), "needs one of Action and NotAction"},
		{"both", statement(`"Effect":"Allow","Principal":"*","Action":"*","NotAction":"*","Resource":"*"`), "needs one of Action and NotAction"},
		{"action", statement(`"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"`), `"s3:GetObject" is no action of API Gateway's`},
		{"resource", statement(`"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::b"`), `"arn:aws:s3:::b" is no resource`},
		{"resource without a stage", statement(`"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:execute-api:r:1:api"`), "behind the API's name"},
		{"short resource", statement(`"Effect":"Allow","Principal":"*","Action":"*","Resource":"execute-api:prod"`), "write execute-api:/stage/METHOD/path"},
		{"no resources", statement(`"Effect":"Allow","Principal":"*","Action":"*","Resource":[]`), "Resource is empty"},
		{"variable", statement(`"Effect":"Allow","Principal":"*","Action":"*","Resource":"execute-api:/${aws:username}/*"`), "policy variables are not carried out"},
		{"element of a statement", statement(`"Effect":"Allow","conditions":{},` + rest), `"conditions" is no element of a statement`},
		{"operator", with(`"StringEqual":{"aws:UserAgent":"x"}`), `line 4, column 105: this gateway does not know the condition operator "StringEqual"`},
		{"operator's case", with(`"ipaddress":{"aws:SourceIp":"10.0.0.0/8"}`), `does not know the condition operator "ipaddress"`},
		{"set of Null", with(`"ForAnyValue:Null":{"aws:SourceIp":"true"}`), `does not know the condition operator`},
		{"NullIfExists", with(`"NullIfExists":{"aws:SourceIp":"true"}`), `does not know the condition operator`},
		{"Null of two", with(`"Null":{"aws:SourceIp":["true","false"]}`), `Null takes true or false`},
		{"key", with(`"StringEquals":{"aws:PrincipalOrgID":"o-1"}`), `line 4, column 121: this gateway does not know the condition key "aws:PrincipalOrgID"`},
		{"key twice", with(`"StringEquals":{"aws:Referer":"a","aws:referer":"b"}`), `"aws:referer" stands here twice`},
		{"wrong type", with(`"IpAddress":{"aws:UserAgent":"10.0.0.0/8"}`), `IpAddress cannot compare aws:UserAgent`},
		{"address", with(`"IpAddress":{"aws:SourceIp":["10.0.0.0/8","10.0.0.256"]}`), `"10.0.0.256" is neither an address nor a network`},
		{"network", with(`"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}`), `"10.0.0.0/33" is not a network`},
		{"date", with(`"DateEquals":{"aws:CurrentTime":"tomorrow"}`), `"tomorrow" is not a date`},
		{"number", with(`"NumericEquals":{"aws:EpochTime":"0x10"}`), `"0x10" is not a number`},
		{"bool", with(`"Bool":{"aws:SecureTransport":"yes"}`), `"yes" is neither true nor false`},
		{"arn", with(`"ArnLike":{"aws:PrincipalArn":"*"}`), `"*" is no ARN`},
		{"no value", with(`"StringEquals":{"aws:UserAgent":[]}`), `aws:UserAgent has no value`},
		{"object for a value", with(`"StringEquals":{"aws:UserAgent":{}}`), `want a string, found an object`},
		{"no key", with(`"StringEquals":{}`), `StringEquals: found an object`},
		{"variable in a condition", with(`"StringEquals":{"aws:UserAgent":"${aws:Referer}"}`), `policy variables are not carried out`},
		{"too large", `{"Id":"` + strings.Repeat("x", maxPolicySize) + `"}`, "at most 1048576 are read"},
		{"too deep", strings.Repeat("[", 100), "nested too deeply"},
		{"not UTF-8", "{\"\xff\":1}", "not UTF-8"},
	} {
		_, err := ParsePolicy([]byte(tt.text))
		var bad *PolicyError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got  %v\nwant %s", tt.name, err, tt.want)
		}
	}
	if _, err := ParsePolicy([]byte(`{"Statement":` + strings.Replace(allowAll, "execute-api:/*", "execute-api:/${x}/*", 1) + `}`)); err != nil {
		t.Errorf("version 2008-10-17 has no variables: %v", err)
	}
}

func TestPolicyWarnings(t *testing.T) {
	for text, want := range map[string]string{
		policyOf(allowAll): "",
		policyOf(`{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`):                                                                   "no statement allows anonymous callers",
		policyOf(allowAll, `{"Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"*","Resource":"*"}`):                                      "statement 2 means AWS principals, never anonymous callers",
		policyOf(allowAll, `{"Effect":"Deny","Principal":{"Service":"x.amazonaws.com"},"Action":"*","Resource":"*"}`):                               "a Service principal never calls this gateway",
		policyOf(allowAll, `{"Effect":"Deny","Principal":"*","Action":"execute-api:InvalidateCache","Resource":"*"}`):                               "it decides about no call",
		policyOf(allowAll, `{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.1.1.1/8"}}}`): "it means 10.0.0.0/8",
		policyOf(allowAll) + strings.Repeat(" ", PolicySize):                                                                                        "API Gateway takes 8192 at most",
	} {
		got := strings.Join(mustPolicy(t, text).Warnings(), "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%.200s: %q, want %q", text, got, want)
		}
	}
	if got := mustPolicy(t, policyOf(allowAll, strings.Replace(allowAll, "/*", "/prod/GET/*", 1), strings.Replace(allowAll, "execute-api:/*", "arn:aws:execute-api:r:1:a/dev/*", 1))).Stages(); fmt.Sprint(got) != "[prod dev]" {
		t.Errorf("stages %q", got)
	}
}

// TestPolicyRefusal: AWS's status, header and body, in JSON that holds whatever the client sent.
func TestPolicyRefusal(t *testing.T) {
	p := mustPolicy(t, policyOf(`{"Effect":"Allow","Principal":"*","Action":"*","Resource":"execute-api:/*/GET/open"}`,
		`{"Sid":"Closed","Effect":"Deny","Principal":"*","Action":"*","Resource":"execute-api:/*/GET/closed"}`))
	w := newWorld(t, &PolicyDecider{Policy: p, Region: "eu-west-1"})
	if res := w.get(t, "/open"); res.status != 200 || w.served != 1 {
		t.Errorf("%+v", res)
	}
	res := w.get(t, "/closed")
	if want := `{"Message":"User: anonymous is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:eu-west-1:********:tapway/$default/GET/closed with an explicit deny in a resource-based policy"}`; res.status != 403 || res.body != want {
		t.Errorf("%d %s", res.status, res.body)
	}
	if res.header.Get("x-amzn-ErrorType") != "AccessDeniedException" || res.header.Get("x-amzn-RequestId") != w.call.ID.String() || res.header.Get("Content-Type") != "application/json" {
		t.Errorf("%v", res.header)
	}
	if w.call.Origin != tapway.OriginGateway || w.call.Error != "resource policy: denied by statement 2 (Closed)" || w.call.ClientIP != "203.0.113.7" {
		t.Errorf("%+v", w.call)
	}
	res = w.get(t, `/a"b<c>`)
	if want := `tapway/$default/GET/a\"b\u003cc\u003e"}`; res.status != 403 || !strings.HasSuffix(res.body, want) || w.call.Error != "resource policy: no statement allows it" {
		t.Errorf("%d %s, %s", res.status, res.body, w.call.Error)
	}
	if w.served != 1 || strings.Join(w.seen, " ") != "resource_policy resource_policy" {
		t.Errorf("%d served, refused by %v", w.served, w.seen)
	}
	if res := w.do(t, "HEAD", "/closed"); res.status != 403 || res.body != "" {
		t.Errorf("HEAD: %d %q", res.status, res.body)
	}
}

// genStatement draws a statement.
func genStatement(effect string) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		resource := rapid.SampledFrom([]string{"*", "execute-api:/*", "execute-api:/prod/GET/*", "execute-api:/*/*/pets", "execute-api:/*/GET/a?min/*", "arn:aws:execute-api:*:*:*/POST/*"}).Draw(t, "resource")
		condition := rapid.SampledFrom([]string{
			"", `"IpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32"]}`, `"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}`, `"Bool":{"aws:SecureTransport":"true"}`,
			`"StringLike":{"aws:UserAgent":"c*"}`, `"StringNotEqualsIfExists":{"aws:Referer":"x"}`, `"Null":{"aws:UserAgent":"true"}`, `"DateLessThan":{"aws:CurrentTime":"2026-11-20T10:00:00Z"}`,
		}).Draw(t, "condition")
		element := rapid.SampledFrom([]string{"Resource", "NotResource"}).Draw(t, "element")
		return fmt.Sprintf(`{"Effect":%q,"Principal":"*","Action":"execute-api:Invoke",%q:%q,"Condition":{%s}}`, effect, element, resource, condition)
	})
}

func genCall() *rapid.Generator[asked] {
	return rapid.Custom(func(t *rapid.T) asked {
		a := asked{
			method: rapid.SampledFrom([]string{"GET", "POST"}).Draw(t, "method"),
			path:   rapid.SampledFrom([]string{"/", "/pets", "/admin/x", "/public/../admin/x", "/a%64min/x", "//pets"}).Draw(t, "path"),
			ip:     rapid.SampledFrom([]string{"", "10.1.2.3", "203.0.113.7", "2001:db8::1"}).Draw(t, "ip"),
			secure: rapid.Bool().Draw(t, "secure"), header: http.Header{},
		}
		if rapid.Bool().Draw(t, "agent") {
			a.header["User-Agent"] = []string{"curl"}
		}
		return a
	})
}

// TestDenyOnlyTakesAway: adding a Deny never admits more, adding an Allow never less, and the order
// of the statements has no meaning.
func TestDenyOnlyTakesAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.OneOf(genStatement("Allow"), genStatement("Deny")), 1, 4).Draw(t, "statements")
		call := genCall().Draw(t, "call")
		ask := func(list []string) bool {
			p, err := ParsePolicy([]byte(policyOf(list...)))
			if err != nil {
				t.Fatal(err)
			}
			return p.Evaluate(call.request(), Invoke).Allowed
		}
		before := ask(list)
		at := rapid.IntRange(0, len(list)).Draw(t, "at")
		insert := func(s string) []string {
			return append(append(append([]string(nil), list[:at]...), s), list[at:]...)
		}
		if !before && ask(insert(genStatement("Deny").Draw(t, "deny"))) {
			t.Error("a Deny admits more")
		}
		if before && !ask(insert(genStatement("Allow").Draw(t, "allow"))) {
			t.Error("an Allow admits less")
		}
		turned := append([]string(nil), list...)
		for i, j := 0, len(turned)-1; i < j; i, j = i+1, j-1 {
			turned[i], turned[j] = turned[j], turned[i]
		}
		if ask(turned) != before {
			t.Error("the order decides")
		}
	})
}

// FuzzPolicy: whatever the text, reading it ends, an error has a place in it, and a policy that
// was read can be asked.
func FuzzPolicy(f *testing.F) {
	f.Add(policyOf(allowAll))
	f.Add(policyOf(allowAll, `{"Sid":"a","Effect":"Deny","Principal":{"AWS":["*","1"]},"NotAction":["execute-api:I*"],"NotResource":"arn:aws:execute-api:*:1:a*/x/GET/y","Condition":{"ForAnyValue:StringNotLikeIfExists":{"aws:UserAgent":["a*?"]},"IpAddress":{"aws:SourceIp":["::ffff:1.2.3.4/100","::/0"]},"Null":{"aws:Referer":true},"DateLessThan":{"aws:CurrentTime":"2026"}}}`))
	f.Add("{\"Statement\":\n{}}")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePolicy([]byte(text))
		if err != nil {
			var bad *PolicyError
			if !errors.As(err, &bad) || bad.Line < 1 || bad.Line > strings.Count(text, "\n")+1 || bad.Column < 1 || bad.Message == "" {
				t.Errorf("%q: %#v", text, err)
			}
			return
		}
		for _, call := range []asked{{ip: "1.2.3.4"}, {ip: "::1", path: "/a%2fb/..", header: http.Header{"User-Agent": {"x"}}}} {
			v := p.Evaluate(call.request(), Invoke)
			if v.Allowed && (v.Explicit || v.Statement < 1) || v.Statement > len(p.statements) {
				t.Errorf("%q: %+v", text, v)
			}
		}
	})
}

// FuzzGlob: the matcher agrees with the obvious one.
func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("**", "")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 12 || len(s) > 12 || strings.ContainsFunc(pattern+s, func(r rune) bool { return r >= 0x80 }) {
			return
		}
		var obvious func(p, s string) bool
		obvious = func(p, s string) bool {
			switch {
			case p == "":
				return s == ""
			case p[0] == '*':
				return obvious(p[1:], s) || s != "" && obvious(p, s[1:])
			}
			return s != "" && (p[0] == '?' || p[0] == s[0]) && obvious(p[1:], s[1:])
		}
		if got, want := glob(pattern, s), obvious(pattern, s); got != want {
			t.Errorf("%q %q: %v", pattern, s, got)
		}
	})
}
