package torture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// call is what a client remembers of a call that it saw end.
type call struct {
	path         string
	method       string
	life         int
	status       int
	sent, got    int64
	sumSent      string
	sumGot       string
	began, ended time.Time
	excused      string // why it may have no record; "": it must have one
	torn         bool   // it may have none because the end of the log was damaged
	way          string // on which its answer came, of a call to an API; "": it was made to tapway
}

// excuse says why it may have no record. What had none cannot have been torn.
func (c *call) excuse() string {
	if c.torn && c.excused == "" {
		return "torn"
	}
	return c.excused
}

// calls are the calls of all clients.
type calls struct {
	mu    sync.Mutex
	begun int
	ended []*call
	past  []*call     // ended, and tapway has never seen them
	none  int         // were led to tapway while it was away
	own   map[int]int // answers by tapway itself to calls that nothing was to happen to, by status
}

func (c *calls) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun++
}

func (c *calls) end(one *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one.way == wayBackend {
		c.past = append(c.past, one)
		return
	}
	c.ended = append(c.ended, one)
}

// count gives how many were begun and how many ended.
func (c *calls) count() (begun, ended int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun, len(c.ended)
}

// client makes one call after the other.
type client struct {
	*calls
	secrets *secrets
	random  *rand.Rand
	gateway string // host and port of what it calls
	tapway  string // of tapway itself
	life    int
	no      int
	http    *http.Client
	pause   time.Duration      // between two calls
	enough  func() bool        // there are calls enough for now; nil: never
	keep    func(*call) string // whether a call is excused from having a record, and why
	problem func(kind, format string, args ...any)
	outside bool // it calls tapway past the API, and has no secret
}

func newClient(w *world, l life, no int, gateway string) *client {
	r := rand.New(rand.NewPCG(w.o.Seed, uint64(l.no)<<16|uint64(no)|1<<50))
	return &client{
		calls: &w.calls, secrets: w.secrets, random: r, gateway: gateway, tapway: gateway, life: l.no, no: no, keep: w.excuse, problem: w.problem,
		http: &http.Client{
			Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: r.IntN(4) == 0},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       15 * time.Second,
		},
	}
}

// run makes calls until ctx ends.
func (c *client) run(ctx context.Context) {
	defer c.http.CloseIdleConnections()
	for n := 0; ctx.Err() == nil; n++ {
		if c.pause > 0 && !sleep(ctx, c.pause) {
			return
		}
		for c.enough != nil && c.enough() {
			if !sleep(ctx, 100*time.Millisecond) {
				return
			}
		}
		c.begin()
		if c.random.IntN(40) == 0 {
			c.garbage()
			continue
		}
		if err := c.one(ctx, n); errors.Is(err, errRefused) && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond) // it is gone: do not spin
		}
	}
}

var (
	errRefused = errors.New("no connection")
	classes    = []string{"a", "a", "b", "sampled"}
	methods    = []string{"GET", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
	replies    = []string{"json", "json", "text", "binary", "events", "broken", "gzip"}
	sizes      = []int{0, 1, 10, 1000, 1000, 10_000, 10_000, 70_000, 300_000}
	statuses   = []string{"200", "200", "200", "201", "302", "404", "500", "204", "304"}
)

// one makes a call. All that is random is drawn before anything is sent, so that the next call
// does not depend on how this one ends.
func (c *client) one(ctx context.Context, n int) error {
	r := c.random
	one := &call{path: fmt.Sprintf("/%s/%d-%d-%d", classes[r.IntN(len(classes))], c.life, c.no, n), life: c.life}
	one.method = methods[r.IntN(len(methods))]
	q := url.Values{
		"seed": {strconv.FormatUint(r.Uint64(), 10)}, "size": {strconv.Itoa(sizes[r.IntN(len(sizes))])}, "reply": {replies[r.IntN(len(replies))]},
		"status": {statuses[r.IntN(len(statuses))]}, "token": {c.secrets.value(r)}, "session_key": {c.secrets.value(r)},
	}
	if roll := r.IntN(3 * len(backendFaults)); roll < len(backendFaults) {
		if q.Set("fault", backendFaults[roll]); q.Get("fault") == backendHang && r.IntN(4) > 0 {
			q.Del("fault") // it takes long
		}
	}
	kind, text := c.body(r, sizes[r.IntN(len(sizes))])
	chunked, slowly := r.IntN(3) == 0, r.IntN(20) == 0
	breaksOff, closesEarly := r.IntN(40) == 0, r.IntN(25) == 0
	seed := r.Uint64()
	if one.method == "GET" || one.method == "HEAD" || one.method == "OPTIONS" {
		text, chunked, slowly, breaksOff = nil, false, false, false
	}
	sent := &sender{text: text, slowly: slowly, breaksOff: breaksOff, sum: sha256.New()}
	var body io.Reader
	if len(text) > 0 {
		body = sent
	}
	req, err := http.NewRequestWithContext(ctx, one.method, "http://"+c.gateway+one.path+"?"+q.Encode(), body)
	if err != nil {
		return err
	}
	if !chunked {
		req.ContentLength = int64(len(text))
	}
	c.headers(req, rand.New(rand.NewPCG(seed, 4)), kind)
	one.began = time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" {
			return errRefused
		}
		return err
	}
	defer resp.Body.Close()
	if closesEarly {
		io.CopyN(io.Discard, resp.Body, 10)
		return nil
	}
	sum := sha256.New()
	if one.got, err = io.Copy(sum, resp.Body); err != nil {
		return err
	}
	one.ended, one.status = time.Now(), resp.StatusCode
	one.sumGot = hex.EncodeToString(sum.Sum(nil))
	if !breaksOff {
		one.sent, one.sumSent = sent.whole()
	}
	if one.way = resp.Header.Get(wayHeader); one.way == wayNone {
		c.wentNowhere()
		return errRefused
	}
	c.check(one, q, breaksOff)
	one.excused = c.keep(one)
	c.end(one)
	return nil
}

