package stages

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
	"pgregory.net/rapid"
)

const explainPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*"},` +
	`{"Sid":"No","Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":["execute-api:/*/DELETE/*","execute-api:/*/*/admin*"]},` +
	`{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*","Condition":{"NotIpAddress":{"aws:SourceIp":["203.0.113.0/24","2001:db8::/32"]}}}]}`

// TestExplainAgrees: what explain says of a call is what becomes of it, whatever the rules and the call are.
func TestExplainAgrees(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(policy, []byte(explainPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	refused, passed := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		maybe := func(text string) string {
			if rapid.Bool().Draw(rt, text) {
				return text + "\n"
			}
			return ""
		}
		text := "backend: http://b.internal\naccess:\n  trusted_proxies: [192.0.2.1]\n" +
			maybe("  resource_policy: "+policy) +
			maybe("  methods: [GET, POST, PUT]") +
			maybe("  api_key: required\n  usage_plans: [{name: gold, rate: 5, routes: [{match: 'POST /a', rate: 1}]}]\n  api_keys: [{name: p, value: partner-0123456789abcdefghij, plan: gold}]") +
			maybe("  throttle: {rate: 5}") +
			maybe("  secret: 0123456789abcdef") +
			maybe("  iam: {credentials: [{name: b, access_key_id: AKIDBATCH, secret_access_key: secret-secret-secret, routes: ['POST /a']}]}\n  authorization: none") +
			maybe("  routes:\n    - {match: 'GET /a', methods: [GET]}\n    - {match: 'POST /a/{x}', api_key: off}\n    - {match: 'DELETE /b/{p+}', methods: [DELETE]}\n    - {match: 'ANY /admin', throttle: {rate: 1}}") +
			maybe("limits: {calls: 5, calls_per_address: 2}") +
			maybe("proxy: {filtered_paths: [/admin, /b/c]}")
		counter, err := access.OpenCounter("", slog.New(slog.DiscardHandler))
		if err != nil {
			rt.Fatal(err)
		}
		a := Access{State: access.NewState(counter, time.Now()), Page: func(w http.ResponseWriter, _ *http.Request, status int, message, _ string) {
			w.WriteHeader(status)
			io.WriteString(w, message)
		}}
		c := load(t, text)
		chain, err := a.Chain(c)
		if err != nil {
			rt.Fatal(err)
		}
		for range 8 { // as many calls of each configuration, with fresh counts each
			call := randomCall(rt)
			_, refusal := chain.Explain(call())
			fresh := Access{State: access.NewState(counter, time.Now()), Page: a.Page}
			live, err := fresh.Chain(c)
			if err != nil {
				rt.Fatal(err)
			}
			gate, slip, out, served := new(access.Gate), new(tapway.Call), httptest.NewRecorder(), false
			gate.Set(live)
			r := call()
			gate.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true })).ServeHTTP(out, r.WithContext(tapway.WithCall(r.Context(), slip)))
			switch {
			case refusal == nil && served:
				passed++
			case refusal != nil && !served && out.Code == refusal.Status && slip.Error == refusal.Reason:
				refused++
			default:
				rt.Fatalf("%s\n%s %s %v from %s: explain says %+v, the gate %d %q, served %v", text, r.Method, r.RequestURI, r.Header, r.RemoteAddr, refusal, out.Code, slip.Error, served)
			}
		}
	})
	if refused < 50 || passed < 50 {
		t.Errorf("%d calls refused, %d passed: that is too few", refused, passed)
	}
}

// randomCall gives a maker of calls that are the same.
func randomCall(rt *rapid.T) func() *http.Request {
	method := rapid.SampledFrom([]string{"GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "get", "delete", "Post", "PURGE"}).Draw(rt, "method")
	pieces := rapid.SampledFrom([]string{"/", "/a", "/a", "/b", "/c", "/admin", "/ADMIN", "//", "/..", "/%2e%2e", "/%61", "/%2561dmin", ";x=1", "%2f", `\`, "%00", "/.", "/%u0061dmin", "/%c1%a1"})
	path := strings.Join(rapid.SliceOfN(pieces, 1, 4).Draw(rt, "path"), "")
	if path[0] != '/' {
		path = "/" + path
	}
	path += rapid.SampledFrom([]string{"", "", "", "?x=1", "?_method=DELETE", "?_method=put&x", "?_method=%44ELETE"}).Draw(rt, "query")
	from := rapid.SampledFrom([]string{"203.0.113.7:1", "203.0.114.1:1", "192.0.2.1:1", "[2001:db8::1]:1", "[::ffff:203.0.113.7]:1"}).Draw(rt, "from")
	header := http.Header{}
	const key = "partner-0123456789abcdefghij"
	for _, one := range [][]string{
		{"X-Api-Key", key, key, key + "x", ""}, {"X-Http-Method-Override", "DELETE", "PUT", ""}, {"X_method_override", "DELETE"},
		{"X-Forwarded-For", "203.0.113.9", "198.51.100.1, 203.0.113.9", "203.0.113.9, 198.51.100.1", "x"},
		{"X-Tapway-Secret", "0123456789abcdef", "0123456789abcdef", "0123456789abcdeg"},
	} {
		if rapid.Bool().Draw(rt, one[0]) {
			header[one[0]] = []string{rapid.SampledFrom(one[1:]).Draw(rt, one[0]+" value")}
		}
	}
	return func() *http.Request {
		r := httptest.NewRequest(strings.ToUpper(method), "/", nil)
		r.Method, r.RequestURI, r.RemoteAddr, r.Header = method, path, from, header.Clone()
		return r
	}
}
