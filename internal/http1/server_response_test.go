package http1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	bigBody = strings.Repeat("0123456789", 5000) // larger than every buffer
	midBody = bigBody[:10000]                    // larger than the small one
)

// framed are requests, handlers, and all that the client gets until the connection ends.
var framed = []struct {
	name, request string
	handler       http.HandlerFunc
	want          string
}{
	{"nothing", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {},
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"no Content-Type is guessed", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "<html>")
	}, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>"},
	{"an unknown status, after which the header is fixed", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X", "1")
		w.WriteHeader(299)
		w.Header().Set("X", "2")
		w.WriteHeader(500)
	}, "HTTP/1.1 299 \r\nX: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"a flush makes chunks", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("hello"))
		w.(http.Flusher).Flush()
		w.(http.Flusher).Flush()
		io.WriteString(w, " ")
		w.Write([]byte("world"))
	}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"},
	{"a body larger than the buffer", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("x"))
		w.Write([]byte(midBody))
	}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2711\r\nx" + midBody + "\r\n0\r\n\r\n"},
	{"a declared length in the large buffer", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10000")
		w.Write([]byte(midBody))
	}, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\nConnection: close\r\n\r\n" + midBody},
	{"a declared length beyond it", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "50000")
		io.Copy(w, struct{ io.Reader }{strings.NewReader(bigBody)})
	}, "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\nConnection: close\r\n\r\n" + bigBody},
	{"too much", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		w.Write([]byte("hel"))
		if n, err := w.Write([]byte("lo!")); n != 0 || err != http.ErrContentLength {
			panic(fmt.Sprint(n, err))
		}
	}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhel"},
	{"too little", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		w.Write([]byte("hel"))
	}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhel"},
	{"a length that is no number", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "five")
		w.Write([]byte("hello"))
	}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
	{"the handler's Transfer-Encoding", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Transfer-Encoding", "gzip")
		w.Write([]byte("hello"))
	}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
	{"HEAD without a length", "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {},
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
	{"HEAD with a body written", "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(midBody))
	}, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\nConnection: close\r\n\r\n"},
	{"HEAD with a declared length", "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "77")
	}, "HTTP/1.1 200 OK\r\nContent-Length: 77\r\nConnection: close\r\n\r\n"},
	{"204", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(204)
		if _, err := w.Write([]byte("hello")); err != http.ErrBodyNotAllowed {
			panic(err)
		}
	}, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"},
	{"304 with a length", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(304)
	}, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"},
	{"304 with a length without values", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Length"] = nil
		w.WriteHeader(304)
	}, "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"},
	{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("hello"))
	}, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
	{"HTTP/1.0 without a length", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(103) // unknown to HTTP/1.0
		w.Write([]byte("hello"))
		w.(http.Flusher).Flush()
		w.Write([]byte("!"))
	}, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello!"},
	{"HTTP/1.0 kept alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET / HTTP/1.0\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("hello"))
	}, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhelloHTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
	{"the handler closes", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Close")
	}, "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n"},
	{"early hints", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(103)
		w.Header().Del("Link")
		w.Write([]byte("hello"))
	}, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
	{"declared trailers", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "x-sum, Content-Length")
		w.Write([]byte("hello"))
		w.Header().Set("X-Sum", "1")
	}, "HTTP/1.1 200 OK\r\nTrailer: x-sum, Content-Length\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"},
	{"trailers nobody declared", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("hello"))
		w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
	}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"},
	{"no header is split", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X"] = []string{"a\r\nY: b\x00c"}
		w.Header()["Z\r\nY"] = []string{"d"}
		w.Header()["A B"] = []string{"d"}
	}, "HTTP/1.1 200 OK\r\nX: a  Y: b c\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"pipelined", "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d:%s", r.ContentLength, b)
	}, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n0:HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n5:helloHTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n-1:hello"},
	{"a body nobody read, and a request behind it", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		r.Body.Close()
		if _, err := r.Body.Read(make([]byte, 1)); r.Method == "POST" && err != http.ErrBodyReadAfterClose {
			panic(err)
		}
		io.WriteString(w, r.Method)
	}, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nPOSTHTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nGET"},
	{"an expectation met", "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	}, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
	{"an expectation met by the handler", "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(100)
		w.WriteHeader(100)
		io.Copy(w, r.Body)
	}, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
	{"an expectation not met", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(403)
	}, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"an expectation without a body", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"an expectation in HTTP/1.0", "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	}, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
	{"the handler's date", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", "today")
	}, "HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
}

func TestServerFrames(t *testing.T) {
	for _, test := range framed {
		t.Run(test.name, func(t *testing.T) {
			addr := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if test.name != "the handler's date" {
					w.Header()["Date"] = nil
				}
				test.handler(w, r)
			})})
			if got := dialServer(t, addr).send(test.request).rest(); got != test.want {
				t.Errorf("got\n%.600q\nwant\n%.600q", got, test.want)
			}
		})
	}
}

