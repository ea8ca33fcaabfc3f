package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// transportTLS starts a TLS server that tells what it saw, and a pool with its certificate.
func transportTLS(t *testing.T, h2 bool, change func(*tls.Config)) (*httptest.Server, *tls.Config) {
	t.Helper()
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "Sum")
		fmt.Fprintf(w, "%s %s %s %q %v %v", r.Proto, r.Method, r.RequestURI, b, err, r.Header["User-Agent"])
		w.Header().Set("Sum", r.Trailer.Get("Sum"))
	}))
	ts.EnableHTTP2 = h2
	ts.TLS = &tls.Config{}
	if change != nil {
		change(ts.TLS)
	}
	ts.Config.ErrorLog = transportDiscardLog()
	ts.StartTLS()
	t.Cleanup(ts.Close)
	pool := x509.NewCertPool()
	pool.AddCert(ts.Certificate())
	return ts, &tls.Config{RootCAs: pool}
}

func TestTransportTLS(t *testing.T) {
	ts, cfg := transportTLS(t, false, nil)
	tr := transportNoLeaks(t, &Transport{TLSConfig: cfg})
	for _, body := range []string{"", "hello", strings.Repeat("x", 100<<10)} {
		resp, err := tr.RoundTrip(transportRequest(t, "POST", ts.URL+"/a", body))
		if err != nil {
			t.Fatal(err)
		}
		if got := transportReadAll(t, resp); got != fmt.Sprintf("HTTP/1.1 POST /a %q <nil> []", body) || resp.TLS == nil || resp.TLS.NegotiatedProtocol != "http/1.1" {
			t.Errorf("%.100q", got)
		}
		transportEventually(t, "the one connection is idle", func() bool { live, idle := transportCounts(tr); return live == 1 && idle == 1 })
	}
	if _, err := transportNoLeaks(t, &Transport{}).RoundTrip(transportRequest(t, "GET", ts.URL, "")); err == nil {
		t.Error("a certificate nobody vouches for was accepted")
	} else if ua := new(x509.UnknownAuthorityError); !errors.As(err, ua) {
		t.Errorf("error %v", err)
	}
	insecure := transportNoLeaks(t, &Transport{TLSConfig: &tls.Config{InsecureSkipVerify: true}})
	if resp, err := insecure.RoundTrip(transportRequest(t, "GET", ts.URL, "")); err != nil {
		t.Error(err)
	} else {
		transportReadAll(t, resp)
	}
	// The name to verify is the URL's, unless the configuration has another.
	named := &Transport{TLSConfig: cfg, DialContext: transportDialTo("http://" + ts.Listener.Addr().String())}
	if _, err := named.RoundTrip(transportRequest(t, "GET", "https://other.test", "")); err == nil {
		t.Error("a certificate for another name was accepted")
	}
	named.TLSConfig = cfg.Clone()
	named.TLSConfig.ServerName = "example.com"
	if resp, err := named.RoundTrip(transportRequest(t, "GET", "https://other.test", "")); err != nil {
		t.Error(err)
	} else {
		transportReadAll(t, resp)
	}
	named.CloseIdleConnections()
}

