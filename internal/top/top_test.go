package top

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
)

// traffic is a gateway with something of everything.
func traffic() *gateway {
	g := newGateway()
	g.add(
		admin.Summary{Path: "/api/v1/users", Query: "page=2", DurationMS: 12.4, ResponseSize: 5200, ClientIP: "203.0.113.7"},
		admin.Summary{Method: "POST", Path: "/api/v1/users", Status: 201, DurationMS: 48.1, RequestSize: 38, ResponseSize: 61, ClientIP: "203.0.113.7"},
		admin.Summary{Path: "/日本語/" + strings.Repeat("長い", 30), DurationMS: 0.2, Status: 304, ClientIP: "2001:db8::1"},
		admin.Summary{Method: "DELETE", Path: "/e\u0301tat/e\u0301te\u0301", Status: 404, DurationMS: 3, ClientIP: "203.0.113.9"},
		admin.Summary{Path: "/slow", Status: 504, Origin: "gateway", Error: "backend timed out", DurationMS: 29_000, ClientIP: "203.0.113.9"},
		admin.Summary{Method: "OPTIONS", Path: "/gone", Error: "client left", Origin: "gateway", DurationMS: 120, ClientIP: "203.0.113.9"},
		admin.Summary{Path: "/cached", Origin: "cache", DurationMS: 0.1, ResponseSize: 3 << 20, ClientIP: "203.0.113.7"},
	)
	now := time.Now()
	g.queue = admin.QueueState{
		Stats: tapway.Stats{Destinations: []tapway.DestinationStats{
			{Destination: "audit"}, {Destination: "siem", Queued: 12, Retrying: 3, Dead: 2, OldestQueued: now.Add(-95 * time.Second)}, {Destination: "warehouse", Queued: 40}}},
		Live: []admin.DestinationState{{Destination: "siem", State: "open", LastError: "503 Service Unavailable"}, {Destination: "audit", State: "closed"}},
	}
	g.letters = []admin.DeadLetter{
		{DeadLetter: tapway.DeadLetter{Destination: "siem", Reason: "422 Unprocessable Entity", Attempts: 1, Died: now.Add(-time.Hour)}, Exchange: g.calls[1]},
		{DeadLetter: tapway.DeadLetter{Destination: "siem", Reason: "413 Content Too Large", Attempts: 4, Died: now.Add(-time.Minute)}, Exchange: g.calls[0]},
	}
	g.details["id-2"] = admin.Detail{
		Summary: g.calls[1], ConnectMS: 4, FirstByteMS: 40,
		Request:    admin.Message{Headers: [][2]string{{"Content-Type", "application/json"}, {"Authorization", "[REDACTED]"}}, Type: "application/json", Size: 38, Kept: 38},
		Response:   admin.Message{Headers: [][2]string{{"Content-Type", "application/json; charset=utf-8"}, {"Set-Cookie", "a=1"}, {"Set-Cookie", "b=2"}}, Type: "application/json; charset=utf-8", Size: 61, Kept: 61},
		Deliveries: []tapway.DeliveryState{{Destination: "audit", State: "delivered", Attempts: 1}, {Destination: "siem", State: "dead", Attempts: 1, Reason: "422 Unprocessable Entity"}},
		Fidelity:   []string{"header-case"},
	}
	d := g.details["id-2"]
	d.OverheadMS, d.From, d.Front, d.Proto, d.Route = 0.6, "api.example.com", "server", "HTTP/1.1", "POST /api/v1/users"
	g.details["id-2"] = d
	g.bodies["id-2 request"] = []byte(`{"name":"morpheus","job":"leader","n":[1,null]}`)
	g.bodies["id-2 response"] = []byte(`{"name":"morpheus","token":"[REDACTED]","tags":["a","b"],"admin":true}`)
	return g
}

