package torture

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// tapwayHost is the public name by which an API is attached to tapway. No resolver knows it: the front
// does.
const tapwayHost = "tapway.torture.test"

// wayHeader is in every answer that comes through a front: which way the call went.
const wayHeader = "X-Torture-Way"

const (
	wayBackend = "backend" // straight to the backend: tapway has never seen the call
	wayTapway  = "tapway"
	wayNone    = "none" // nowhere: tapway, to whom it should have gone, is away
)

// frontConf is what a front needs to know.
type frontConf struct {
	resolve  func(method, path string) (apitest.Target, bool) // what is deployed at this moment
	backend  string                                           // host and port
	tapway   string                                           // host and port
	led      *pathSet                                         // the paths of calls that were led to tapway
	problem  func(kind, format string, args ...any)
	mayBreak func() bool   // whether tapway may break off a call now, because it serves none that it cannot record
	timeout  time.Duration // of tapway, after which it breaks a call off
}

// front plays that part of API Gateway which serves calls. It asks for every call what is deployed at
// that moment and leads it there, to the backend or to tapway. A call that breaks off on its way is a
// problem, for an attach or a detach must not cost one; unless it was to break off, its client has gone,
// or tapway has ended, has waited as long as it may or has no room for a record.
type front struct {
	*httptest.Server
	frontConf
	transport *http.Transport
	living    atomic.Bool // tapway is; false from just before it is told to end or killed
}

func newFront(c frontConf) *front {
	f := &front{frontConf: c}
	f.living.Store(true)
	var dialer net.Dialer
	f.transport = &http.Transport{
		DisableKeepAlives:  true, // a connection that ends just when the next call is sent on it is nobody's fault
		DisableCompression: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if host, _, _ := net.SplitHostPort(addr); host == tapwayHost {
				addr = f.tapway
			}
			return dialer.DialContext(ctx, network, addr)
		},
	}
	f.Server = httptest.NewUnstartedServer(f)
	f.Config.ErrorLog = quiet
	f.Start()
	return f
}

func (f *front) close() {
	f.CloseClientConnections()
	f.Close()
}

// host is where clients call it.
func (f *front) host() string { return f.Listener.Addr().String() }

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t, ok := f.resolve(r.Method, r.URL.Path)
	if !ok || t.Problem != "" || t.Type != "HTTP_PROXY" {
		f.problem("a route of the API is broken", "%s %s: %+v", r.Method, r.URL.Path, t)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	to, way, err := f.target(t, r.URL)
	if err != nil {
		f.problem("a route of the API is broken", "%s %s: %v: %+v", r.Method, r.URL.Path, err, t)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	began, sent := time.Now(), &watched{ReadCloser: r.Body}
	broken := func(err error) {
		excused := way == wayTapway && (!f.living.Load() || time.Since(began) >= f.timeout || f.mayBreak())
		if r.Context().Err() == nil && !sent.failed.Load() && r.URL.Query().Get("fault") == "" && !excused {
			f.problem("a call broke off on its way through the API", "%s %s, led to %s: %v", r.Method, r.URL.Path, way, err)
		}
	}
	if r.ContentLength != 0 {
		r.Body = sent
	}
	if way == wayTapway {
		f.led.add(r.URL.Path)
	}
	p := httputil.ReverseProxy{
		Transport: f.transport, ErrorLog: quiet, FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL, p.Out.Host = to, ""
			f.parameters(t, p.Out.Header)
		},
		ModifyResponse: func(resp *http.Response) error {
			resp.Header.Set(wayHeader, way)
			resp.Body = &watched{ReadCloser: resp.Body, broke: broken}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			broken(err)
			var dial *net.OpError
			if way == wayBackend || !errors.As(err, &dial) || dial.Op != "dial" {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set(wayHeader, wayNone)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	p.ServeHTTP(w, r)
}

// target is where an integration sends a call.
func (f *front) target(t apitest.Target, in *url.URL) (to *url.URL, way string, err error) {
	_, template, _ := strings.Cut(t.Route, " ")
	prefix := strings.TrimSuffix(template, "{proxy+}")
	if to, err = url.Parse(strings.ReplaceAll(t.URI, "{proxy}", strings.TrimPrefix(in.EscapedPath(), prefix))); err != nil {
		return nil, "", err
	}
	to.RawQuery = in.RawQuery
	switch to.Host {
	case f.backend:
		return to, wayBackend, nil
	case tapwayHost:
		to.Scheme = "http" // whoever ends TLS for tapway is not here
		return to, wayTapway, nil
	}
	return nil, "", errors.New("it leads to neither the backend nor tapway")
}

// parameters does what an integration's request parameters say.
func (f *front) parameters(t apitest.Target, h http.Header) {
	for to, from := range t.Parameters {
		if name, ok := strings.CutPrefix(to, "integration.request.header."); ok {
			h.Set(name, strings.Trim(from, "'"))
		} else if name, ok := strings.CutPrefix(to, "overwrite:header."); ok {
			h.Set(name, from)
		} else if to != "integration.request.path.proxy" {
			f.problem("a route of the API is broken", "the front knows no parameter %s", to)
		}
	}
}

// watched is a body that remembers whether it could not be read to its end.
type watched struct {
	io.ReadCloser
	broke  func(error) // is told; nil: nobody
	failed atomic.Bool
}

func (b *watched) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && !b.failed.Swap(true) && b.broke != nil {
		b.broke(err)
	}
	return n, err
}

// pathSet is a set of paths.
type pathSet struct {
	mu  sync.Mutex
	all map[string]bool
}

func (s *pathSet) add(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string]bool{}
	}
	s.all[path] = true
}

func (s *pathSet) has(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[path]
}
