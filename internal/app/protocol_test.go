package app

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tapway/tapway/internal/demo"
)

// TestEventStream: each event arrives when the backend has sent it, not when the stream
// ends, and the record has the stream.
func TestEventStream(t *testing.T) {
	next := make(chan struct{})
	w := newWorld(t, "proxy: {timeout: 1s}\nbackend: "+httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: {\"n\": %d}\n\n", i)
			http.NewResponseController(w).Flush()
			<-next
		}
	}))+"\n")
	resp, err := http.Get(w.url + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	for i := range 3 {
		line, err := r.ReadString('\n')
		if want := fmt.Sprintf("data: {\"n\": %d}\n", i); err != nil || line != want {
			t.Fatalf("event %d: %q, %v", i, line, err)
		}
		r.ReadString('\n')
		next <- struct{}{} // only now may the backend go on
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	if rec := w.sink.next(t, 0); !strings.Contains(fmt.Sprint(rec["response"]), `{"n": 2}`) {
		t.Errorf("record: %v", rec["response"])
	}
}

// TestWebSocket: an upgrade passes through and is one exchange with status 101 and counts.
func TestWebSocket(t *testing.T) {
	w := newWorld(t, "backend: "+httpBackend(t, new(demo.API).Handler())+"\n")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+w.addr+"/api/v1/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	for _, text := range []string{"hello", strings.Repeat("long ", 2000)} {
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); err != nil || string(got) != text {
			t.Fatalf("echo: %d bytes, %v", len(got), err)
		}
	}
	conn.Close(websocket.StatusNormalClosure, "")
	rec := w.sink.next(t, 0)
	in, out := rec["body_info"].(map[string]any)["size"].(float64), rec["response_info"].(map[string]any)["size"].(float64)
	if rec["status"] != 101.0 || rec["origin"] != "backend" || in < 10_000 || out < 10_000 {
		t.Errorf("record: status %v, %v bytes in, %v out, error %v", rec["status"], in, out, rec["error"])
	}
}