func TestTransportClientCertificate(t *testing.T) {
	ts, cfg := transportTLS(t, false, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
	without := transportNoLeaks(t, &Transport{TLSConfig: cfg})
	if _, err := without.RoundTrip(transportRequest(t, "GET", ts.URL, "")); err == nil {
		t.Error("answered without a certificate")
	}
	cfg = cfg.Clone()
	cfg.Certificates = ts.TLS.Certificates
	with := transportNoLeaks(t, &Transport{TLSConfig: cfg})
	resp, err := with.RoundTrip(transportRequest(t, "GET", ts.URL, ""))
	if err != nil {
		t.Fatal(err)
	}
	transportReadAll(t, resp)
}

// Below TLS, too, a connection that was closed while idle is noticed.
func TestTransportTLSClosedWhileIdle(t *testing.T) {
	ts, cfg := transportTLS(t, false, nil)
	tr := transportNoLeaks(t, &Transport{TLSConfig: cfg})
	for range 2 {
		resp, err := tr.RoundTrip(transportRequest(t, "POST", ts.URL, "once"))
		if err != nil {
			t.Fatal(err)
		}
		transportReadAll(t, resp)
		ts.CloseClientConnections()
	}
}

func TestTransportConnectTimeout(t *testing.T) {
	silent := transportListen(t, func(_ int, nc net.Conn, br *bufio.Reader) { io.Copy(io.Discard, br) })
	var took time.Duration
	var dialErr error
	tr := transportNoLeaks(t, &Transport{ConnectTimeout: 30 * time.Millisecond, Dialed: func(_ context.Context, d time.Duration, err error) { took, dialErr = d, err }})
	_, err := tr.RoundTrip(transportRequest(t, "GET", "https"+silent[4:], ""))
	var ne net.Error
	if !errors.Is(err, ErrConnectTimeout) || !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(dialErr, ErrConnectTimeout) || took < 30*time.Millisecond {
		t.Errorf("error %v, dial error %v after %v", err, dialErr, took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	tr.ConnectTimeout = time.Minute
	if _, err := tr.RoundTrip(transportRequest(t, "GET", "https"+silent[4:], "").WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestTransportH2(t *testing.T) {
	ts, cfg := transportTLS(t, true, nil)
	var conns atomic.Int32
	dialled := 0
	tr := transportNoLeaks(t, &Transport{TLSConfig: cfg, HTTP2: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conns.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		Dialed: func(context.Context, time.Duration, error) { dialled++ }, // on this goroutine: no lock
	})
	for _, tc := range []struct {
		method, opaque, query, body string
		want                        string
	}{
		{"GET", "/a%2Fb", "x=1&x", "", "/a%2Fb?x=1&x"},
		{"POST", "//a//b", "", "hello", "//a//b"},
		{"PUT", "/c;d", "", strings.Repeat("x", 100<<10), "/c;d"},
	} {
		req := transportRequest(t, tc.method, ts.URL, tc.body)
		req.URL = &url.URL{Scheme: "https", Host: req.URL.Host, Opaque: tc.opaque, RawQuery: tc.query}
		opaque := req.URL.Opaque
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := transportReadAll(t, resp), fmt.Sprintf("HTTP/2.0 %s %s %q <nil> []", tc.method, tc.want, tc.body); got != want {
			t.Errorf("got %.200q, want %.200q", got, want)
		}
		if resp.Request != req || req.URL.Opaque != opaque || req.Header["User-Agent"] != nil {
			t.Error("the request was changed or exchanged")
		}
	}
	if conns.Load() != 1 || dialled != 1 {
		t.Errorf("%d connections, Dialed called %d times", conns.Load(), dialled)
	}
	// What only HTTP/1.1 can do still goes that way.
	req := transportRequest(t, "GET", ts.URL, "")
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := transportReadAll(t, resp); !strings.HasPrefix(got, "HTTP/1.1 ") {
		t.Errorf("got %q", got)
	}
}

// Offering h2 changes nothing for a host that does not take it.
func TestTransportH2NotTaken(t *testing.T) {
	ts, cfg := transportTLS(t, false, nil)
	tr := transportNoLeaks(t, &Transport{TLSConfig: cfg, HTTP2: true})
	resp, err := tr.RoundTrip(transportRequest(t, "POST", ts.URL, "x"))
	if err != nil {
		t.Fatal(err)
	}
	if got := transportReadAll(t, resp); !strings.HasPrefix(got, "HTTP/1.1 POST / \"x\"") {
		t.Errorf("got %q", got)
	}
}

// A host that gives HTTP/2 up is served over HTTP/1.1 again, with the body of the very call
// that finds out.
func TestTransportH2GivenUp(t *testing.T) {
	two, cfg := transportTLS(t, true, nil)
	one, _ := transportTLS(t, false, nil)
	cfg.RootCAs = cfg.RootCAs.Clone()
	cfg.RootCAs.AddCert(one.Certificate())
	var addr atomic.Value
	addr.Store(two.Listener.Addr().String())
	tr := transportNoLeaks(t, &Transport{TLSConfig: cfg, HTTP2: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr.Load().(string))
	}})
	for i, want := range []string{"HTTP/2.0", "HTTP/1.1", "HTTP/1.1"} {
		resp, err := tr.RoundTrip(transportRequest(t, "POST", "https://example.com", "hello"))
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		if got := transportReadAll(t, resp); got != want+` POST / "hello" <nil> []` {
			t.Errorf("call %d: %q", i, got)
		}
		if i == 0 {
			addr.Store(one.Listener.Addr().String())
			tr.inner.CloseIdleConnections()
			two.CloseClientConnections()
		}
	}
}

// Callers that find HTTP/2 out all at once do not get into each other's way.
func TestTransportH2Together(t *testing.T) {
	ts, cfg := transportTLS(t, true, nil)
	tr := transportNoLeaks(t, &Transport{TLSConfig: cfg, HTTP2: true, MaxConnsPerHost: 3})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			resp, err := tr.RoundTrip(transportRequest(t, "POST", ts.URL, "x"))
			if err != nil {
				t.Error(err)
				return
			}
			if got := transportReadAll(t, resp); !strings.HasPrefix(got, "HTTP/2.0 ") {
				t.Errorf("got %q", got)
			}
		})
	}
	wg.Wait()
	if live, _ := transportCounts(tr); live != 0 {
		t.Errorf("%d connections counted", live)
	}
}

