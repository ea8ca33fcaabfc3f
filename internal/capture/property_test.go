package capture

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapway/tapway"
)

// wire is a server's ResponseWriter without buffers: what it was given, the client has.
type wire struct {
	h      http.Header
	status int
	body   []byte
}

func (w *wire) Header() http.Header    { return w.h }
func (w *wire) WriteHeader(status int) { w.status = status }
func (w *wire) Flush()                 {}
func (w *wire) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}

// However a handler cuts its response, the client lacks something of it until Enqueue has been
// called, gets it whole afterwards, and the exchange holds what the client gets.
func TestAnyWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.IntRange(0, 2*maxTail), 1, 8).Draw(t, "pieces")
		flushes := rapid.Uint8().Draw(t, "flushes")
		status := rapid.SampledFrom([]int{200, 201, 204, 304, 404}).Draw(t, "status")
		method := rapid.SampledFrom([]string{"GET", "HEAD"}).Draw(t, "method")
		refuse := rapid.Bool().Draw(t, "refuse")
		total := 0
		for _, n := range pieces {
			total += n
		}
		body := long(total)

		w := &wire{h: http.Header{}}
		var stored *tapway.Exchange
		rec := &Recorder{Refuse: refuse, Queue: checks{nil, func(ex *tapway.Exchange) {
			bodyless := method == "HEAD" || status == 204 || status == 304 || total == 0
			if bodyless && w.status != 0 || !bodyless && len(w.body) >= total {
				t.Fatalf("the client had status %d and %d of %d bytes before the record", w.status, len(w.body), total)
			}
			copied := *ex
			copied.Response.Bytes = append([]byte(nil), ex.Response.Bytes...)
			stored = &copied
		}}}
		rec.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(total))
			w.WriteHeader(status)
			rest := body
			for i, n := range pieces {
				io.WriteString(w, rest[:n])
				rest = rest[n:]
				if flushes>>i&1 == 1 {
					flush(w)
				}
			}
		})).ServeHTTP(w, httptest.NewRequest(method, "/", nil))

		want := body
		if status == 204 || status == 304 {
			want = ""
		}
		if method == "HEAD" && total > maxHead {
			want = "" // the server would not have sent it
		}
		if w.status != status || string(w.body) != want {
			t.Fatalf("the client got %d and %d bytes, want %d and %d", w.status, len(w.body), status, len(want))
		}
		if method == "HEAD" {
			want = ""
		}
		if stored == nil || stored.Status != status || stored.Error != "" || string(stored.Response.Bytes) != want || stored.ResponseSize != int64(len(want)) {
			t.Fatalf("stored %+v", stored)
		}
	})
}

// checks looks at what is enqueued.
type checks struct {
	tapway.Queue
	look func(*tapway.Exchange)
}

func (c checks) Enqueue(_ context.Context, ex *tapway.Exchange) error {
	c.look(ex)
	return nil
}

// Whatever a stranger writes into the request line and the trace headers, it is cut without panic
// and nothing of an origin-form target is lost.
func FuzzTarget(f *testing.F) {
	f.Add("GET", "/a?b", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("CONNECT", "h:1", "Root=1-5759e988-bd862e3fe1be46a994272793;x")
	f.Add("GET", "http://h?x", "")
	f.Fuzz(func(t *testing.T, method, uri, trace string) {
		path, query := target(&http.Request{Method: method, RequestURI: uri, URL: &url.URL{}})
		if strings.HasPrefix(uri, "/") && path+"?"+query != uri && path != uri {
			if path+"?" != uri {
				t.Errorf("%q gives %q and %q", uri, path, query)
			}
		}
		for _, name := range []string{"Traceparent", "X-Amzn-Trace-Id"} {
			if id := traceID(http.Header{name: {trace}}); id != "" && (len(id) != 32 || !isHex(id)) {
				t.Errorf("%q gives %q", trace, id)
			}
		}
	})
}
