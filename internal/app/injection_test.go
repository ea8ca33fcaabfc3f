package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// headerLines are the lines of a head, and whether it holds a byte with which a line could end elsewhere, for someone.
func headerLines(t *testing.T, head string) []string {
	t.Helper()
	head, _, _ = strings.Cut(head, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	for _, line := range lines {
		if strings.ContainsAny(line, "\r\n\x00") {
			t.Errorf("a control character stands in %q", line)
		}
		if strings.HasPrefix(strings.ToLower(line), "injected:") {
			t.Errorf("a header was injected: %q", line)
		}
	}
	return lines
}

// TestHeaderInjection: line ends that a client encodes stay within the value that a mapping, a target or a page puts them into,
// and line ends in a backend's headers reach no client.
func TestHeaderInjection(t *testing.T) {
	backend := newRawBackend(t, func(head string) string {
		for name, end := range map[string]string{"/cr": "\r", "/nul": "\x00", "/folded": "\r\n "} {
			if strings.HasPrefix(head, "GET "+name+" ") {
				return "HTTP/1.1 200 OK\r\nX-A: b" + end + "Injected: y\r\nContent-Length: 0\r\n\r\n"
			}
		}
		return okAnswer
	})
	export := filepath.Join(t.TempDir(), "export.json")
	text := fmt.Sprintf(`{"openapi": "3.0.1", "info": {"title": "shop", "version": "1"}, "paths": {
  "/a/{p}": {"get": {"x-amazon-apigateway-integration": {"type": "http_proxy", "httpMethod": "GET", "uri": "http://%[1]s/b/{p}", "requestParameters": {
    "integration.request.path.p": "method.request.path.p", "integration.request.header.X-Path": "method.request.path.p",
    "integration.request.header.X-Query": "method.request.querystring.q", "integration.request.header.X-In": "method.request.header.X-In",
    "integration.request.querystring.again": "method.request.querystring.q"}}}},
  "/{proxy+}": {"x-amazon-apigateway-any-method": {"x-amazon-apigateway-integration": {"type": "http_proxy", "httpMethod": "ANY", "uri": "http://%[1]s/{proxy}",
    "requestParameters": {"integration.request.path.proxy": "method.request.path.proxy"}}}}}}`, backend.addr)
	if err := os.WriteFile(export, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, "openapi: "+export+"\ndestinations: []\n")
	for _, end := range []string{"%0d%0a", "%0D%0A", "%0a", "%0d", "%00", "%250d%250a", "%E5%98%8A%E5%98%8D", "%c4%8a", "%85", "\\r\\n"} {
		value := "x" + end + "Injected:%20y" + end
		mapped := 0
		for _, target := range []string{"/a/x?q=" + value, "/a/" + value + "?q=x", "/" + value, "/?" + value} {
			headerLines(t, raw(t, w.addr, "GET "+target+" HTTP/1.1\r\nHost: a\r\nX-In: "+value+"\r\nConnection: close\r\n\r\n"))
			for len(backend.requests) > 0 {
				for _, line := range headerLines(t, <-backend.requests) {
					if strings.HasPrefix(line, "X-Query: x") && strings.Contains(line, "Injected: y") {
						mapped++ // decoded, as API Gateway does it, and still within its line
					}
				}
			}
		}
		if mapped != 1 {
			t.Errorf("%s: %d headers have the value of the query", end, mapped)
		}
	}
	for path, want := range map[string]string{"/cr": "502", "/nul": "502", "/folded": "200"} {
		answer := raw(t, w.addr, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		headerLines(t, answer)
		if !strings.HasPrefix(answer, "HTTP/1.1 "+want+" ") || want == "200" && !strings.Contains(answer, "\r\nX-A: b Injected: y\r\n") { // a folded line becomes one
			t.Errorf("%s: the client got %q", path, answer)
		}
	}
	w.checkLedger()
}
