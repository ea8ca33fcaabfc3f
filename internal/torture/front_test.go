package torture

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// notes are problems that were told of.
type notes struct {
	mu  sync.Mutex
	all []string
}

func (n *notes) problem(kind, format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, kind+": "+fmt.Sprintf(format, args...))
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.all, "\n")
}

// TestFront: a call goes where the API leads it at that moment, and what goes wrong on its way is a
// problem unless it was to go wrong.
func TestFront(t *testing.T) {
	echo := func(who string) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/breaks") {
				w.Header().Set("Content-Length", "100")
				io.WriteString(w, "half")
				http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s %s %q", who, r.Method, r.RequestURI, body, r.Header.Get("X-Tapway-Secret"))
		}))
		s.Config.ErrorLog = quiet
		s.Start()
		t.Cleanup(s.Close)
		return s
	}
	backend, tapway := echo("backend"), echo("tapway")
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	direct := apitest.Target{Route: "ANY /a/{proxy+}", Type: "HTTP_PROXY", URI: backend.URL + "/a/{proxy}", Parameters: map[string]string{"integration.request.path.proxy": "method.request.path.proxy"}}
	rest := apitest.Target{Route: "ANY /{proxy+}", Type: "HTTP_PROXY", URI: "https://" + tapwayHost + "/{proxy}", Parameters: map[string]string{"integration.request.header.X-Tapway-Secret": "'s3'"}}
	viaHTTP := rest
	viaHTTP.Parameters = map[string]string{"overwrite:header.X-Tapway-Secret": "s3"}
	stranger, unknown, mock := rest, rest, rest
	stranger.URI, unknown.Parameters, mock.Type = "https://elsewhere.test/{proxy}", map[string]string{"append:header.X": "1"}, "MOCK"
	for _, tt := range []struct {
		name           string
		target         apitest.Target
		path           string
		away, dead     bool // tapway listens no more; it was killed, which is known
		way, body      string
		status         int // 0: the connection breaks off
		problem        string
		led, mayBreaks bool
		timeout        time.Duration // 0: a minute
	}{
		{name: "past tapway", target: direct, path: "/a/1?x=a%20b&x=c", way: wayBackend, status: 200, body: `backend POST /a/1?x=a%20b&x=c hello ""`},
		{name: "REST API", target: rest, path: "/a/1?x=1", way: wayTapway, status: 200, body: `tapway POST /a/1?x=1 hello "s3"`, led: true},
		{name: "HTTP API", target: viaHTTP, path: "/a/1", way: wayTapway, status: 200, body: `tapway POST /a/1 hello "s3"`, led: true},
		{name: "breaks off", target: rest, path: "/breaks", problem: "broke off", led: true},
		{name: "backend breaks off", target: direct, path: "/a/breaks", problem: "led to backend"},
		{name: "is to break off", target: rest, path: "/breaks?fault=cut", led: true},
		{name: "breaks off when killed", target: rest, path: "/breaks", dead: true, led: true},
		{name: "breaks off without room", target: rest, path: "/breaks", mayBreaks: true, led: true},
		{name: "breaks off after its time", target: rest, path: "/breaks", timeout: 1, led: true},
		{name: "backend breaks off, late", target: direct, path: "/a/breaks", timeout: 1, problem: "led to backend"},
		{name: "away", target: rest, path: "/a/1", away: true, way: wayNone, status: 502, problem: "broke off", led: true},
		{name: "away when killed", target: rest, path: "/a/1", away: true, dead: true, way: wayNone, status: 502, led: true},
		{name: "leads elsewhere", target: stranger, path: "/a/1", status: 500, problem: "neither"},
		{name: "unknown parameter", target: unknown, path: "/a/1", way: wayTapway, status: 200, body: `tapway POST /a/1 hello ""`, problem: "append:header.X", led: true},
		{name: "no backend", target: mock, path: "/a/1", status: 500, problem: "MOCK"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n notes
			var led pathSet
			at := tapway.Listener.Addr().String()
			if tt.away {
				at = gone.Addr().String()
			}
			f := newFront(frontConf{
				resolve: func(string, string) (apitest.Target, bool) { return tt.target, true }, backend: backend.Listener.Addr().String(), tapway: at,
				led: &led, problem: n.problem, mayBreak: func() bool { return tt.mayBreaks }, timeout: cmp.Or(tt.timeout, time.Minute),
			})
			f.living.Store(!tt.dead)
			var body []byte
			resp, err := http.Post("http://"+f.host()+tt.path, "text/plain", strings.NewReader("hello"))
			if err == nil {
				body, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			f.close() // what it had to say it has said
			if (err == nil) != (tt.status != 0) {
				t.Fatalf("%v", err)
			}
			if err == nil && (resp.StatusCode != tt.status || resp.Header.Get(wayHeader) != tt.way || tt.body != "" && string(body) != tt.body) {
				t.Errorf("%s, way %q, %s", resp.Status, resp.Header.Get(wayHeader), body)
			}
			if said := n.String(); (said == "") != (tt.problem == "") || !strings.Contains(said, tt.problem) {
				t.Errorf("problems: %s", said)
			}
			path, _, _ := strings.Cut(tt.path, "?")
			if led.has(path) != tt.led {
				t.Errorf("led to tapway: %v", !tt.led)
			}
		})
	}
}

// TestFrontWithoutItsClient: a client that breaks off in the middle of what it sends is nobody's problem.
func TestFrontWithoutItsClient(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer backend.Close()
	var n notes
	f := newFront(frontConf{
		resolve: func(string, string) (apitest.Target, bool) {
			return apitest.Target{Route: "ANY /{proxy+}", Type: "HTTP_PROXY", URI: backend.URL + "/{proxy}"}, true
		},
		backend: backend.Listener.Addr().String(), led: &pathSet{}, problem: n.problem,
	})
	conn, err := net.Dial("tcp", f.host())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort")
	conn.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, conn) // until the front gives up
	conn.Close()
	f.close()
	if said := n.String(); said != "" {
		t.Error(said)
	}
}
