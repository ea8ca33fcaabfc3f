package proxy

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

func TestPrefersHTML(t *testing.T) {
	for _, tt := range []struct {
		accept []string
		want   bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"*/*"}, false},
		{[]string{"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}, true},
		{[]string{"text/html"}, true},
		{[]string{"TEXT/HTML"}, true},
		{[]string{"text/*"}, true},
		{[]string{"text/html;q=0"}, false},
		{[]string{"text/html, application/json"}, false},
		{[]string{"text/html;q=0.501, application/json;q=0.5"}, true},
		{[]string{"text/html;q=0.5, application/json;q=0.5"}, false},
		{[]string{"text/html;q=0.5, application/json;q=0.501"}, false},
		{[]string{"application/json, text/html;q=0.9"}, false},
		{[]string{"application/json;q=0.1", "text/html ; q=0.2"}, true},
		{[]string{"*/*, text/html;q=0.1"}, false},           // the more specific range counts
		{[]string{"*/*;q=0.1, application/json;q=0"}, true}, // html by */*, json by its own
		{[]string{"text/html;level=1"}, true},
		{[]string{`text/html;x="a,b;q=0";q=0.4, application/json;q=0.3`}, true},
		{[]string{"text/html;q=1.001"}, false},
		{[]string{"text/html;q=2"}, false},
		{[]string{"text/html;q="}, false},
		{[]string{"text/html;q=0.x"}, false},
		{[]string{"text/html;q=1.000"}, true},
		{[]string{",,;q=1,/"}, false},
	} {
		if got := prefersHTML(tt.accept); got != tt.want {
			t.Errorf("%q: %v", tt.accept, got)
		}
	}
}

func TestPages(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down := "http://" + ln.Addr().String()
	ln.Close()
	w := newWorld(t, down, option{settings: func(s *Settings) { s.AppName, s.ErrorTitle = `<b>"Shop" & co</b>`, "Oh <i>no</i>" }})

	res, body := w.get("/", "Accept", "text/html,*/*;q=0.8")
	c := w.call()
	if res.StatusCode != 502 || res.Header.Get("Content-Type") != "text/html; charset=utf-8" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	for _, want := range []string{"&lt;b&gt;&#34;Shop&#34; &amp; co&lt;/b&gt;", "<h1>Oh &lt;i&gt;no&lt;/i&gt;</h1>", "The backend is not available.", c.ID.String(), "prefers-color-scheme: dark"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"<b>", "<i>", "127.0.0.1", "http://", "https://", "src=", "url("} {
		if strings.Contains(body, never) {
			t.Errorf("the page holds %q", never)
		}
	}
	if c.Origin != tapway.OriginGateway || c.Error != "backend refused the connection" || strings.Contains(c.Error, "127") {
		t.Errorf("%+v", c)
	}

	res, body = w.get("/", "Accept", "application/json")
	if res.StatusCode != 502 || body != `{"message":"The backend is not available."}` || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	res, body = w.do(w.request("HEAD", "/", nil))
	if res.StatusCode != 502 || body != "" || res.ContentLength != int64(len(`{"message":"The backend is not available."}`)) {
		t.Errorf("HEAD: %d %q %d", res.StatusCode, body, res.ContentLength)
	}
	if log := w.log.String(); !strings.Contains(log, "reason=\"backend refused the connection\"") {
		t.Errorf("log: %s", log)
	}
}

func TestTLSFailure(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = newWorldErrorLog()
	srv.StartTLS()
	t.Cleanup(srv.Close)
	w := newWorld(t, srv.URL, option{})
	if res, _ := w.get("/"); res.StatusCode != 502 {
		t.Errorf("status %d", res.StatusCode)
	}
	if c := w.call(); c.Error != "backend TLS failed" {
		t.Errorf("%+v", c)
	}
}