func TestTransportH2C(t *testing.T) {
	release := make(chan struct{})
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/silent":
			<-release
		case "/stops":
			w.Write([]byte("hi"))
			http.NewResponseController(w).Flush()
			<-release
		}
		fmt.Fprintf(w, "%s %s %s", r.Proto, r.RequestURI, b)
	}))
	ts.Config.Protocols = new(http.Protocols)
	ts.Config.Protocols.SetUnencryptedHTTP2(true)
	ts.Config.Protocols.SetHTTP1(true)
	ts.Start()
	defer ts.Close()
	defer close(release)
	tr := transportNoLeaks(t, &Transport{H2C: true, ResponseHeaderTimeout: 100 * time.Millisecond, BodyIdleTimeout: 100 * time.Millisecond})
	req := transportRequest(t, "POST", ts.URL, "hello")
	req.URL.Opaque = "//x"
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := transportReadAll(t, resp); got != "HTTP/2.0 //x hello" {
		t.Errorf("got %q", got)
	}
	if _, err := tr.RoundTrip(transportRequest(t, "GET", ts.URL+"/silent", "")); !errors.Is(err, ErrResponseHeaderTimeout) {
		t.Errorf("error %v", err)
	}
	if resp, err = tr.RoundTrip(transportRequest(t, "GET", ts.URL+"/stops", "")); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "hi" || !errors.Is(err, ErrBodyIdleTimeout) {
		t.Errorf("%q, %v", b, err)
	}
	resp.Body.Close()
	tr2 := transportNoLeaks(t, &Transport{H2C: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := tr2.RoundTrip(transportRequest(t, "GET", ts.URL+"/silent", "").WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestTransportTLSTrace(t *testing.T) {
	ts, cfg := transportTLS(t, false, nil)
	tr := transportNoLeaks(t, &Transport{TLSConfig: cfg})
	var events []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		TLSHandshakeStart: func() { events = append(events, "start") },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			events = append(events, fmt.Sprint("done ", s.HandshakeComplete, err))
		},
	})
	resp, err := tr.RoundTrip(transportRequest(t, "GET", ts.URL, "").WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	transportReadAll(t, resp)
	if got := strings.Join(events, "|"); got != "start|done true<nil>" && got != "start|done true <nil>" {
		t.Errorf("events %s", got)
	}
}
