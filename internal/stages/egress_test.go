package stages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/egress"
)

// server is an HTTP server under the made-up name api.test, with and without TLS, HTTP/1 and h2c.
type server struct {
	url  string // http://api.test:port
	hits atomic.Int32
}

func newServer(t *testing.T, h http.HandlerFunc) *server {
	s := new(server)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		h(w, r)
	}))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	u, _ := url.Parse(srv.URL)
	s.url = "http://api.test:" + u.Port()
	return s
}

// resolver knows every name at the address of the moment.
type resolver struct{ at atomic.Pointer[string] }

func (r *resolver) set(addr string) { r.at.Store(&addr) }

func (r *resolver) resolve(context.Context, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr(*r.at.Load())}, nil
}

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Source{File: "tapway.yaml", Text: []byte(text), Getenv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func get(t *testing.T, rt http.RoundTripper, url string) (int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode, nil
}

// TestRoutesAsk: the connections of a route are the policy's business, over HTTP/1 and HTTP/2.
func TestRoutesAsk(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		backend, other := newServer(t, func(http.ResponseWriter, *http.Request) {}), newServer(t, func(http.ResponseWriter, *http.Request) {})
		names := new(resolver)
		way := &egress.Dialer{Resolve: names.resolve}
		routes, err := NewRoutes(load(t, fmt.Sprintf("proxy: {h2c: %v}\nbackend: %s/base\n", h2c, backend.url)), way)
		if err != nil {
			t.Fatal(err)
		}
		defer routes.Close()
		rt := routes.backends[0].Transport

		names.set("169.254.169.254")
		_, err = get(t, rt, backend.url)
		if denied, ok := errors.AsType[*egress.DeniedError](err); !ok || denied.DeniedBy() != "default metadata" {
			t.Errorf("h2c %v: a backend's name that leads to metadata: %v", h2c, err)
		}
		names.set("127.0.0.1")
		if status, err := get(t, rt, backend.url); status != 200 || err != nil {
			t.Errorf("h2c %v: a configured backend on loopback: %d %v", h2c, status, err)
		}
		names.set("169.254.169.254")
		if status, err := get(t, rt, backend.url); status != 200 || err != nil {
			t.Errorf("h2c %v: a connection that was let out is kept: %d %v", h2c, status, err)
		}
		names.set("127.0.0.1")
		_, err = get(t, rt, other.url)
		if denied, ok := errors.AsType[*egress.DeniedError](err); !ok || denied.DeniedBy() != "default loopback" {
			t.Errorf("h2c %v: a host that no route names: %v", h2c, err)
		}
		if backend.hits.Load() != 2 || other.hits.Load() != 0 {
			t.Errorf("h2c %v: %d calls of the backend, %d of the other", h2c, backend.hits.Load(), other.hits.Load())
		}
	}
}

// TestDestinationAsks: a denied destination costs an attempt, says why, and is tried again later.
func TestDestinationAsks(t *testing.T) {
	sink := newServer(t, func(http.ResponseWriter, *http.Request) {})
	names := new(resolver)
	c := load(t, "backend: http://a.test\negress: {deny: [10.0.0.0/8]}\ndestinations: [{name: sink, url: \""+sink.url+"\"}]\n")
	policy, err := c.Egress.Policy()
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDestination(c.Destinations[0], &egress.Dialer{Policy: policy, Resolve: names.resolve}, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Transport.CloseIdleConnections()
	ex := tapway.Exchange{Meta: tapway.Meta{Method: "GET", Path: "/"}}
	message := tapway.Message{ID: ex.ID, Frame: tapway.AppendFrame(nil, &ex)}
	names.set("10.0.0.1")
	out := d.Sender.Send(t.Context(), []tapway.Message{message})[0]
	if out.Verdict != tapway.Retry || out.Reason != "egress denied by 10.0.0.0/8" || out.After <= 0 || sink.hits.Load() != 0 {
		t.Errorf("%+v, %d requests", out, sink.hits.Load())
	}
	names.set("127.0.0.1")
	if out := d.Sender.Send(t.Context(), []tapway.Message{message})[0]; out.Verdict != tapway.Delivered || sink.hits.Load() != 1 {
		t.Errorf("%+v, %d requests", out, sink.hits.Load())
	}
}

// TestNoProxyFromEnvironment: a proxy would be dialled instead of the address that was checked.
func TestNoProxyFromEnvironment(t *testing.T) {
	trap := newServer(t, func(http.ResponseWriter, *http.Request) {})
	u, _ := url.Parse(trap.url)
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, "http://127.0.0.1:"+u.Port())
	}
	req, _ := http.NewRequest("GET", "http://api.test", nil)
	if proxy, err := http.ProxyFromEnvironment(req); proxy == nil || err != nil {
		t.Fatalf("the test proves nothing: %v %v", proxy, err)
	}
	names := new(resolver)
	names.set("127.0.0.1")
	for _, h2c := range []bool{false, true} {
		backend := newServer(t, func(http.ResponseWriter, *http.Request) {})
		routes, err := NewRoutes(load(t, fmt.Sprintf("proxy: {h2c: %v}\nbackend: %s\n", h2c, backend.url)), &egress.Dialer{Resolve: names.resolve})
		if err != nil {
			t.Fatal(err)
		}
		defer routes.Close()
		if status, err := get(t, routes.backends[0].Transport, backend.url); status != 200 || err != nil || backend.hits.Load() != 1 {
			t.Errorf("h2c %v: %d %v, %d calls", h2c, status, err, backend.hits.Load())
		}
	}
	if trap.hits.Load() != 0 {
		t.Error("the proxy of the environment was asked")
	}
}
