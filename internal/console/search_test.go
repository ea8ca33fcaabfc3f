package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"
)

// slowHistory answers searches a step at a time.
type slowHistory struct {
	asked chan string   // the position before which one looks
	ended chan struct{} // it was given up
	steps chan []string // lines to write; closed at the end
}

func (s *slowHistory) serve(w http.ResponseWriter, r *http.Request) {
	s.asked <- r.URL.Query().Get("before")
	for {
		select {
		case lines, more := <-s.steps:
			if !more {
				return
			}
			fmt.Fprintln(w, strings.Join(lines, "\n"))
			http.NewResponseController(w).Flush()
			if strings.Contains(lines[len(lines)-1], "ended") {
				return
			}
		case <-r.Context().Done():
			s.ended <- struct{}{}
			return
		}
	}
}

func foundRow(seq int, path string) string {
	text, _ := json.Marshal(map[string]any{"seq": seq, "id": fmt.Sprintf("00000000-0000-7000-8000-%012d", seq), "time": "2026-11-20T10:00:00Z", "method": "GET", "path": path, "status": 500})
	return string(text)
}

// TestSearch: a search that takes long shows what it finds and how far it is, can be stopped, goes on
// where it stopped, and holds up no call that comes meanwhile.
func TestSearch(t *testing.T) {
	w := newWorld(t, "")
	slow := &slowHistory{asked: make(chan string, 1), ended: make(chan struct{}, 1), steps: make(chan []string)}
	w.behind(func(mux *http.ServeMux, rest *httputil.ReverseProxy) {
		mux.Handle("/", rest)
		mux.HandleFunc("/api/v1/exchanges", slow.serve)
	})
	b := newBrowser(t)
	b.look("light", 1360, 860)
	b.open(w.console + "#/traffic?filter=" + `status%20%3E%3D%20500`)
	<-slow.asked
	slow.steps <- []string{foundRow(900_000, "/old/1"), `{"progress":{"searched":120000,"total":1000000,"at":880000}}`}
	b.until("the first that is found", rows+`.length === 1`)
	slow.steps <- []string{`{"progress":{"searched":320000,"total":1000000,"at":680000}}`}
	w.send("GET /fail/now")
	b.until("a call that comes meanwhile", rows+`.length === 2 && `+rows+`.some((r) => r.querySelector(".p").textContent === "/fail/now")`)
	b.eventually("how far it is", func() bool {
		slow.steps <- []string{`{"progress":{"searched":320000,"total":1000000,"at":680000}}`}
		return b.js(`(() => { const s = document.querySelector(".searching"); return !s.hidden && s.textContent.includes("320,000 of 1,000,000 calls searched · 1 found") && s.querySelector("progress").value === .32; })()`) == true
	})
	b.shoot("search-light")
	b.axe()("a search")
	b.click("#search-stop")
	b.until("it stopped", `document.querySelector(".searching").textContent.startsWith("Stopped · 320,000 of 1,000,000")`)
	<-slow.ended
	b.shoot("search-stopped-light")
	b.click("#search-on")
	if from := <-slow.asked; from != "680000" {
		t.Errorf("it goes on before %s", from)
	}
	slow.steps <- []string{foundRow(100, "/old/2"), `{"progress":{"searched":680000,"total":680000,"ended":true}}`}
	b.until("all that there is", rows+`.length === 3 && document.querySelector(".searching").hidden`)
	b.until("newest first", rows+`.toSorted((a, b) => a.dataset.index - b.dataset.index).map((r) => r.querySelector(".p").textContent).join() === "/fail/now,/old/1,/old/2"`)
	b.quiet()
}

// TestLost: while tapway does not answer the console says so and keeps what it shows; afterwards it goes
// on by itself.
func TestLost(t *testing.T) {
	w := newWorld(t, "")
	var gone atomic.Bool
	w.behind(func(mux *http.ServeMux, rest *httputil.ReverseProxy) {
		mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
			if gone.Load() {
				panic(http.ErrAbortHandler)
			}
			rest.ServeHTTP(rw, r)
		})
	})
	b := newBrowser(t)
	w.send("GET /users/1", "GET /users/2")
	b.look("light", 1360, 860)
	b.open(w.console + "#/delivery")
	b.until("the deliveries", `document.querySelectorAll(".dest").length === 2 && document.querySelector(".unreached").hidden`)
	gone.Store(true)
	b.until("that it does not answer", `document.querySelector(".unreached:not([hidden])")?.textContent.includes("does not answer")`)
	b.until("what was there", `document.querySelectorAll(".dest").length === 2`)
	b.axe()("tapway is gone")
	b.js(`location.hash = "#/exchange/00000000-0000-7000-8000-000000000001"`)
	b.until("that nothing can be loaded", `document.querySelector(".side .teach.error, .over .teach.error")`)
	b.shoot("lost-light")
	gone.Store(false)
	b.until("the list, as soon as it answers", rows+`.length === 2 && document.querySelector(".unreached").hidden && document.querySelector(".livestate.live")`)
	b.until("what can be said of the call", `document.querySelector(".side .teach")?.textContent.includes("no longer here")`)
	w.send("GET /users/3")
	b.until("what comes", rows+`.length === 3`)
}

// TestHidden: a page that nobody looks at asks for nothing, and catches up when somebody does.
func TestHidden(t *testing.T) {
	w := newWorld(t, "")
	var live atomic.Int64
	w.behind(func(mux *http.ServeMux, rest *httputil.ReverseProxy) {
		mux.Handle("/", rest)
		mux.HandleFunc("/api/v1/live", func(rw http.ResponseWriter, r *http.Request) {
			live.Add(1)
			defer live.Add(-1)
			rest.ServeHTTP(rw, r)
		})
	})
	b := newBrowser(t)
	w.send("GET /users/1")
	b.open(w.console)
	b.until("a call", rows+`.length === 1 && document.querySelector(".livestate.live")`)
	b.js(`import("/js/feed.js").then((m) => { m.asleep.after = 1; })`)
	see := func(state string) {
		b.js(`Object.defineProperty(document, "visibilityState", { value: "` + state + `", configurable: true }); document.dispatchEvent(new Event("visibilitychange"))`)
	}
	w.send("GET /users/2") // the stream that began before keeps its time: it must begin anew
	b.until("another", rows+`.length === 2`)
	b.js(`document.querySelector("#filter").value = "status == 200"; document.querySelector("#filter").focus()`)
	b.key("Enter")
	b.until("a stream of its own", rows+`.length === 2 && location.hash.includes("filter") && document.querySelector(".livestate.live")`)
	see("hidden")
	b.eventually("the stream to end", func() bool { return live.Load() == 0 })
	w.send("GET /users/3")
	see("visible")
	b.until("what came meanwhile", rows+`.length === 3 && document.querySelector(".livestate.live")`)
	b.quiet()
}
