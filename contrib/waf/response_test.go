package waf

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

const leak = `{"error":"You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version for the right syntax to use near 'hunter2secret'"}`

// respond is a backend with one answer, in pieces.
func respond(contentType string, told bool, pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		if told {
			w.Header().Set("Content-Length", strconv.Itoa(len(strings.Join(pieces, ""))))
		}
		for _, p := range pieces {
			_, _ = io.WriteString(w, p)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// TestResponses: what a response must not say is withheld in block mode and named in detect mode;
// everything else comes byte for byte.
func TestResponses(t *testing.T) {
	const bound = 1 << 10
	fill := strings.Repeat("all is well ", 200)
	worlds := map[string]*world{}
	for _, mode := range []string{Block, Detect} {
		for _, what := range []string{ResponseOff, ResponseHeaders, ResponseBody} {
			worlds[mode+" "+what] = newWorld(t, func(c *Config) {
				c.Mode, c.Response, c.MaxResponse = mode, what, bound
				c.Rules = []string{write(t, "own.conf", `SecRule RESPONSE_HEADERS:X-Debug "@rx ." "id:1001,phase:3,deny,msg:'Debug header'"`+"\n")}
			})
		}
	}
	for i, tt := range []struct {
		name            string
		answer          http.HandlerFunc
		body            string
		headers, bodies bool // found by the inspection of headers, of bodies
	}{
		{"clean", respond(json, true, `{"a":1}`), `{"a":1}`, false, false},
		{"clean, in pieces", respond(json, false, `{"a"`, `:1}`), `{"a":1}`, false, false},
		{"clean and long", respond("text/plain", false, fill, fill), fill + fill, false, false},
		{"clean and as long as is inspected", respond("text/plain", true, fill[:bound]), fill[:bound], false, false},
		{"one byte more", respond("text/plain", false, fill[:bound], "x"), fill[:bound] + "x", false, false},
		{"nothing", respond("text/plain", true), "", false, false},
		{"a leak", respond(json, true, leak), leak, false, true},
		{"a leak in pieces", respond(json, false, leak[:40], leak[40:]), leak, false, true},
		{"a leak, and much behind it", respond("text/html", false, leak, fill, fill), leak + fill + fill, false, true},
		{"a leak behind what is inspected", respond("text/plain", false, fill, leak), fill + leak, false, false},
		{"a leak in a picture", respond("image/png", true, leak), leak, false, false},
		{"a leak in an event", respond("text/event-stream", false, leak), leak, false, false},
		{"a header", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Debug", "1")
			respond(json, true, `{"a":1}`)(w, r)
		}, `{"a":1}`, true, true},
		{"a leak to one who says Upgrade", nil, leak, false, true},
		{"compressed", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "x-own")
			respond(json, true, leak)(w, r)
		}, leak, false, false},
	} {
		for name, w := range worlds {
			mode, what, _ := strings.Cut(name, " ")
			hit := what == ResponseHeaders && tt.headers || what == ResponseBody && tt.bodies
			w.answer = tt.answer
			var headers []string
			if tt.answer == nil {
				w.answer, headers = respond(json, true, leak), []string{"Upgrade", "nothing"}
			}
			status, body := w.send("GET", "/", "", "", headers...)
			wantStatus, want := 200, tt.body
			if hit && mode == Block {
				wantStatus, want = http.StatusBadGateway, errorPage
			}
			if status != wantStatus || body != want {
				t.Errorf("%s, %s: %d, %d bytes, want %d, %d", tt.name, name, status, len(body), wantStatus, len(want))
			}
			text := w.after(i + 1)
			switch {
			case !hit && text != "", hit && mode == Block && !strings.HasPrefix(text, "waf: response withheld: rule"),
				hit && mode == Detect && !strings.HasPrefix(text, "waf would withhold the response: rule"):
				t.Errorf("%s, %s: the record says %q", tt.name, name, text)
			}
			if hit && tt.headers && !strings.Contains(text, "rule 1001") || hit && !tt.headers && !strings.Contains(text, " 951") {
				t.Errorf("%s, %s: the record says %q", tt.name, name, text)
			}
		}
	}
	for name, w := range worlds {
		if n := w.memory.held.Load(); n != 0 {
			t.Errorf("%s: %d bytes are held", name, n)
		}
		if strings.Contains(w.log.String(), "hunter2") {
			t.Errorf("%s: the log has the answer:\n%s", name, w.log)
		}
	}
}

