package console_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"
)

// TestBodies: forms by their fields, what is no text in hexadecimal, and what was cut off or withheld with a word about it.
func TestBodies(t *testing.T) {
	w := newWorldIn(t, t.TempDir()+"/data", "", "capture: {max_body: 1KiB}\n")
	w.answer = func(rw http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/form":
			rw.Header().Set("Content-Type", "application/octet-stream")
			rw.Write([]byte{0, 1, 2, 0xff, 'P', 'K'})
		case "/long":
			rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
			io.WriteString(rw, strings.Repeat("seventeen bytes, ", 400))
		default:
			return false
		}
		return true
	}
	for path, body := range map[string]string{"/form": "name=neo&password=hunter2&note=a+b%26c", "/long": `{"password": "hunter2`, "/short": `{"password": "hunter2, and more of it than its mark is long"}`} {
		kind := map[bool]string{true: "application/x-www-form-urlencoded", false: "application/json"}[path == "/form"]
		resp, err := http.Post(w.gateway+path, kind, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	b := newBrowser(t)
	b.look("light", 1360, 860)
	b.open(w.console)
	b.until("three calls", rows+`.length === 3`)
	forms := `[...document.querySelectorAll(".side .form[aria-pressed=true]")].map((f) => f.textContent).join()`
	b.js(rows + `.find((r) => r.querySelector(".p").textContent === "/form").click()`)
	b.until("a form and bytes", forms+` === "Form,Hex"`)
	b.until("its fields", `[...document.querySelectorAll(".side .line")].map((l) => l.textContent.trim()).join("|").startsWith("name = neo|password = [REDACTED]|note = a b&c|")`)
	b.until("its bytes", `document.querySelectorAll(".side .code")[1].textContent.includes("00000000  00 01 02 ff 50 4b") && document.querySelectorAll(".side .code")[1].textContent.includes("····PK")`)
	b.shoot("form-light")
	b.js(rows + `.find((r) => r.querySelector(".p").textContent === "/long").click()`)
	b.until("what is withheld", `document.querySelector(".side").textContent.includes("is withheld")`)
	b.until("what was cut off", `document.querySelector(".side .forms").textContent.includes("cut off: 1.0 KiB of 6.6 KiB are recorded")`)
	if text := b.js(`document.body.textContent`).(string); strings.Contains(text, "hunter2") {
		t.Error("a secret is shown")
	}
	b.shoot("cut-light")
	b.js(rows + `.find((r) => r.querySelector(".p").textContent === "/short").click()`)
	b.until("a body that redaction made shorter, which is whole", `document.querySelector(".side .code")?.textContent.includes('"password": "[REDACTED]"') && !document.querySelector(".side").textContent.includes("cut off")`)
	if text := b.js(`document.body.textContent`).(string); strings.Contains(text, "hunter2") {
		t.Error("a secret is shown")
	}

	// Where the clipboard cannot be had, the old way is tried.
	b.js(`navigator.clipboard.writeText = async () => { throw new Error("no clipboard here"); }`)
	b.js(`document.addEventListener("copy", () => { window.copied = document.activeElement.value; })`)
	b.choose(".side-tools select", "curl")
	b.until("copied all the same", `window.copied?.startsWith("curl -i -X POST ") && document.querySelector(".toasts").textContent.includes("Copied as cURL")`)
	b.quiet()
}

// TestCompletion: words are completed by the keys, and a filter so made works.
func TestCompletion(t *testing.T) {
	w, b := newWorld(t, ""), newBrowser(t)
	w.send("GET /users/1", "GET /fail/1")
	b.look("light", 1360, 860)
	b.open(w.console)
	b.until("two calls", rows+`.length === 2`)
	b.key("/")
	b.typeText("stat")
	b.until("the field", `document.querySelector(".menu:not([hidden]) code")?.textContent === "status"`)
	b.press("Tab", 0)
	b.until("it is taken", `document.activeElement.value === "status "`)
	b.until("the operators", `[...document.querySelectorAll(".menu:not([hidden]) code")].some((c) => c.textContent === ">=")`)
	b.typeText(">= ")
	b.until("the values", `[...document.querySelectorAll(".menu:not([hidden]) code")].map((c) => c.textContent).join() === "200,404,4xx,5xx"`)
	for range 4 {
		b.press("ArrowDown", 0)
	}
	b.until("the last one is told", `document.activeElement.getAttribute("aria-activedescendant") === "filter-o3" && document.querySelector("#filter-o3").getAttribute("aria-selected") === "true"`)
	b.press("ArrowUp", 0)
	b.press("Escape", 0)
	b.until("no more words", `document.querySelector(".menu").hidden && document.activeElement.id === "filter"`)
	b.typeText("500")
	b.key("Enter")
	b.until("the failed one", rows+`.length === 1 && location.hash.includes("filter=")`)
	b.quiet()
}

// TestTrouble: a view whose question tapway cannot answer says so in tapway's own words; so does a ledger that does not balance.
func TestTrouble(t *testing.T) {
	w := newWorld(t, "")
	w.send("GET /users/1", "GET /fail/1")
	var away, odd atomic.Bool
	w.behind(func(mux *http.ServeMux, rest *httputil.ReverseProxy) {
		mux.Handle("/", rest)
		mux.HandleFunc("/api/v1/", func(rw http.ResponseWriter, r *http.Request) {
			what := strings.TrimPrefix(r.URL.Path, "/api/v1/")
			switch {
			case what == "ledger" && odd.Load():
				io.WriteString(rw, `{"calls":5,"stored":4,"dropped":{"queue full":0},"difference":1,"destinations":[{"destination":"siem","captured":4,"delivered":6}],"differences":{"siem":-2}}`)
			case away.Load() && what != "place" && what != "session":
				rw.WriteHeader(http.StatusInternalServerError)
				io.WriteString(rw, `{"message":"the disk is away"}`)
			default:
				rest.ServeHTTP(rw, r)
			}
		})
	})
	b := newBrowser(t)
	b.look("light", 1360, 860)
	away.Store(true)
	check := b.axe()
	for _, view := range []string{"traffic", "overview", "delivery", "delivery/dead?destination=siem", "routes", "keys", "alarms", "ledger", "exchange/00000000-0000-7000-8000-000000000001", "compare/a/b"} {
		b.open("about:blank")
		b.open(w.console + "#/" + view)
		b.until(view+" tells of it", `[...document.querySelectorAll("main .teach.error")].some((e) => e.textContent.includes("The disk is away"))`)
		name, _, _ := strings.Cut(view, "/")
		b.shoot("away-" + name + "-light")
		check(view)
	}
	away.Store(false)
	b.open("about:blank")
	b.open(w.console + "#/traffic")
	b.until("the calls", rows+`.length === 2`)
	odd.Store(true)
	b.open(w.console + "#/ledger")
	b.until("what is missing, and what is too much", fmt.Sprintf(`[...document.querySelectorAll(".balance.odd")].map((e) => e.textContent).join() === %q`,
		"1 is missing. Run tapway queue check: it names the place.,2 too many. Run tapway queue check: it names the place."))
	b.until("that it is no equation", `[...document.querySelectorAll(".equation")].map((e) => e.textContent).join() === "5 calls ≠ 4 stored,4 captured ≠ 6 delivered"`)
	b.shoot("ledger-odd-light")
	check("a ledger that does not balance")
	b.harmless()
}
