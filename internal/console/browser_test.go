package console_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/config"
)

// world is a whole tapway with a backend whose answers would do harm in a careless console,
// and two destinations, one of which refuses some records for good.
type world struct {
	t       *testing.T
	gateway string
	console string
	refuse  atomic.Bool
	calls   atomic.Int64

	answer func(http.ResponseWriter, *http.Request) bool // the backend's instead, where it says true; nil: none
	stop   func()                                        // ends it before the test does
}

const attack = `<!doctype html><html><body><h1>Hi</h1><script>window.pwned = 1; parent.pwned = 1; top.pwned = 1</script><img src=x onerror="window.pwned = 2"><svg onload="window.pwned = 3"></svg></body></html>`

func newWorld(t *testing.T, more string) *world {
	return newWorldIn(t, t.TempDir()+"/data", more, "")
}

// newWorldIn is newWorld with a data directory, and with lines of its own in the configuration.
func newWorldIn(t *testing.T, data, more, yaml string) *world {
	t.Helper()
	w := &world{t: t}
	w.refuse.Store(true)
	backend := httptest.NewServer(http.HandlerFunc(w.backend))
	t.Cleanup(backend.Close)
	sink := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/strict" && w.refuse.Load() && strings.Contains(string(body), `"endpoint":"/fail`) {
			rw.WriteHeader(http.StatusUnprocessableEntity)
		}
	}))
	t.Cleanup(sink.Close)
	text := fmt.Sprintf("listen: 127.0.0.1:0\ndata: %s\nroutes: [{match: \"GET /users/{id}\", backend: \"%s/users/{id}\"}, {match: \"ANY /{proxy+}\", backend: \"%s/{proxy}\"}]\n"+
		"destinations: [{name: siem, url: \"%s/in\"}, {name: strict, url: \"%s/strict\", retry: {max_attempts: 1}}]\nadmin: {listen: 127.0.0.1:0%s}\n", data, backend.URL, backend.URL, sink.URL, sink.URL, more) + yaml
	c, err := config.Load(config.Source{File: "test.yaml", Text: []byte(text), Getenv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(c, app.Options{Version: "v1.2.3", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- a.RunNotify(ctx, func() { close(ready) }) }()
	<-ready
	w.stop = sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	w.gateway, w.console = "http://"+a.Addr(), "http://"+a.AdminAddr()+"/"
	return w
}

func (w *world) backend(rw http.ResponseWriter, r *http.Request) {
	w.calls.Add(1)
	if w.answer != nil && w.answer(rw, r) {
		return
	}
	h := rw.Header()
	switch {
	case r.URL.Path == "/attack":
		h.Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(rw, attack)
	case r.URL.Path == "/logo.png":
		h.Set("Content-Type", "image/png")
		png.Encode(rw, image.NewGray(image.Rect(0, 0, 120, 60)))
	case r.URL.Path == "/feed.xml":
		h.Set("Content-Type", "application/xml")
		io.WriteString(rw, `<?xml version="1.0"?><feed><entry id="1"><title>First</title></entry></feed>`)
	case r.URL.Path == "/zipped":
		h.Set("Content-Type", "application/json")
		h.Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(rw)
		io.WriteString(z, `{"zipped":true}`)
		z.Close()
	case strings.HasPrefix(r.URL.Path, "/fail"):
		h.Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusInternalServerError)
		io.WriteString(rw, `{"message":"the database is away"}`)
	default:
		h.Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"id":12345678901234567890,"path":%q,"tags":["a","b"],"none":null,"nested":{"ok":true,"ratio":0.25}}`, r.URL.Path)
	}
}