// TestFrames: how it looks, at every size.
func TestFrames(t *testing.T) {
	for _, c := range []struct {
		name string
		w, h int
		keys []string
	}{
		{"80x24", 80, 24, nil},
		{"80x24-filter", 80, 24, []string{"fstatus >= 5xy"}},
		{"80x24-overview", 80, 24, []string{"gj\r"}},
		{"80x24-request", 80, 24, []string{"gj\r", "\t"}},
		{"80x24-response", 80, 24, []string{"gj\r", "3"}},
		{"80x24-letters", 80, 24, []string{"d"}},
		{"80x24-help", 80, 24, []string{"?"}},
		{"170x30-side", 170, 30, []string{"gj\r", "3"}},
		{"100x50-below", 100, 50, []string{"gj\r", "3"}},
		{"120x20", 120, 20, nil},
		{"40x10", 40, 10, nil},
		{"30x6", 30, 6, nil},
		{"12x3", 12, 3, nil},
		{"1x1", 1, 1, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, traffic(), c.w, c.h, full, "")
			s.keys(c.keys...)
			s.golden(c.name)
			s.end()
		})
	}
}

// TestASCII: a locale without UTF-8 gets ASCII, and NO_COLOR no colours.
func TestASCII(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, traffic(), 80, 24, mono, "")
		s.golden("80x24-ascii")
		s.keys("gj\r", "\t", "\t", "?", "d")
		if text := s.text(); strings.IndexFunc(text, func(r rune) bool { return r > '~' }) >= 0 {
			t.Errorf("this is not ASCII:\n%s", text)
		}
		if s.term.shown.Colours {
			t.Error("there are colours")
		}
		s.end()
		s = play(t, traffic(), 80, 24, full, "")
		if !s.term.shown.Colours {
			t.Error("there are no colours where there may be")
		}
		s.end()
	})
}

// TestFilter: the list has what matches; the numbers are of all calls; a mistake is told while typing and not taken.
func TestFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := traffic()
		s := play(t, g, 80, 24, full, "status == 404")
		s.shows("1 call, following  filter: status == 404")
		s.hides("/slow")
		s.keys("f", "\x15", "status >= ")
		s.shows("a number such as 404 or a class such as 5xx was expected")
		s.keys("\r")
		s.shows("filter: status >=")
		s.keys("500", "\r")
		s.shows("1 call, following  filter: status >= 500", "/slow")
		g.add(admin.Summary{Path: "/new/ok"}, admin.Summary{Path: "/new/bad", Status: 503})
		s.wait(time.Second)
		s.shows("/new/bad", "50% errors")
		s.hides("/new/ok")
		s.keys("f", "\x1b[A", "\x1b[A") // earlier ones
		s.shows("filter: status >= 500")
		s.keys("\x1b[B", "\x1b[B", "\x15", "\x1b[200~method == 'DELETE'\n\x1b[201~", "\r")
		s.shows("filter: method == 'DELETE'", "tat/", "1 call")
		s.keys("f", "\x15", "\r")
		s.shows("9 calls, following", "/new/ok")
		s.keys("f", "status", "\x1b")
		s.wait(time.Second)
		s.shows("9 calls, following")
		s.hides("filter:")
		s.end()
	})
}

// TestPauseFollowAndMove: what is looked at stays where it is until one wants the newest again.
func TestPauseFollowAndMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway()
		for i := range 60 {
			g.add(admin.Summary{Path: fmt.Sprintf("/call/%02d", i)})
		}
		s := play(t, g, 80, 24, full, "")
		s.shows("60 calls, following", "/call/59", "/call/40")
		s.hides("/call/30")
		s.keys(" ")
		g.add(admin.Summary{Path: "/call/60"}, admin.Summary{Path: "/call/61"})
		s.wait(time.Second)
		s.shows("● paused", "paused, 2 new")
		s.hides("/call/60")
		s.keys("p")
		s.shows("62 calls, following", "/call/61")
		s.keys("k")
		s.shows("call 61 of 62")
		g.add(admin.Summary{Path: "/call/62"})
		s.wait(time.Second)
		s.shows("call 61 of 63")
		s.hides("/call/62")
		s.keys("g")
		s.shows("call 1 of 63", "/call/00")
		s.keys("\x1b[6~")
		s.shows("call 20 of 63") // a page is a row less than the screen has
		s.keys("\x15", "\x04", "\x1b[5~", "\x1b[B", "\x1b[A", "j")
		s.shows("call 2 of 63")
		s.keys("\x1b[<65;10;10M")
		s.shows("/call/03", "call 4 of 63")
		s.hides("/call/02")
		s.keys("\x1b[<0;10;5M", "\x1b[<0;10;5M") // selects, and opens
		s.shows("200 GET /call/05", "not found")
		s.keys("\x1b", "\x1b[F")
		s.shows("63 calls, following", "/call/62")
		s.keys("F")
		s.shows("call 63 of 63")
		s.end()
	})
}

