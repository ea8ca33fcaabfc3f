package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/tidwall/gjson"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/attach/apitest"
)

const attachedSecret = "0123456789abcdef0123"

// planByURL reads an API that a fake API Gateway has, and plans an attachment to tapway at a URL.
func planByURL(t *testing.T, s *apitest.Server, id, base string) *attach.Plan {
	t.Helper()
	c, err := attach.NewClients(aws.Config{Region: s.Region, BaseEndpoint: aws.String("http://apitest.invalid"), HTTPClient: s.Client(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})}, nil, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Read(t.Context(), id, "prod", nil)
	if err != nil {
		t.Fatal(err)
	}
	a.Account = s.Account
	p, err := attach.MakePlan(a, attach.Options{URL: "https://tapway.example.com" + base, Secret: attachedSecret, IncludeDrift: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// asked is what API Gateway asks by a URI, its parameters filled with odd values: path and query as they
// are in the request line, behind the host.
func asked(kind attach.Kind, uri string) (host, target string) {
	_, rest, _ := strings.Cut(uri, "://")
	if kind == attach.HTTP { // as they are built
		rest = strings.ReplaceAll(rest, "${stageVariables.host}", "rod.example.com")
	}
	rest = strings.ReplaceAll(rest, "${stageVariables.host}", "prod.example.com")
	for strings.Contains(rest, "{") {
		before, after, _ := strings.Cut(rest, "{")
		_, after, _ = strings.Cut(after, "}")
		rest = before + "a%2Fb//c;d=%25/" + after
	}
	host, target, ok := strings.Cut(rest, "/")
	if !ok {
		host, query, hasQuery := strings.Cut(rest, "?")
		if hasQuery {
			query = "?" + query
		}
		return host, "/" + query
	}
	return host, "/" + target
}

// Behind a URL, with the configuration that attach prints and its secret, the backend is asked byte for
// byte what API Gateway asked it before, with its certificate verified or not as before; nobody else
// gets in.
func TestAttachedByURL(t *testing.T) {
	type seen struct {
		target, secret string
		overTLS        bool
	}
	got := make(chan seen, 1)
	note := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- seen{r.RequestURI, r.Header.Get(access.SecretHeader), r.TLS != nil}
	})
	plain, selfSigned := httptest.NewServer(note), httptest.NewTLSServer(note)
	t.Cleanup(plain.Close)
	t.Cleanup(selfSigned.Close)
	tried, prefixed, unverified := 0, 0, 0
	for seed := range uint64(12) {
		s := apitest.New()
		r := rand.New(rand.NewPCG(seed, 2))
		id, base := s.BuildREST(r, 10), []string{"", "/in"}[seed%2]
		if seed%3 == 2 {
			id = s.BuildHTTP(r, 10)
		}
		p := planByURL(t, s, id, base)
		// The backends are two servers here, and the host that was meant is the first part of the path.
		var conf strings.Builder
		for line := range strings.Lines(p.ServerConfig()) {
			to := plain.URL
			if len(p.Backends) == 1 && p.Backends[0].InsecureSkipVerify || strings.Contains(line, "insecure_skip_verify") {
				to = selfSigned.URL
			}
			line = strings.NewReplacer(`backend: "https://`, `backend: "`+to+"/", `backend: "http://`, `backend: "`+to+"/", "backend: https://", "backend: "+to+"/", "backend: http://", "backend: "+to+"/").Replace(line)
			conf.WriteString(line)
		}
		w := newWorld(t, conf.String()+"access: {secret: "+attachedSecret+"}\n")
		for i, change := range p.Changes {
			after := gjson.GetBytes(change.After, "uri").String()
			before := gjson.GetBytes(change.Before, "uri").String()
			if p.Kind == attach.HTTP {
				after = gjson.GetBytes(p.Integrations[change.Integration], "IntegrationUri").String()
				if after == "" {
					after = gjson.GetBytes(p.Integrations[change.Integration], "integrationUri").String()
				}
				_, before, _ = strings.Cut(change.From, " ")
			}
			_, target := asked(p.Kind, after)
			host, want := asked(p.Kind, before)
			out := raw(t, w.addr, "GET "+target+" HTTP/1.1\r\nHost: tapway.example.com\r\n"+access.SecretHeader+": "+attachedSecret+"\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(out, "HTTP/1.1 200 ") {
				t.Fatalf("seed %d %s: GET %s: %s\n%s", seed, change.Route, target, out, conf.String())
			}
			is := <-got
			if is.target != "/"+host+want || is.secret != "" {
				t.Errorf("seed %d %s: the backend is asked %s with secret %q, want %s\n%s", seed, change.Route, is.target, is.secret, "/"+host+want, conf.String())
			}
			if rec := w.sink.next(t, i); strings.Contains(fmt.Sprint(rec), attachedSecret) || rec["origin"] != "backend" {
				t.Errorf("record: %v", rec)
			}
			tried++
			if is.overTLS {
				unverified++
			}
		}
		if len(p.Backends) > 1 {
			prefixed++
		}
		w.stop()
	}
	if tried < 40 || prefixed < 3 || unverified < 3 {
		t.Errorf("only %d routes of %d APIs with several backends were tried, %d without verification", tried, prefixed, unverified)
	}
}

// Without the secret there is 403, a record with the reason and nothing else.
func TestSecretOnOneMachine(t *testing.T) {
	backend := httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := json.Marshal(r.Header)
		w.Write(text)
	}))
	w := newWorld(t, "backend: "+backend+"\naccess: {secret: [first-0123456789, second-0123456789]}\ncapture: {redact: {defaults: false}}\n")
	for i, tt := range []struct {
		secret string
		status int
		reason any
	}{
		{"", 403, "secret: missing"}, {"first-0123456788", 403, "secret: wrong"}, {"first-0123456789", 200, nil}, {"second-0123456789", 200, nil},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", w.url+"/a?x="+url.QueryEscape("y z"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.secret != "" {
			req.Header.Set("x-tapway-secret", tt.secret)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		rec := w.sink.next(t, i)
		if resp.StatusCode != tt.status || rec["error"] != tt.reason || strings.Contains(string(body), "0123456789") {
			t.Errorf("%q: %d %s, record: %v", tt.secret, resp.StatusCode, body, rec["error"])
		}
		headers := rec["request_headers"].(map[string]any)
		if tt.secret != "" && headers["X-Tapway-Secret"] != "[REDACTED]" || strings.Contains(fmt.Sprint(rec), "012345678") {
			t.Errorf("%q: the record has %v", tt.secret, headers)
		}
	}
	if attach.SecretHeader != access.SecretHeader {
		t.Error("attach sends another header")
	}
}
