package torture

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Faults of the backend. The client's query names the one that a call meets.
const (
	backendReset    = "reset"    // the connection is reset instead of an answer
	backendCut      = "cut"      // in the middle of the body
	backendDrip     = "drip"     // the body comes in slow pieces
	backendLong     = "long"     // more bytes than Content-Length says
	backendShort    = "short"    // fewer
	backendEarly    = "early"    // the answer comes before the request has been read
	backendGarbage  = "garbage"  // no HTTP at all
	backendSlow     = "slow"     // a pause before the answer
	backendHang     = "hang"     // longer than the gateway waits
	backendHeaders  = "headers"  // a header line that is none
	backendTwoSizes = "twosizes" // two Content-Lengths that differ
)

var backendFaults = []string{
	backendReset, backendCut, backendDrip, backendLong, backendShort, backendEarly, backendGarbage, backendSlow, backendHang, backendHeaders, backendTwoSizes,
}

// backend answers calls as their queries ask, with secrets in every place where redaction is
// promised to find them.
type backend struct {
	*httptest.Server
	secrets *secrets
	faults  *tally
	leaked  atomic.Int64 // calls with the secret that is only for tapway
}

func newBackend(s *secrets, faults *tally) *backend {
	b := &backend{secrets: s, faults: faults}
	b.Server = httptest.NewUnstartedServer(b)
	b.Config.ErrorLog = quiet
	b.Start()
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Tapway-Secret") != "" {
		b.leaked.Add(1)
	}
	q := r.URL.Query()
	size, _ := strconv.Atoi(q.Get("size"))
	fault := q.Get("fault")
	if fault != "" {
		b.faults.add("backend " + fault)
	}
	if fault != backendEarly {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	seed, _ := strconv.ParseUint(q.Get("seed"), 10, 64)
	kind, body := b.secrets.answer(rand.New(rand.NewPCG(seed, 2)), q.Get("reply"), size)
	switch fault {
	case backendReset, backendCut, backendLong, backendShort, backendGarbage, backendHeaders, backendTwoSizes:
		b.raw(w, fault, kind, body)
		return
	case backendSlow:
		time.Sleep(time.Duration(seed%200) * time.Millisecond)
	case backendHang:
		select {
		case <-r.Context().Done():
		case <-time.After(3 * time.Second): // the gateway's timeout is shorter
		}
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Set-Cookie", "session="+b.secrets.word+"; Path=/")
	h.Set("Location", "/next?access_token="+b.secrets.word)
	if q.Get("reply") == "gzip" {
		h.Set("Content-Encoding", "gzip")
	}
	if status, err := strconv.Atoi(q.Get("status")); err == nil {
		w.WriteHeader(status)
	}
	if q.Get("status") == "204" || q.Get("status") == "304" {
		return
	}
	b.write(w, body, fault == backendDrip, q.Get("reply") == "events")
}

// write sends a body whole or in pieces.
func (b *backend) write(w http.ResponseWriter, body []byte, drip, flush bool) {
	pieces := 1
	if drip || flush {
		pieces = 5
	}
	for i := range pieces {
		if _, err := w.Write(body[len(body)*i/pieces : len(body)*(i+1)/pieces]); err != nil {
			return
		}
		if drip || flush {
			http.NewResponseController(w).Flush()
		}
		if drip {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// raw answers in a way in which no server should.
func (b *backend) raw(w http.ResponseWriter, fault, kind string, body []byte) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	length := len(body)
	more := ""
	switch fault {
	case backendReset:
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		return
	case backendGarbage:
		io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n\x00\x01\x02"+strings.Repeat("\xff", 100))
		return
	case backendShort, backendCut:
		length += 100
	case backendLong:
		length /= 2
	case backendHeaders:
		more = "this is no header line\r\n"
	case backendTwoSizes:
		more = fmt.Sprintf("Content-Length: %d\r\n", length+1)
	}
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nSet-Cookie: a=%s\r\nContent-Length: %d\r\n%s\r\n", kind, b.secrets.word, length, more)
	if fault == backendCut {
		body = body[:len(body)/2]
	}
	conn.Write(body)
}

// answer is what a backend says to a call, of some kind and about size bytes long.
func (s *secrets) answer(r *rand.Rand, reply string, size int) (kind string, body []byte) {
	pad := padding(r, size)
	switch reply {
	case "text":
		return "text/plain; charset=utf-8", []byte("user=neo&password=" + s.value(r) + "&pad=" + pad)
	case "binary":
		return "application/octet-stream", randomBytes(r, size)
	case "events":
		return "text/event-stream", []byte("data: {\"token\":\"" + s.value(r) + "\"}\n\ndata: {\"pad\":\"" + pad + "\"}\n\n")
	case "broken":
		return "application/json", []byte(`{"pad":"` + pad + `","password":"` + s.value(r))
	case "gzip":
		var z bytes.Buffer
		c := gzip.NewWriter(&z)
		fmt.Fprintf(c, `{"own":"%x","password":%q,"pad":%q}`, randomBytes(r, 40), s.value(r), pad)
		c.Close()
		s.compressed(z.Bytes())
		return "application/json", z.Bytes()
	}
	return "application/json", fmt.Appendf(nil, `{"ok":true,"deep":[{"p\u0061ssword":%q}],"access_token":%q,"pad":%q}`, s.value(r), s.value(r), pad)
}

// padding is text without a meaning.
func padding(r *rand.Rand, size int) string {
	const word = "lorem ipsum dolor sit amet "
	return strings.Repeat(word, size/len(word)) + word[:r.IntN(len(word))]
}

func randomBytes(r *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32()) | 1 // never zero: the end of the log is found by its zeros
	}
	return b
}
