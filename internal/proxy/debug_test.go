package proxy

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/tapway/tapway"
)

// hide is a redaction for tests.
func hide(ex *tapway.Exchange) {
	for i := range ex.RequestHeader {
		if ex.RequestHeader[i].Name == "Authorization" {
			ex.RequestHeader[i].Value = "[REDACTED]"
		}
	}
	ex.Query = strings.ReplaceAll(ex.Query, "topsecret", "[REDACTED]")
	for _, p := range ex.PathParams {
		ex.Path = strings.ReplaceAll(ex.Path, p.Value, "[REDACTED]")
	}
	if strings.Contains(string(ex.Request.Bytes), "password") {
		ex.Request.Bytes, ex.Request.Withheld = nil, true
	}
}

func debugWorld(t *testing.T, wr *wire, debug bool, redact func(*tapway.Exchange)) *world {
	return newWorld(t, wr.url, option{
		settings: func(s *Settings) { s.Debug, s.Redact = debug, redact },
		hop: func(h *Hop) {
			h.Params = []tapway.PathParam{{Name: "id", Value: "4711"}}
		},
	})
}

func TestDumpRequest(t *testing.T) {
	wr := newWire(t, ok200)
	w := debugWorld(t, wr, true, hide)
	r := w.request("POST", "/users/4711?token=topsecret&dump_request=y&x", strings.NewReader("a body"), "Authorization", "Bearer abc", "X-B", "2", "X-A", "1", "X-B", "3", "User-Agent", "me")
	r.Host = "public.example"
	res, body := w.do(r)
	c := w.call()
	want := `POST /users/[REDACTED]?token=[REDACTED]&dump_request=y&x HTTP/1.1
Host: public.example
Authorization: [REDACTED]
Connection: close
Content-Length: 6
User-Agent: me
X-A: 1
X-B: 2
X-B: 3

a body

--
id: ` + c.ID.String() + `
client: 127.0.0.1
route: ANY /{proxy+}
`
	if body != want || res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v\n%s\nwant\n%s", res.StatusCode, res.Header, body, want)
	}
	if c.Origin != tapway.OriginGateway || wr.count() != 0 {
		t.Errorf("%+v, %d calls to the backend", c, wr.count())
	}
	for name, tt := range map[string]struct{ body, encoding, want string }{
		"withheld":   {"password=x", "", "[body withheld by redaction]"},
		"binary":     {"\xff\xfe\x00", "", "[3 bytes that are not text]"},
		"compressed": {"not really", "gzip", "[10 bytes that are not text]"},
		"long":       {strings.Repeat("x", maxDump+1), "", "x\n[cut off here]\n"},
	} {
		r := w.request("POST", "/?dump_request=y", strings.NewReader(tt.body))
		if tt.encoding != "" {
			r.Header.Set("Content-Encoding", tt.encoding)
		}
		if _, got := w.do(r); !strings.Contains(got, tt.want) || strings.Contains(got, "password") {
			t.Errorf("%s: %.300s", name, got)
		}
	}
	if res, body := w.do(w.request("HEAD", "/?dump_request=y", nil)); res.StatusCode != 200 || body != "" {
		t.Errorf("HEAD: %d %q", res.StatusCode, body)
	}
	if res := w.raw("POST", "POST /?dump_request=y HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"); res.StatusCode != 400 {
		t.Errorf("malformed: %d", res.StatusCode)
	}
}

// With Debug off, or not spelt so, the parameters are the backend's.
func TestDebugParametersPassedOn(t *testing.T) {
	wr := newWire(t, ok200)
	for name, w := range map[string]*world{"off": debugWorld(t, wr, false, hide), "no redaction": debugWorld(t, wr, true, nil)} {
		target := "/p?dump_request=y"
		if name == "off" {
			target += "&trace_connection=y"
		}
		res := w.raw("GET", "GET "+target+" HTTP/1.1\r\nHost: h\r\n\r\n")
		if head, _ := wr.last(t); res.StatusCode != 200 || !strings.HasPrefix(head, "GET "+target+" HTTP/1.1\r\n") {
			t.Errorf("%s: %d %s", name, res.StatusCode, head)
		}
		if strings.Contains(w.log.String(), "connection trace") {
			t.Errorf("%s: traced", name)
		}
	}
	w := debugWorld(t, wr, true, hide)
	for _, query := range []string{"dump_request=yes", "xdump_request=y", "dump_request=Y", "dump%5Frequest=y", "dump_request", "a=dump_request=y"} {
		res := w.raw("GET", "GET /p?"+query+" HTTP/1.1\r\nHost: h\r\n\r\n")
		if head, _ := wr.last(t); res.StatusCode != 200 || !strings.HasPrefix(head, "GET /p?"+query+" HTTP/1.1\r\n") {
			t.Errorf("%s: %d %s", query, res.StatusCode, head)
		}
	}
}