// TestOlder: going up reads what was before.
func TestOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway()
		for i := range 450 {
			g.add(admin.Summary{Path: fmt.Sprintf("/call/%03d", i)})
		}
		s := play(t, g, 80, 24, full, "")
		s.shows("200 calls, following")
		s.keys("g")
		s.shows("call 201 of 400", "/call/250") // the same call as before, with others above it
		s.keys("g")
		s.keys("g")
		s.shows("call 1 of 450", "/call/000")
		before := g.searches
		s.keys("g", "k", "k")
		if g.searches != before {
			t.Error("what was before the first is asked for again")
		}
		s.end()
	})
}

// TestSearch: from the newest back, around once, and in an open call.
func TestSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, traffic(), 80, 24, full, "")
		s.keys("n")
		s.shows("nothing has been searched for")
		s.keys("/API/v1\r")
		s.shows("call 2 of 7", "search: API/v1")
		s.keys("n")
		s.shows("call 1 of 7")
		s.keys("n")
		s.shows("call 2 of 7")
		s.keys("n", "N")
		s.shows("call 2 of 7")
		s.keys("/nowhere\r")
		s.shows(`"nowhere" is not there`, "call 2 of 7")
		s.resize(80, 14)
		s.keys("\r", "3", "/true\r")
		s.shows(`"admin": true`)
		s.end()
	})
}

// TestReconnects: it says that the connection is lost, and then shows what was missed.
func TestReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway()
		g.add(admin.Summary{Path: "/before"})
		s := play(t, g, 100, 24, full, "")
		g.fail(&admin.ConnectError{Base: "http://127.0.0.1:9090", Err: errors.New("dial tcp: connection refused")})
		s.settle()
		s.shows("● lost: tapway stopped, or the connection was lost; trying again in 1s", "/before")
		s.wait(5 * time.Second)
		s.shows("● lost: connection refused")
		g.add(admin.Summary{Path: "/meanwhile"})
		g.fail(nil)
		s.wait(15 * time.Second)
		s.shows("● live", "/before", "/meanwhile", "2 calls")
		g.add(admin.Summary{Path: "/after"})
		s.settle()
		s.shows("/after", "3 calls")

		g.fail(errors.New("gone"))
		g.mu.Lock()
		g.calls = nil // its store is made anew
		g.mu.Unlock()
		g.fail(nil)
		g.add(admin.Summary{Path: "/anew"})
		s.wait(15 * time.Second)
		s.shows("/anew", "1 call")
		s.hides("/before")
		s.end()
	})
}

// TestSilentLoss: a stream may stay open although nobody is there; then the queue does not answer.
func TestSilentLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway()
		s := play(t, g, 80, 24, full, "")
		s.shows("● live", "No call yet", "curl -i http://127.0.0.1:8080/")
		g.mu.Lock()
		g.down = errors.New("no route to host")
		g.mu.Unlock()
		s.wait(3 * time.Second)
		s.shows("● lost: no route to host")
		s.end()
	})
}