// headers plants secrets wherever they are promised to be found.
func (c *client) headers(req *http.Request, r *rand.Rand, kind string) {
	h := req.Header
	if kind != "" && req.Body != nil {
		h.Set("Content-Type", kind)
	}
	h.Set("Authorization", "Bearer "+c.secrets.value(r))
	if r.IntN(2) == 0 {
		h.Set("Cookie", "a="+c.secrets.value(r)+"; b="+c.secrets.value(r))
		h.Set("X-Api-Key", c.secrets.value(r))
	}
	if r.IntN(2) == 0 {
		h.Set("X-Internal-Token", c.secrets.value(r))
		h.Set("Referer", "https://user:"+c.secrets.value(r)+"@host/a?x=1&access_token="+c.secrets.value(r))
	}
	h.Set("User-Agent", "torture")
	h.Add("X-Many", strconv.Itoa(r.IntN(1000)))
	h.Add("X-Many", strings.Repeat("m", r.IntN(2000)))
}

// body is a request body of some kind, about size bytes long.
func (c *client) body(r *rand.Rand, size int) (kind string, text []byte) {
	pad, secret, other := padding(r, size), c.secrets.value(r), c.secrets.value(r)
	switch r.IntN(8) {
	case 0:
		return "application/x-www-form-urlencoded", []byte("user=neo&p%61ssword=" + secret + "&pin=" + other + "&pad=" + url.QueryEscape(pad))
	case 1:
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		m.SetBoundary("torture")
		m.WriteField("user", "neo")
		m.WriteField("password", secret)
		m.WriteField("pad", pad)
		m.Close()
		return m.FormDataContentType(), b.Bytes()
	case 2:
		return "application/json", []byte(`{"pad":"` + pad + `","password":"` + secret) // broken off
	case 3:
		return "text/plain", []byte("user=neo&password=" + secret + "\n" + pad)
	case 4:
		return "application/xml", []byte(`<?xml version="1.0"?><login><password>` + secret + `</password><pad>` + pad + `</pad></login>`)
	case 5:
		return "application/octet-stream", randomBytes(r, size)
	case 6:
		return "application/x-ndjson", []byte(`{"password":"` + secret + "\"}\n{\"x\":{\"idToken\":\"" + other + "\"},\"pad\":\"" + pad + "\"}\n")
	}
	return "application/json", fmt.Appendf(nil, `{"user":"neo","p\u0061ssword":%q,"card":{"number":%q},"deep":[{"a":{"token":[%q]}}],"pad":%q}`, secret, other, secret, pad)
}

// garbage sends what is no request.
func (c *client) garbage() {
	text := []string{
		"GET / HTTP/1.1\r\nHost: x\r\n bad\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00", "GET /\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"POST /a/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "PUT /a/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort",
	}[c.random.IntN(6)]
	conn, err := net.DialTimeout("tcp", c.tapway, time.Second)
	if err != nil {
		time.Sleep(5 * time.Millisecond)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
	io.WriteString(conn, text)
	io.Copy(io.Discard, conn)
}

// sender is a request body that knows what was read of it.
type sender struct {
	text              []byte
	slowly, breaksOff bool

	mu  sync.Mutex
	at  int
	sum hash.Hash
}

var errBrokenOff = errors.New("the client breaks off")

func (s *sender) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.breaksOff && s.at >= len(s.text)/2 {
		return 0, errBrokenOff
	}
	if s.at == len(s.text) {
		return 0, io.EOF
	}
	if s.slowly {
		time.Sleep(10 * time.Millisecond)
		p = p[:min(len(p), len(s.text)/4+1)]
	}
	n := copy(p, s.text[s.at:])
	s.sum.Write(p[:n])
	s.at += n
	return n, nil
}

// whole gives length and checksum of a body that was sent to its end, else -1.
func (s *sender) whole() (int64, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at < len(s.text) {
		return -1, ""
	}
	return int64(s.at), hex.EncodeToString(s.sum.Sum(nil))
}