func TestTraceConnection(t *testing.T) {
	wr := newWire(t, ok200)
	w := debugWorld(t, wr, true, hide)
	for query, want := range map[string]string{
		"?trace_connection=y":                      "",
		"?a=%2F&trace_connection=y&b;c&&":          "?a=%2F&b;c&&",
		"?trace_connection=y&a&trace_connection=y": "?a",
		"?a+b&trace_connection=y":                  "?a+b",
		"?trace_connection=no":                     "?trace_connection=no",
	} {
		res := w.raw("GET", "GET /secret/p"+query+" HTTP/1.1\r\nHost: h\r\nAuthorization: hush\r\n\r\n")
		if head, _ := wr.last(t); res.StatusCode != 200 || !strings.HasPrefix(head, "GET /secret/p"+want+" HTTP/1.1\r\n") {
			t.Errorf("%s: %d %s", query, res.StatusCode, head)
		}
	}
	log := w.log.String()
	if n := strings.Count(log, "connection trace"); n != 4 {
		t.Errorf("%d traces, want 4", n)
	}
	for _, want := range []string{"connect_ms=", "dns_ms=", "tls_ms=", "first_byte_ms=", "result=ok", `route="ANY /{proxy+}"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the trace lacks %s:\n%s", want, log)
		}
	}
	for _, never := range []string{"secret", "hush"} {
		if strings.Contains(log, never) {
			t.Errorf("the trace holds %q", never)
		}
	}
	down := newWire(t, "")
	w = debugWorld(t, down, true, hide)
	w.raw("GET", "GET /?trace_connection=y HTTP/1.1\r\nHost: h\r\n\r\n")
	if !strings.Contains(w.log.String(), `result="backend broke off"`) {
		t.Errorf("%s", w.log)
	}
}

func FuzzCutParameter(f *testing.F) {
	f.Add("a&dump_request=y&&b=")
	f.Fuzz(func(t *testing.T, query string) {
		rest, found := cutParameter(query, traceParameter)
		if !found && rest != query {
			t.Errorf("%q became %q", query, rest)
		}
		if again, twice := cutParameter(rest, traceParameter); twice || again != rest {
			t.Errorf("%q: %q", query, rest)
		}
		if with, found := cutParameter(query+"&"+traceParameter, traceParameter); !found || rest != with && !(strings.Trim(query, "&") == traceParameter) {
			t.Errorf("%q: %q, at the end %q", query, rest, with)
		}
	})
}

// Over HTTP/2 the front behaves the same.
func TestHTTP2Front(t *testing.T) {
	backend := newBackend(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Trailer", "X-Sum")
		rw.Header().Set("X-Target", r.RequestURI)
		rw.Header().Set("X-Forwarded", r.Header.Get("Forwarded"))
		rw.Header().Set("Location", "http://"+r.Host+"/x")
		body, _ := io.ReadAll(r.Body)
		rw.Write(body)
		rw.Header().Set("X-Sum", r.Trailer.Get("X-Up"))
	})
	w := newWorld(t, backend.URL, option{tls: true})
	tr := client.Transport.(*http.Transport).Clone()
	tr.ForceAttemptHTTP2, tr.DisableKeepAlives = true, false
	tr.TLSClientConfig = insecure
	defer tr.CloseIdleConnections()
	r := w.request("POST", "/a%2Fb?x=%20", io.NopCloser(strings.NewReader("body")))
	r.Trailer = http.Header{"X-Up": {"up"}}
	res, err := (&http.Client{Transport: tr, CheckRedirect: client.CheckRedirect}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.ProtoMajor != 2 || string(body) != "body" || res.Trailer.Get("X-Sum") != "up" || res.Header.Get("X-Target") != "/a%2Fb?x=%20" ||
		!strings.HasSuffix(res.Header.Get("X-Forwarded"), ";proto=https") || res.Header.Get("Location") != w.url+"/x" {
		t.Errorf("%v %q %v %v %v", res.Proto, body, res.Header, res.Trailer, err)
	}
}

// A 204 that declares a body it cannot have is a whole answer to an HTTP/2 client, too.
func TestHTTP2FrontWithoutContent(t *testing.T) {
	w := newWorld(t, newWire(t, "HTTP/1.1 204 No Content\r\nContent-Length: 41\r\n\r\n").url, option{tls: true})
	tr := client.Transport.(*http.Transport).Clone()
	tr.ForceAttemptHTTP2, tr.DisableKeepAlives = true, false
	tr.TLSClientConfig = insecure
	defer tr.CloseIdleConnections()
	res, err := tr.RoundTrip(w.request("GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || len(body) != 0 || res.StatusCode != http.StatusNoContent || res.ProtoMajor != 2 {
		t.Errorf("%v %d %q %v", res.Proto, res.StatusCode, body, err)
	}
}

// net/http's HTTP/2 server may still be reading the header of a 1xx response when the client
// has reset the stream and WriteHeader has returned: nothing may change it then. The race
// detector, or a crash of the process, tells.
func TestHTTP2FrontResetDuringEarlyHints(t *testing.T) {
	hints := strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-A: 1\r\nX-B: 2\r\n\r\n", 16)
	w := newWorld(t, newWire(t, hints+ok200).url, option{tls: true})
	tr := client.Transport.(*http.Transport).Clone()
	tr.ForceAttemptHTTP2, tr.DisableKeepAlives = true, false
	tr.TLSClientConfig = insecure
	defer tr.CloseIdleConnections()
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			for i := range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				seen := 0
				trace := &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
					if seen++; seen == 1+i%8 {
						cancel()
					}
					return nil
				}}
				if res, err := tr.RoundTrip(w.request("GET", "/", nil).WithContext(httptrace.WithClientTrace(ctx, trace))); err == nil {
					res.Body.Close()
				}
				cancel()
			}
		})
	}
	calls.Wait()
}