// TestRefused: a wrong token is no reason to try again.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway()
		g.down = &admin.StatusError{Status: http.StatusUnauthorized, Message: "the admin API wants its token"}
		s := play(t, g, 80, 24, full, "")
		if err := <-s.ended; err == nil || !strings.Contains(err.Error(), "wants its token") || !s.term.left {
			t.Errorf("it ends with %v, terminal given back: %v", err, s.term.left)
		}
	})
}

// TestHistoryOnly: without a gateway one can look at what was; and with SQS there is no history.
func TestHistoryOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := traffic()
		g.still = &admin.StatusError{Status: http.StatusNotImplemented, Message: "there is nothing live here"}
		s := play(t, g, 80, 24, full, "")
		s.shows("● no gateway runs: history only", "7 calls")
		s.end()

		g = newGateway()
		g.place.History = false
		s = play(t, g, 80, 24, full, "")
		g.add(admin.Summary{Path: "/live"})
		s.settle()
		s.shows("/live", "● live")
		s.hides("not possible")
		s.end()
	})
}

// TestLettersReplayAndCopy: what changes something asks first.
func TestLettersReplayAndCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := traffic()
		s := play(t, g, 100, 24, full, "")
		s.keys("d", "j", "R", "n\r")
		s.keys("R", "\x1b")
		s.wait(time.Second)
		if len(g.did) > 0 {
			t.Errorf("without a yes it did %v", g.did)
		}
		s.keys("R", "y\r")
		s.wait(6 * time.Second)
		s.shows("dead letters: 1")
		s.keys("\r")
		s.shows("Dead at siem after 1 attempt: 422 Unprocessable Entity", "POST /api/v1/users")
		s.keys("r", "\x15", "ftp://x\r")
		s.shows("a base URL")
		s.keys("\x15", "http://127.0.0.1:3001\r")
		s.shows("replayed POST /api/v1/users to http://127.0.0.1:3001")
		s.keys("r", "\x15http://down\r")
		s.shows("replay: no answer")
		s.keys("r", "\x1b")
		s.wait(time.Second)
		if got := strings.Join(g.did, ", "); got != "redrive siem id-1, replay id-2 http://127.0.0.1:3001, replay id-2 http://down" {
			t.Errorf("it did %s", got)
		}
		s.keys("c")
		s.shows("copied as a curl command")
		text, err := base64.StdEncoding.DecodeString(s.term.shown.Clipboard)
		if err != nil || !strings.HasPrefix(string(text), "curl -i -X 'POST' 'http://api.example.com/api/v1/users'") {
			t.Errorf("the clipboard has %q, %v", text, err)
		}
		s.keys("C")
		if p := s.m.Parting(); len(p) != 1 || p[0] != string(text) {
			t.Errorf("printed at the end: %q", p)
		}
		s.keys("\x1a", "q", "q")
		if s.term.stops != 1 {
			t.Errorf("Ctrl-Z stopped it %d times", s.term.stops)
		}
		s.keys("q")
		if err := <-s.ended; err != nil {
			t.Error(err)
		}
	})
}

// hostile is what somebody might send who wants to write on the terminal of whoever looks.
const hostile = "\x1b]0;title\x07\x1b[2J\x1b[31m\u009b2J\u009d52;c;AA\x9c\u202e\x9b1m\x0e\x7f\nend"