// send makes calls through the gateway: "GET /path" each.
func (w *world) send(calls ...string) {
	w.t.Helper()
	for _, call := range calls {
		method, path, _ := strings.Cut(call, " ")
		var body io.Reader
		if method == "POST" {
			body = strings.NewReader(`{"name":"morpheus","password":"hunter2","age":30}`)
		}
		req, err := http.NewRequest(method, w.gateway+path, body)
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", "gzip")
		req.Header.Set("Authorization", "Bearer very-secret")
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			w.t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// quiet checks that the browser has not complained, of the Content-Security-Policy least of all.
func (b *browser) quiet() {
	b.t.Helper()
	for _, m := range b.messages() {
		if strings.Contains(m, "status of 404") && strings.Contains(m, "/api/v1/alarms") { // there are none here, and the console asked
			continue
		}
		b.t.Errorf("the browser complains: %s", m)
	}
}

const rows = `[...document.querySelectorAll(".vrow:not([hidden])")]`

// TestTraffic: the list is live, a filter narrows it, a call opens, and nothing that was
// captured runs.
func TestTraffic(t *testing.T) {
	w, b := newWorld(t, ""), newBrowser(t)
	b.look("light", 1360, 860)
	b.open(w.console)
	b.until("an empty list that teaches", `document.querySelector(".teach")?.innerText.includes("curl -i `+w.gateway+`")`)
	b.shoot("empty-light")
	w.send("GET /users/1?fields=name&token=query-secret", "POST /users", "GET /fail/1", "GET /logo.png", "GET /feed.xml", "GET /zipped", "GET /attack")
	b.until("seven calls without reloading", rows+`.length === 7`)
	b.until("newest first", rows+`.find((r) => r.dataset.index === "0").querySelector(".p").textContent === "/attack"`)

	b.key("/")
	b.until("the filter has the focus", `document.activeElement?.id === "filter"`)
	b.typeText("status >= ")
	b.until("completion", `document.querySelector(".menu:not([hidden])")?.innerText.includes("5xx")`)
	b.shoot("completion-light")
	b.typeText("500 &&")
	b.key("Enter")
	b.until("an error that says where", `document.querySelector(".filterbox .problem").textContent.includes("status >= 500 &&")`)
	b.shoot("filter-error-light")
	b.js(`document.activeElement.select()`)
	b.typeText("status >= 500")
	b.key("Enter")
	b.until("one call", rows+`.length === 1 && location.hash.includes("filter=")`)
	w.send("GET /users/2", "GET /fail/2")
	b.until("the filter holds for new calls", rows+`.length === 2 && `+rows+`.every((r) => r.querySelector(".status").textContent === "500")`)
	b.click(".filterbox .clear")
	b.until("all calls again", rows+`.length === 9`)

	// By keyboard to the newest, and on to the attack.
	b.js(`document.activeElement.blur()`)
	b.key("j")
	b.key("j")
	b.key("k")
	b.key("Enter")
	b.until("the newest call is open", `document.querySelector(".side h2")?.textContent.includes("/fail/2")`)
	b.key("j")
	b.key("j")
	b.until("the attack is open", `document.querySelector(".side h2")?.textContent.includes("/attack")`)
	b.until("its body is text", `[...document.querySelectorAll(".side .code")].some((c) => c.textContent.includes("window.pwned = 1"))`)
	b.until("formatted", `[...document.querySelectorAll(".side .form")].some((f) => f.textContent === "HTML" && f.getAttribute("aria-pressed") === "true")`)
	if got := b.js(`[window.pwned, document.querySelectorAll(".side script, .side svg[onload], .side img").length]`).([]any); got[0] != nil || got[1] != 0.0 {
		t.Errorf("captured HTML got into the page: %v", got)
	}
	b.shoot("attack-light")
	b.key("Escape")
	b.until("closed", `document.querySelector(".side").hidden`)
	b.key("?")
	b.until("help", `document.querySelector("dialog[open] .keys")`)
	b.shoot("help-light")
	b.axe()("the help")
	b.js(`document.querySelector("dialog").close()`)

	b.key("p")
	b.until("paused", `document.querySelector("#pause").textContent === "Resume"`)
	w.send("GET /later")
	b.until("what comes is counted", `document.querySelector("#pause").textContent === "Resume (1 new)"`)
	b.key("p")
	b.until("it is there", rows+`.length === 10`)
	b.quiet()
}

// TestScroll: a long list is a few elements; scrolling loads what was before, and what comes
// meanwhile does not move what is read.
func TestScroll(t *testing.T) {
	w, b := newWorld(t, ""), newBrowser(t)
	for i := range 700 {
		w.send(fmt.Sprintf("GET /users/%d", i))
	}
	b.look("light", 1360, 860)
	b.open(w.console)
	b.until("the newest", rows+`.some((r) => r.querySelector(".p").textContent === "/users/699")`)
	for range 4 {
		b.js(`new Promise((done) => { const l = document.querySelector(".vlist"); l.scrollTop = l.scrollHeight; setTimeout(done, 150); })`)
	}
	b.until("the oldest", rows+`.some((r) => r.querySelector(".p").textContent === "/users/0" && r.getAttribute("aria-setsize") === "700")`)
	if n := b.js(`document.querySelectorAll(".vrow").length`).(float64); n > 60 {
		t.Errorf("%v elements for a window of rows", n)
	}
	place := rows + `.find((r) => r.querySelector(".p").textContent === "/users/3").getBoundingClientRect().y`
	before := b.js(place)
	w.send("GET /new/1", "GET /new/2", "GET /new/3")
	b.until("three more", rows+`.some((r) => r.getAttribute("aria-setsize") === "703")`)
	if after := b.js(place); after != before {
		t.Errorf("the row has moved from %v to %v", before, after)
	}
	b.quiet()
}

// find opens the call with a path.
func (b *browser) find(path string) {
	b.t.Helper()
	b.js(fmt.Sprintf(`(%s.find((r) => r.querySelector(".p").textContent === %q)).click()`, rows, path))
	b.until(path+" to open", fmt.Sprintf(`document.querySelector(".side h2")?.textContent.includes(%q) && document.querySelectorAll(".side .body").length === 2 && ![...document.querySelectorAll(".side .body")].some((b) => !b.textContent && !b.querySelector("img"))`, path))
}

// TestDetail: bodies in every form, numbers as they were, secrets gone, replay and compare.
func TestDetail(t *testing.T) {
	w, b := newWorld(t, ""), newBrowser(t)
	b.look("dark", 1360, 860)
	w.send("GET /users/1", "POST /users", "GET /logo.png", "GET /feed.xml", "GET /zipped", "GET /users/2")
	b.open(w.console)
	b.until("six calls", rows+`.length === 6`)

	b.find("/users")
	b.until("a number beyond doubles as it was written", `document.querySelector(".side").textContent.includes("12345678901234567890")`)
	b.until("delivered to both", `document.querySelectorAll(".side .state.delivered").length === 2`)
	b.shoot("detail-dark")
	if text := b.js(`document.body.textContent`).(string); strings.Contains(text, "hunter2") || strings.Contains(text, "very-secret") || !strings.Contains(text, "[REDACTED") {
		t.Error("secrets are shown, or nothing says that they are redacted")
	}
	b.find("/logo.png")
	b.until("the image", `document.querySelector(".captured")?.naturalWidth === 120`)
	b.find("/feed.xml")
	b.until("XML by its tags", `[...document.querySelectorAll(".side .line")].some((l) => l.textContent.trim() === "<title>First</title>")`)
	b.find("/zipped")
	b.until("decoded", `document.querySelector(".side").textContent.includes('"zipped": true')`)
	b.js(`[...document.querySelectorAll(".side .form")].find((f) => f.textContent === "As sent").click()`)
	b.until("as sent", `[...document.querySelectorAll(".side .code")].some((c) => c.textContent.startsWith("00000000  1f 8b"))`)

	// The clipboard gets a command.
	b.js(`navigator.clipboard.writeText = async (t) => { window.copied = t; }`)
	b.find("/users")
	for how, want := range map[string]string{"curl": "curl -i -X POST 'http://", "js": "await fetch(", "go": "http.NewRequest(\"POST\"", "python": "urllib.request.Request(", "raw": "POST /users HTTP/1.1"} {
		b.js(fmt.Sprintf(`(() => { const s = document.querySelector(".side-tools select"); s.value = %q; s.dispatchEvent(new Event("change")); })()`, how))
		b.until("copied as "+how, fmt.Sprintf(`window.copied?.includes(%q) && window.copied.includes("morpheus")`, want))
	}

	// Replay, edited, through the gateway.
	before := w.calls.Load()
	b.key("r")
	b.until("the replay dialog", `document.querySelector("dialog[open] .reqline") && [...document.querySelectorAll("dialog textarea")][1].value.includes("morpheus")`)
	b.js(`document.querySelector("dialog [aria-label='Path and query']").value = "/users?again=1"`)
	b.shoot("replay-dark")
	b.axe()("the replay dialog")
	b.click("#replay-send")
	b.until("an answer", `document.querySelector("dialog .good")?.textContent.includes("Answered 200")`)
	b.until("the way to the record", `document.querySelector("dialog .result a")?.textContent === "Open the new call"`)
	b.shoot("replayed-dark")
	if w.calls.Load() != before+1 {
		t.Errorf("the backend got %d calls", w.calls.Load()-before)
	}
	b.js(`[...document.querySelectorAll("dialog .result a")].find((a) => a.textContent === "Compare both").click()`)
	b.until("both side by side", `document.querySelectorAll(".diff").length === 5 && document.querySelector(".diff .came")?.textContent.includes("again=1")`)
	b.shoot("compare-dark")
	check := b.axe()
	check("compare, dark")
	b.look("light", 1360, 860)
	b.shoot("compare-light")
	check("compare, light")
	b.quiet()
}

// TestDelivery: dead letters are grouped, redriven and purged; destinations stop and go on; the
// ledger tells what was.
func TestDelivery(t *testing.T) {
	w, b := newWorld(t, ""), newBrowser(t)
	for i := range 12 {
		w.send(fmt.Sprintf("GET /users/%d", i), fmt.Sprintf("GET /fail/%d", i%3), "POST /users", "GET /attack")
	}
	b.look("light", 1360, 860)
	b.open(w.console + "#/delivery")
	b.until("twelve dead letters in a group", `document.querySelector(".group .count")?.textContent === "12"`)
	b.until("both destinations", `document.querySelectorAll(".dest").length === 2 && document.querySelector(".dest .state.closed")`)
	b.click(".group summary .why")
	b.until("the letters", `document.querySelectorAll(".letters tbody tr").length === 12`)
	b.click("#pause-siem")
	b.shoot("pause-light")
	b.click("#do-pause")
	b.until("paused", `document.querySelector(".dest .state.paused")`)
	b.click("#pause-siem")
	b.until("resumed", `!document.querySelector(".dest .state.paused")`)

	w.refuse.Store(false)
	b.until("the group", `document.querySelector(".group summary .why")`)
	b.until("the letters again", `(document.querySelector(".group").open = true) && document.querySelectorAll(".letters tbody tr").length === 12`)
	b.js(`document.querySelector(".letters tbody .btn").click()`)
	b.until("it counts first", `document.querySelector("#do-it")?.textContent === "Redrive 1"`)
	b.shoot("redrive-light")
	b.js(`import("/js/letters.js").then((m) => { m.undo.seconds = 0; })`)
	b.click("#do-it")
	b.until("it is back", `document.querySelector("dialog .good")?.textContent.includes("1 letter back in the queue")`)
	b.click("#done")
	b.until("eleven are left", `document.querySelector(".group .count")?.textContent === "11"`)
	b.click("#purge")
	b.until("confirmation", `document.querySelector("#do-it")?.disabled`)
	b.js(`document.querySelector("dialog input.mono").focus()`)
	b.typeText("11")
	b.shoot("purge-light")
	b.axe()("the purge dialog, over the open group")
	b.click("#do-it")
	b.until("purged", `document.querySelector("dialog .good")?.textContent.includes("11 letters purged")`)
	b.click("#done")
	b.until("none is left", `document.querySelector("section .teach.good")?.textContent.includes("No dead letters")`)
	b.open(w.console + "#/ledger")
	b.until("the ledger says so", `[...document.querySelectorAll(".account")].some((a) => a.textContent.includes("11 dropped: purged")) && !document.querySelector(".odd")`)
	b.shoot("ledger-purged-light")
	b.quiet()
}

// TestLogin: with a token the console asks for it, keeps it from scripts, and can log out.
func TestLogin(t *testing.T) {
	w, b := newWorld(t, ", token: s3same-token"), newBrowser(t)
	w.send("GET /users/1", "GET /fail/1")
	b.look("light", 1360, 860)
	b.open(w.console)
	b.until("the login", `document.activeElement?.id === "token"`)
	b.shoot("login-light")
	b.axe()("the login")
	b.typeText("wrong")
	b.key("Enter")
	b.until("a refusal", `document.querySelector(".problem").textContent.includes("not the admin token")`)
	b.typeText("s3same-token")
	b.key("Enter")
	b.until("the list", rows+`.length === 2`)
	if kept := b.js(`document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)`).(string); strings.Contains(kept, "s3same") || strings.Contains(kept, "session") {
		t.Errorf("a script can read %q", kept)
	}
	b.click("#theme")
	b.until("dark by the switch", `getComputedStyle(document.documentElement).colorScheme === "dark"`)
	b.open(w.console + "#/delivery")
	b.click("#pause-siem")
	b.click("#do-pause")
	b.until("a change with the session", `document.querySelector(".dest .state.paused")`)
	b.do("Page.reload", nil)
	b.until("still logged in and dark", `document.querySelector(".dest .state.paused") && document.documentElement.dataset.theme === "dark"`)
	b.shoot("delivery-switch-dark")
	b.click("[aria-label='Log out']")
	b.until("the login again", `document.activeElement?.id === "token"`)
	for _, m := range b.messages() { // refusals of the token are messages too
		if strings.Contains(m, "ContentSecurityPolicy") || strings.Contains(m, "exceptionThrown") {
			t.Error(m)
		}
	}
	if status := b.js(`fetch("/api/v1/queue").then((r) => r.status)`); status != 401.0 {
		t.Errorf("after the logout: %v", status)
	}
}