// TestSpecialResponses: no body where there must be none, trailers, hints, 100-continue.
func TestSpecialResponses(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/head", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "1234") })
	mux.HandleFunc("/204", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) })
	mux.HandleFunc("/304", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"x"`)
		w.WriteHeader(304)
	})
	mux.HandleFunc("/trailer", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-End")
		io.WriteString(w, "body "+r.Trailer.Get("X-Sum"))
		w.Header().Set("X-End", "done")
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(103)
		w.WriteHeader(200)
	})
	mux.HandleFunc("/expect", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Refuse") != "" {
			w.WriteHeader(http.StatusRequestEntityTooLarge) // without reading: no 100 Continue
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	w := newWorld(t, "backend: "+httpBackend(t, mux)+"\n")

	resp, err := http.Head(w.url + "/head")
	if err != nil || resp.ContentLength != 1234 {
		t.Errorf("HEAD: %v, %v", resp, err)
	}
	for _, path := range []string{"/204", "/304"} {
		resp, err := http.Get(w.url + path)
		if err != nil || fmt.Sprint(resp.StatusCode) != path[1:] || path == "/304" && resp.Header.Get("Etag") != `"x"` {
			t.Errorf("%s: %v, %v", path, resp, err)
		}
	}

	req, _ := http.NewRequest("POST", w.url+"/trailer", struct{ io.Reader }{strings.NewReader("abc")})
	req.Trailer = http.Header{"X-Sum": {"42"}}
	resp, err = http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || string(body) != "body 42" || resp.Trailer.Get("X-End") != "done" {
		t.Errorf("trailers: %q, %v, %v", body, resp.Trailer, err)
	}

	hint := ""
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hint = fmt.Sprint(code, h.Get("Link"))
		return nil
	}})
	req, _ = http.NewRequestWithContext(ctx, "GET", w.url+"/hints", nil)
	if resp, err = http.DefaultClient.Do(req); err != nil || resp.StatusCode != 200 || hint != "103</a.css>; rel=preload" {
		t.Errorf("early hints: %q, %v", hint, err)
	}

	for refuse, want := range map[string]int{"": 200, "yes": 413} {
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(c, "POST /expect HTTP/1.1\r\nHost: a\r\nX-Refuse: %s\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", refuse)
		r := bufio.NewReader(c)
		line, _ := r.ReadString('\n')
		if refuse == "" {
			if !strings.HasPrefix(line, "HTTP/1.1 100 ") {
				t.Errorf("no 100 Continue: %q", line)
			}
			r.ReadString('\n')
			io.WriteString(c, "hello")
			line, _ = r.ReadString('\n')
		}
		if !strings.HasPrefix(line, fmt.Sprintf("HTTP/1.1 %d ", want)) {
			t.Errorf("Expect, refuse %q: %q", refuse, line)
		}
		c.Close()
	}
	w.checkLedger()
}

// ca is a certificate authority of the test's own.
type ca struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newCA(t *testing.T) *ca {
	t.Helper()
	c := &ca{t: t, dir: t.TempDir()}
	c.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &c.key.PublicKey, c.key)
	if err != nil {
		t.Fatal(err)
	}
	c.cert, _ = x509.ParseCertificate(der)
	c.file = c.write("ca.pem", "CERTIFICATE", der)
	return c
}

func (c *ca) write(name, kind string, der []byte) string {
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// issue makes a certificate for 127.0.0.1 and gives the paths of certificate and key.
func (c *ca) issue(name string) (cert, key string) {
	c.t.Helper()
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, &k.PublicKey, c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	keyDER, _ := x509.MarshalECPrivateKey(k)
	return c.write(name+".pem", "CERTIFICATE", der), c.write(name+".key", "EC PRIVATE KEY", keyDER)
}

func (c *ca) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.cert)
	return pool
}

// TestTLSBothEnds: HTTPS with HTTP/2 and HTTP/1.1 at the front, mutual TLS and HTTP/2 to
// the backend with a private CA.
func TestTLSBothEnds(t *testing.T) {
	authority := newCA(t)
	frontCert, frontKey := authority.issue("front")
	backCert, backKey := authority.issue("backend")
	clientCert, clientKey := authority.issue("client")
	for _, backendH2 := range []bool{false, true} {
		backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s %s", r.Proto, r.TLS.PeerCertificates[0].Subject.CommonName, r.RequestURI, body)
		}))
		pair, err := tls.LoadX509KeyPair(backCert, backKey)
		if err != nil {
			t.Fatal(err)
		}
		backend.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.pool()}
		backend.EnableHTTP2 = backendH2
		backend.StartTLS()
		defer backend.Close()
		w := newWorld(t, fmt.Sprintf("tls: {cert: %s, key: %s}\nbackend: %s\nproxy: {tls: {ca: %s, cert: %s, key: %s}}\n", frontCert, frontKey, backend.URL, authority.file, clientCert, clientKey))
		for n, h2 := range []bool{false, true} {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.pool()}, ForceAttemptHTTP2: h2}}
			resp, err := client.Post("https://"+w.addr+"/a%2Fb//c?x=%20", "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			client.CloseIdleConnections()
			want := map[bool]string{true: "HTTP/2.0", false: "HTTP/1.1"}
			if string(body) != want[backendH2]+" client /a%2Fb//c?x=%20 hello" || resp.Proto != want[h2] {
				t.Errorf("front h2 %v, backend h2 %v: %s %q", h2, backendH2, resp.Proto, body)
			}
			if rec := w.sink.next(t, n); rec["proto"] != want[h2] || rec["status"] != 200.0 {
				t.Errorf("record: %v %v", rec["proto"], rec["status"])
			}
		}
		w.stop()
	}
}

// TestUntrustedBackend: a certificate nobody vouches for is a 502 with a record, unless the
// configuration says to accept any.
func TestUntrustedBackend(t *testing.T) {
	backend := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "fine") }))
	defer backend.Close()
	w := newWorld(t, "backend: "+backend.URL+"\n")
	resp, err := http.Get(w.url + "/x")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 502 || strings.Contains(string(body), "127.0.0.1") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if rec := w.sink.next(t, 0); rec["origin"] != "gateway" || rec["error"] == nil || strings.Contains(fmt.Sprint(rec["error"]), "127.0.0.1") {
		t.Errorf("record: %v %v", rec["origin"], rec["error"])
	}
	open := newWorld(t, "backend: "+backend.URL+"\nproxy: {tls: {insecure_skip_verify: true}}\n")
	if resp, err = http.Get(open.url + "/x"); err != nil || resp.StatusCode != 200 {
		t.Fatalf("accepting any certificate: %v, %v", resp, err)
	}
	resp.Body.Close()
}

// TestH2C: HTTP/2 without TLS at the front and to the backend, by a switch.
func TestH2C(t *testing.T) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP1(true)
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	backend.Config.Protocols = protocols
	backend.Start()
	defer backend.Close()
	w := newWorld(t, "backend: "+backend.URL+"\nh2c: true\nproxy: {h2c: true}\n")
	only := new(http.Protocols)
	only.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: only}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(w.url + "/x")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.Proto != "HTTP/2.0" || string(body) != "HTTP/2.0" {
		t.Errorf("front %s, backend %s", resp.Proto, body)
	}
}