// TestInjection: whatever was captured, the terminal is sent nothing that it obeys. The check is in settle.
func TestInjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway()
		c := admin.Summary{ID: hostile, Method: "G" + hostile, Path: "/" + hostile, Query: hostile, Origin: hostile, Front: hostile, From: hostile, Route: hostile, Proto: hostile,
			ClientIP: hostile, TraceID: hostile, Error: hostile, Status: 500}
		g.add(c)
		message := admin.Message{Headers: [][2]string{{hostile, hostile}}, Trailers: [][2]string{{hostile, hostile}}, Type: "text/plain", Size: 10, Kept: 10}
		g.details[hostile] = admin.Detail{Summary: g.calls[0], Request: message, Response: message, Fidelity: []string{hostile}, API: &tapway.API{ID: hostile, Stage: hostile},
			Deliveries: []tapway.DeliveryState{{Destination: hostile, State: hostile, Reason: hostile, Attempts: 1}}}
		g.bodies[hostile+" request"] = []byte(hostile)
		g.bodies[hostile+" response"] = []byte(`{"` + "\u009b2J" + `": "` + "\u009b\u202e\x7f" + `"}`)
		g.letters = []admin.DeadLetter{{DeadLetter: tapway.DeadLetter{Destination: hostile, Reason: hostile}, Exchange: g.calls[0]}}
		g.place.Gateway = hostile
		g.queue = admin.QueueState{Stats: tapway.Stats{Destinations: []tapway.DestinationStats{{Destination: hostile, Dead: 1}}},
			Live: []admin.DestinationState{{Destination: hostile, State: "open", LastError: hostile}}}
		s := play(t, g, 170, 50, full, "")
		s.shows("�[2J")
		for _, w := range []int{170, 100, 25} {
			s.resize(w, 40)
			s.keys("\r", "\t", "\t", "/end\r", "r", "\x1b")
			s.wait(time.Second)
			s.keys("c", "C", "q", "d", "\r", "q", "R", "\x1b")
			s.wait(time.Second)
			s.keys("q", "k", "G")
		}
		for _, text := range s.m.Parting() {
			if strings.ContainsAny(text, "\x1b\u009b\u009d\x07\u202e") || !utf8.ValidString(text) {
				t.Errorf("printed at the end: %q", text)
			}
		}
		if len(s.m.Parting()) == 0 {
			t.Error("nothing is printed at the end")
		}
		g.fail(errors.New(hostile))
		s.wait(3 * time.Second)
		s.shows("● lost")
		s.end()
	})
}

// TestBusy: many calls are shown without being kept for ever.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway()
		s := play(t, g, 80, 24, full, "")
		for range 60 {
			calls := make([]admin.Summary, 200)
			for i := range calls {
				calls[i] = admin.Summary{Path: "/busy", DurationMS: float64(i)}
			}
			g.add(calls...)
			s.wait(time.Second - 2*frameEvery)
		}
		s.shows("200 calls/s", "0% errors", "p50 98.0ms", "p99 196ms")
		if n := len(s.m.list.rows); n < maxRows || n > maxRows*11/10 {
			t.Errorf("%d rows are kept", n)
		}
		s.keys(" ")
		for range 60 {
			g.add(make([]admin.Summary, 100)...)
			s.settle()
		}
		s.shows(fmt.Sprintf("paused, %d new, 1000 not shown", maxRows))
		s.end()
	})
}

// TestTaskPanics: the terminal is given back before the panic goes on.
func TestTaskPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := traffic()
		term := &screen{shown: play(t, g, 80, 24, full, "").term.shown, input: make(chan []byte)}
		r := newRunner(New(g, "", ""), term, full, nil)
		r.model.task("test", func(context.Context, func(any)) { panic("the task's") })
		defer func() {
			if p := fmt.Sprint(recover()); !strings.Contains(p, "the task's") || !strings.Contains(p, "TestTaskPanics") || !term.left {
				t.Errorf("panic %q, terminal given back: %v", p, term.left)
			}
		}()
		r.run(t.Context())
	})
}

// TestOpenKeepsUp: what becomes of the record of an open call is shown as it happens.
func TestOpenKeepsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := traffic()
		state := func(s string) {
			g.mu.Lock()
			defer g.mu.Unlock()
			d := g.details["id-2"]
			d.Deliveries = []tapway.DeliveryState{{Destination: "audit", State: s}}
			g.details["id-2"] = d
		}
		state("queued")
		s := play(t, g, 80, 24, full, "")
		s.keys("gj\r")
		s.shows("audit  queued")
		state("delivered")
		s.wait(3 * time.Second)
		s.shows("audit  delivered")
		s.end()
	})
}