// TestResponseInTheClear: the backend is asked for text that can be read, only where it is.
func TestResponseInTheClear(t *testing.T) {
	for what, want := range map[string]string{ResponseOff: "br", ResponseHeaders: "br", ResponseBody: ""} {
		w := newWorld(t, func(c *Config) { c.Response = what })
		w.answer = func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("X-Asked", r.Header.Get("Accept-Encoding"))
			rw.WriteHeader(http.StatusNoContent)
		}
		r, err := http.NewRequestWithContext(t.Context(), "GET", w.URL+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "api.example.com"
		r.Header.Set("Accept-Encoding", "br")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("X-Asked"); got != want || resp.StatusCode != http.StatusNoContent {
			t.Errorf("%s: %d, the backend was asked for %q, want %q", what, resp.StatusCode, got, want)
		}
	}
}

// TestResponseStreams: in detect mode, and of types that are not inspected, the client has each
// piece as it comes.
func TestResponseStreams(t *testing.T) {
	for mode, contentType := range map[string]string{Detect: "text/plain", Block: "text/event-stream"} {
		next := make(chan struct{})
		w := newWorld(t, func(c *Config) { c.Mode, c.Response = mode, ResponseBody })
		w.answer = func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", contentType)
			_, _ = io.WriteString(rw, "first")
			_ = http.NewResponseController(rw).Flush()
			<-next
		}
		resp, err := http.Get(w.URL)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 5)
		if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
			t.Errorf("%s: %q %v", mode, first, err)
		}
		close(next)
		resp.Body.Close()
	}
}

// TestResponseBreaksOff: what was held of a response that broke off is not passed off as all of it.
func TestResponseBreaksOff(t *testing.T) {
	for _, mode := range []string{Block, Detect} {
		w := newWorld(t, func(c *Config) { c.Mode, c.Response = mode, ResponseBody })
		w.answer = func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(rw, "half")
			panic(http.ErrAbortHandler)
		}
		resp, err := http.Get(w.URL)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: half an answer came as a whole one", mode)
		}
		w.Server.Close() // waits for the handler
		if n := w.memory.held.Load(); n != 0 {
			t.Errorf("%s: %d bytes are held", mode, n)
		}
	}
}

// TestResponseNoRoom: without room for a response it is refused, or passes, as on_error says.
func TestResponseNoRoom(t *testing.T) {
	for onError, want := range map[string]string{Refuse: errorPage, Pass: "all is well"} {
		w := newWorld(t, func(c *Config) { c.Response, c.OnError = ResponseBody, onError })
		w.answer = respond("text/plain", true, "all is", " well")
		w.memory.held.Store(int64(Default().BodyMemory))
		if _, body := w.send("GET", "/", "", ""); body != want {
			t.Errorf("%s: %q", onError, body)
		}
		if text := w.after(1); text != "waf: response could not be inspected" {
			t.Errorf("%s: the record says %q", onError, text)
		}
		if n := w.memory.held.Load(); n != int64(Default().BodyMemory) {
			t.Errorf("%s: %d bytes are held", onError, n)
		}
	}
}

// TestResponseTrailers: trailers of a response that was held come behind it.
func TestResponseTrailers(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Response = ResponseBody })
	w.answer = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/plain")
		rw.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(rw, "text")
		rw.Header().Set("X-Sum", "1")
		rw.Header().Set(http.TrailerPrefix+"X-Late", "2")
	}
	resp, err := http.Get(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "text" {
		t.Errorf("%q %v", body, err)
	}
	if resp.Trailer.Get("X-Sum") != "1" || resp.Trailer.Get("X-Late") != "2" || resp.Header.Get("X-Sum") != "" {
		t.Errorf("header %v, trailer %v", resp.Header, resp.Trailer)
	}
}