func TestRefusals(t *testing.T) {
	wr := newWire(t, ok200)
	for _, tt := range []struct {
		refusal Refusal
		status  int
		body    string
		reason  string
	}{
		{Refusal{Status: 403, Message: "Missing Authentication Token"}, 403, `{"message":"Missing Authentication Token"}`, "no route"},
		{Refusal{}, 404, `{"message":"Not Found"}`, "no route"},
		{Refusal{Status: 405, Reason: "wrong method"}, 405, `{"message":"Method Not Allowed"}`, "wrong method"},
	} {
		w := newWorld(t, wr.url, option{settings: func(s *Settings) {
			s.Router = routerFunc(func(*http.Request, string, string, bool) (Hop, *Refusal) { return Hop{}, &tt.refusal })
		}})
		res, body := w.get("/")
		if c := w.call(); res.StatusCode != tt.status || body != tt.body || c.Error != tt.reason || c.Origin != tapway.OriginGateway || c.Route != "" {
			t.Errorf("%+v: %d %s %+v", tt.refusal, res.StatusCode, body, c)
		}
	}
	if wr.count() != 0 {
		t.Error("the backend was called")
	}
}

func TestReload(t *testing.T) {
	wr := newWire(t, ok200)
	w := newWorld(t, wr.url, option{})
	if res, _ := w.get("/"); res.StatusCode != 200 {
		t.Fatalf("status %d", res.StatusCode)
	}
	w.handler.Reload(Settings{Log: discardLog})
	if res, _ := w.get("/"); res.StatusCode != 404 {
		t.Errorf("status %d without a router", res.StatusCode)
	}
}

func TestJSONMessage(t *testing.T) {
	for _, message := range []string{"", "plain", "q\" b\\ \x00\x1f\x7f", "</script><!--&", "ü€😀", "\xff\xfe"} {
		raw := jsonMessage(message)
		var got struct{ Message string }
		if err := json.Unmarshal([]byte(raw), &got); err != nil || got.Message != strings.ToValidUTF8(message, "\uFFFD") || strings.ContainsAny(raw, "<>&") {
			t.Errorf("%q: %s, %q, %v", message, raw, got.Message, err)
		}
	}
}

func TestRouteThatLeadsNowhere(t *testing.T) {
	wr := newWire(t, ok200)
	for name, spoil := range map[string]func(*Hop){
		"no backend":   func(h *Hop) { h.Backend = nil },
		"no transport": func(h *Hop) { h.Backend = &Backend{} },
		"no host":      func(h *Hop) { h.Host = "" },
		"CR in path":   func(h *Hop) { h.Path = "/a\r\nX: y" },
		"LF in query":  func(h *Hop) { h.Query = "a\nb" },
	} {
		w := newWorld(t, wr.url, option{hop: spoil})
		res, body := w.get("/")
		if res.StatusCode != 502 || body != `{"message":"The backend is not configured."}` {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
	if wr.count() != 0 {
		t.Error("the backend was called")
	}
	w := newWorld(t, wr.url, option{hop: func(h *Hop) { h.Path = "" }})
	if w.get("/x"); !strings.HasPrefix(wr.requests[0], "GET / HTTP/1.1\r\n") {
		t.Errorf("an empty path: %s", wr.requests[0])
	}
}

func FuzzPrefersHTML(f *testing.F) {
	f.Add("text/html,*/*;q=0.8")
	f.Add(`a;x="\`)
	f.Fuzz(func(t *testing.T, accept string) {
		if prefersHTML([]string{accept}) && !strings.ContainsAny(accept, "*tT") {
			t.Errorf("%q cannot mean text/html", accept)
		}
		// One that wants JSON most gets JSON, whatever else it says.
		if !strings.Contains(accept, `"`) && prefersHTML([]string{"application/json;q=1", accept}) {
			t.Errorf("%q", accept)
		}
	})
}

func newWorldErrorLog() *log.Logger { return log.New(io.Discard, "", 0) }