func TestServerDate(t *testing.T) {
	addr := startServer(t, &Server{})
	res, _ := dialServer(t, addr).send(goodRequest).response("GET")
	date, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil || time.Since(date) > time.Minute || res.StatusCode != 404 {
		t.Errorf("%v %v %d", date, err, res.StatusCode)
	}
}

// The client must not be able to take a response for complete before the handler returned.
func TestServerCompletesNothingBeforeTheHandlerReturns(t *testing.T) {
	for _, size := range []int{1, 4096, 4097, 20000, 32 << 10, 32<<10 + 1, 100_000} {
		for _, pieces := range []int{1, 3} {
			for _, declared := range []bool{true, false} {
				body := bytes.Repeat([]byte("x"), size)
				release := make(chan bool)
				written := make(chan bool)
				addr := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if declared {
						w.Header().Set("Content-Length", fmt.Sprint(size))
					}
					for piece := range slices.Chunk(body, (size+pieces-1)/pieces) {
						w.Write(piece)
					}
					close(written)
					<-release
				})})
				c := dialServer(t, addr).send(goodRequest)
				<-written
				c.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				var early bytes.Buffer
				if _, err := io.Copy(&early, c.conn); !isTimeout(err) {
					t.Fatalf("size %d: %v", size, err)
				}
				close(release)
				c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				all := io.MultiReader(bytes.NewReader(early.Bytes()), c.conn)
				if early.Len() > 0 {
					if res, err := http.ReadResponse(newReader(early.Bytes()), nil); err != nil {
						t.Fatal(err)
					} else if _, err := io.ReadAll(res.Body); err == nil {
						t.Errorf("size %d, %d pieces, declared %t: it was complete before the handler returned", size, pieces, declared)
					}
				}
				c.br.Reset(all)
				if _, got := c.response("GET"); got != string(body) {
					t.Errorf("size %d: got %d bytes", size, len(got))
				}
			}
		}
	}
}

func TestServerFlushSendsAllOfADeclaredLength(t *testing.T) {
	release := make(chan bool)
	addr := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "hello")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-release
	})})
	if _, body := dialServer(t, addr).send(goodRequest).response("GET"); body != "hello" {
		t.Errorf("%q", body)
	}
	close(release)
}

func TestServerPanics(t *testing.T) {
	var log lockedBuffer
	addr := startServer(t, &Server{
		ErrorLog: slog.New(slog.NewTextHandler(&log, nil)),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/abort", "/abort-http10":
				w.Write([]byte("hello"))
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			case "/panic":
				w.Write([]byte("never sent"))
				panic("a mishap")
			}
		}),
	})
	for _, test := range []struct{ request, want, log string }{
		{"GET /abort HTTP/1.1\r\nHost: a\r\n\r\n", "hello", ""},
		{"GET /abort-http10 HTTP/1.0\r\n\r\n", "hello", ""},
		{"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n", "", "a mishap"},
	} {
		c := dialServer(t, addr).send(test.request)
		got, err := io.ReadAll(c.br)
		if err == nil {
			t.Errorf("%s: the connection ended as if all were well", test.request)
		}
		if _, body, _ := strings.Cut(string(got), "\r\n\r\n"); !strings.Contains(body, test.want) || test.want == "" && len(got) > 0 {
			t.Errorf("%s: %q", test.request, got)
		}
		if !strings.Contains(log.String(), test.log) || test.log == "" && log.String() != "" {
			t.Errorf("%s: logged %s", test.request, log.String())
		}
	}
	if !strings.Contains(log.String(), "server_response_test.go") {
		t.Errorf("no stack in %s", log.String())
	}
}

func TestServerUseAfterReturn(t *testing.T) {
	var kept http.ResponseWriter
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { kept = w })}
	dialServer(t, startServer(t, s)).send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").rest()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := kept.Write([]byte("late")); err == nil {
		t.Error("Write after the handler returned")
	}
	if _, err := io.WriteString(kept, "late"); err == nil {
		t.Error("WriteString after the handler returned")
	}
	if err := http.NewResponseController(kept).Flush(); err == nil {
		t.Error("Flush after the handler returned")
	}
	if _, _, err := http.NewResponseController(kept).Hijack(); err == nil {
		t.Error("Hijack after the handler returned")
	}
}

func TestServerReadFromReturnsErrors(t *testing.T) {
	broken := errors.New("broken")
	addr := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := w.(io.ReaderFrom).ReadFrom(io.MultiReader(strings.NewReader("hello"), errReader{broken}))
		if n != 5 || err != broken {
			t.Errorf("ReadFrom: %d, %v", n, err)
		}
	})})
	if _, body := dialServer(t, addr).send(goodRequest).response("GET"); body != "hello" {
		t.Errorf("%q", body)
	}
}
