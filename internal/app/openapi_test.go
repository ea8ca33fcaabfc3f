package app

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOpenAPIExport: an API Gateway export behaves here as it does there: mappings, stage
// variables, 403 for an unmatched call, and a clear refusal of what cannot be reproduced.
func TestOpenAPIExport(t *testing.T) {
	backend := newRawBackend(t, func(string) string { return okAnswer })
	export := filepath.Join(t.TempDir(), "export.json")
	text := fmt.Sprintf(`{
  "openapi": "3.0.1", "info": {"title": "shop", "version": "1"},
  "servers": [{"url": "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/{basePath}", "variables": {"basePath": {"default": "prod"}}}],
  "paths": {
    "/users/{id}": {"get": {
      "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}],
      "x-amazon-apigateway-integration": {"type": "http_proxy", "httpMethod": "GET", "uri": "http://${stageVariables.host}/v2/people/{person}", "timeoutInMillis": 29000,
        "requestParameters": {
          "integration.request.path.person": "method.request.path.id",
          "integration.request.header.X-Stage": "context.stage",
          "integration.request.header.X-Fixed": "'yes'",
          "integration.request.header.X-Agent": "method.request.header.User-Agent",
          "integration.request.querystring.tenant": "stageVariables.tenant"}}}},
    "/lambda": {"post": {"x-amazon-apigateway-integration": {"type": "aws_proxy", "httpMethod": "POST", "uri": "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:123456789012:function:f/invocations"}}},
    "/{proxy+}": {"x-amazon-apigateway-any-method": {
      "parameters": [{"name": "proxy", "in": "path", "required": true, "schema": {"type": "string"}}],
      "x-amazon-apigateway-integration": {"type": "http_proxy", "httpMethod": "ANY", "uri": "http://%s/legacy/{proxy}",
        "requestParameters": {"integration.request.path.proxy": "method.request.path.proxy"}}}}
  }}`, backend.addr)
	if err := os.WriteFile(export, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, fmt.Sprintf("openapi: %s\nstage_variables: {host: %q, tenant: acme}\n", export, backend.addr))

	raw(t, w.addr, "GET /users/a%2Fb?x=1&x=2 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: probe\r\nConnection: close\r\n\r\n")
	got := <-backend.requests
	for _, want := range []string{"GET /v2/people/a%2Fb?x=1&x=2&tenant=acme HTTP/1.1\r\n", "X-Stage: prod\r\n", "X-Fixed: yes\r\n", "X-Agent: probe\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the backend lacks %q in:\n%s", want, got)
		}
	}
	if rec := w.sink.next(t, 0); rec["route"] != "GET /users/{id}" || rec["endpoint"] != "/users/a%2Fb" {
		t.Errorf("record: %v %v", rec["route"], rec["endpoint"])
	}

	raw(t, w.addr, "PATCH /a//b/%20/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	if got := <-backend.requests; !strings.HasPrefix(got, "PATCH /legacy/a//b/%20/ HTTP/1.1\r\n") {
		t.Errorf("greedy: %q", firstLine(got))
	}

	for n, tt := range []struct {
		method, path string
		status       int
		message      string
	}{
		{"POST", "/lambda", 501, `{"message":"This route cannot be served here"}`},
		{"DELETE", "/users/7", 403, `{"message":"Missing Authentication Token"}`},
		{"GET", "/", 403, `{"message":"Missing Authentication Token"}`},
	} {
		req, _ := http.NewRequest(tt.method, w.url+tt.path, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status || strings.TrimSpace(string(body)) != tt.message {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, resp.StatusCode, body)
		}
		if rec := w.sink.next(t, n+2); rec["origin"] != "gateway" || rec["status"] != float64(tt.status) {
			t.Errorf("%s %s: record %v %v", tt.method, tt.path, rec["origin"], rec["status"])
		}
	}
}

// TestNoSecretAnywhere plants secrets in every place a call has and looks for them on disk,
// at the destination and in the log.
func TestNoSecretAnywhere(t *testing.T) {
	const secret = "pl4ntedS3cret"
	dir := t.TempDir()
	sink := newSink(t)
	w := newWorldIn(t, "data: "+dir+"/data\nlog: {calls: true}\nroutes: [{match: \"ANY /reset/{token}/{proxy+}\", backend: \""+httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Set-Cookie", "session="+secret)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Location", "/next?access_token="+secret)
		io.WriteString(w, `{"user": "neo", "deep": [{"p\u0061ssword": "`+secret+`"}], "access_token": "`+secret+`"}`)
	}))+"/{token}/{proxy}\"}]\ncapture: {redact: {path: [token], headers: [X-Private]}}\ndestinations: [{name: sink, url: \""+sink.URL+"\"}]\n")
	for i, body := range []struct{ kind, text string }{
		{"application/json", `{"user": "neo", "password": "` + secret + `"}`},
		{"application/x-www-form-urlencoded", "user=neo&p%61ssword=" + secret},
		{"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n" + secret + "\r\n--b--\r\n"},
		{"application/json", `{"password": "` + secret}, // broken: withheld
	} {
		req, _ := http.NewRequest("POST", w.url+"/reset/"+secret+"/x?token="+secret+"&a=1", strings.NewReader(body.text))
		req.Header = http.Header{"Content-Type": {body.kind}, "Authorization": {"Bearer " + secret}, "Cookie": {"a=" + secret}, "X-Private": {secret}, "Referer": {"https://a/?token=" + secret}}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(string(got), secret) || !strings.Contains(resp.Header.Get("Set-Cookie"), secret) {
			t.Errorf("the client did not get its own answer unchanged: %s", got)
		}
		rec := sink.next(t, i)
		if i == 3 {
			if info := rec["body_info"].(map[string]any); info["encoding"] != "withheld" || rec["body"] != nil {
				t.Errorf("a broken body: %v %v", rec["body"], info)
			}
		} else if !strings.Contains(fmt.Sprint(rec["body"]), "neo") && i != 2 {
			t.Errorf("more was taken than the secret: %v", rec["body"])
		}
	}
	w.stop()
	places := w.log.String() + fmt.Sprint(sink.records)
	filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			b, _ := os.ReadFile(path)
			places += string(b)
		}
		return nil
	})
	if i := strings.Index(places, secret); i >= 0 {
		t.Errorf("a secret was kept: …%q…", places[max(0, i-80):min(len(places), i+40)])
	}
	if !strings.Contains(places, "[REDACTED]") {
		t.Error("nothing was redacted: the test looks in the wrong place")
	}
}
