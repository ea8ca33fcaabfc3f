package capture

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

type blank struct{ h http.Header }

func (b blank) Header() http.Header         { return b.h }
func (b blank) Write(p []byte) (int, error) { return len(p), nil }
func (b blank) WriteHeader(int)             {}
func (b blank) EnableFullDuplex() error     { return nil }

// BenchmarkCall is the capture's own cost: the same handler with and without it, 1 KiB each way,
// a queue that stores nothing.
func BenchmarkCall(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10} {
		body := long(size)
		payload := []byte(body)
		buf := make([]byte, 32<<10)
		next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := r.Body.Read(buf); err != nil {
					break
				}
			}
			w.WriteHeader(200)
			w.Write(payload)
		})
		run := func(name string, h http.Handler) {
			b.Run(name+"/"+strconv.Itoa(size>>10)+"KiB", func(b *testing.B) {
				b.ReportAllocs()
				w := blank{http.Header{"Content-Type": {"application/json"}, "Content-Length": {strconv.Itoa(size)}, "Date": {"now"}, "Etag": {`"1"`}}}
				header := http.Header{"Content-Type": {"application/json"}, "Accept": {"*/*"}, "User-Agent": {"bench/1"},
					"Content-Length": {strconv.Itoa(size)}, "Authorization": {"Bearer x"}, "Accept-Encoding": {"gzip"}}
				src := strings.NewReader(body)
				r, _ := http.NewRequest("POST", "http://example.com/a", src)
				r.RequestURI, r.Header, r.RemoteAddr = "/a?b=c", header, "127.0.0.1:1"
				closer := io.NopCloser(src)
				for b.Loop() {
					src.Reset(body)
					r.Body = closer
					h.ServeHTTP(w, r)
				}
			})
		}
		run("without", next)
		run("with", (&Recorder{Queue: silent{}}).Wrap(next))
	}
}
