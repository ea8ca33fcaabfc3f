package console_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write puts text into a field in place of what it has, as fingers would.
func (b *browser) write(selector, text string) {
	b.t.Helper()
	b.until("a field", fmt.Sprintf("document.querySelector(%q)", selector))
	b.js(fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.focus(); e.select(); })()`, selector))
	b.typeText(text)
}

// choose chooses from a list.
func (b *browser) choose(selector, value string) {
	b.t.Helper()
	b.until("a choice", fmt.Sprintf("[...document.querySelector(%q).options].some((o) => o.value === %q)", selector, value))
	b.js(fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.value = %q; e.dispatchEvent(new Event("change", { bubbles: true })); })()`, selector, value))
}

// push clicks the button with a label that stands in what a selector finds.
func (b *browser) push(within, label string) {
	b.t.Helper()
	button := fmt.Sprintf(`[...document.querySelectorAll(%q)].find((x) => x.textContent === %q && !x.disabled)`, within+" button", label)
	b.until("a button", button)
	b.js(button + ".click()")
}

// harmless checks that nothing was thrown or refused by the policy; refusals of tapway's are messages too.
func (b *browser) harmless() {
	b.t.Helper()
	for _, m := range b.messages() {
		if strings.Contains(m, "ContentSecurityPolicy") || strings.Contains(m, "exceptionThrown") {
			b.t.Errorf("the browser complains: %s", m)
		}
	}
}

// dead counts the dead letters.
func (w *world) dead() int {
	w.t.Helper()
	return strings.Count(w.fetch(w.console+"api/v1/deadletters"), "\n")
}

// TestReplayElsewhere: a call is sent to another URL, edited first: its method, path, headers and body. What was redacted is
// not sent, what is written in its place is, and what cannot be sent is said.
func TestReplayElsewhere(t *testing.T) {
	got := make(chan *http.Request, 1)
	bodies := make(chan string, 1)
	staging := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		rw.WriteHeader(http.StatusAccepted)
		got <- r
		bodies <- string(body)
	}))
	t.Cleanup(staging.Close)
	closed := httptest.NewServer(nil)
	closed.Close()
	w := newWorld(t, "")
	w.send("POST /users")
	b := newBrowser(t)
	b.look("light", 1360, 860)
	b.open(w.console)
	b.until("a call", rows+`.length === 1`)
	b.find("/users")
	id := strings.TrimPrefix(b.js(`location.hash`).(string), "#/exchange/")
	before := w.calls.Load()
	b.key("r")
	b.until("the dialog, with the body", `[...document.querySelectorAll("dialog[open] textarea")][1]?.value.includes("morpheus")`)
	b.until("a word about what was redacted", `document.querySelector("dialog .hints").textContent.includes("Authorization") || document.querySelector("dialog .hints").textContent.includes("[REDACTED]")`)
	b.choose("#replay-to", "")
	b.until("a place for the URL", `document.querySelector("[aria-label='Another URL']").checkVisibility()`)
	b.click("#replay-send")
	b.until("what is missing", `document.querySelector("dialog .callerror")?.textContent.includes("https://") && document.activeElement.ariaLabel === "Another URL"`)
	b.write("[aria-label='Another URL']", "staging")
	b.click("#replay-send")
	b.until("that it is no URL", `document.querySelector("dialog .callerror")?.textContent.startsWith("Not sent: to: say which http://")`)
	b.write("[aria-label='Another URL']", staging.URL+"/base")
	b.write("[aria-label=Method]", "PUT")
	b.write("[aria-label='Path and query']", "/v2/users?dry=1")
	b.js(`document.querySelector("dialog textarea").value += "\nX-Mine: yes"`)
	b.js(`document.querySelectorAll("dialog textarea")[1].select()`)
	b.typeText(`{"name":"neo"}`)
	b.shoot("replay-elsewhere-light")
	b.axe()("a replay to another URL")
	b.click("#replay-send")
	r, body := <-got, <-bodies
	b.until("its status alone", `document.querySelector("dialog .good")?.textContent.includes("Answered 202") && document.querySelector("dialog .result").textContent.includes("not shown")`)
	if r.Method != "PUT" || r.URL.String() != "/base/v2/users?dry=1" || body != `{"name":"neo"}` || r.Header.Get("X-Mine") != "yes" || r.Header.Get("X-Tapway-Replay") != id || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("sent was %s %s %v %s", r.Method, r.URL, r.Header, body)
	}
	if v := r.Header.Values("Authorization"); len(v) > 0 {
		t.Errorf("an authorization was sent that was redacted: %q", v)
	}
	b.js(`(() => { const t = document.querySelector("dialog textarea"); t.value = t.value.replace(/^(authorization): .*$/im, "$1: Bearer mine"); })()`)
	b.click("#replay-send")
	r, _ = <-got, <-bodies
	if v := r.Header.Get("Authorization"); v != "Bearer mine" {
		t.Errorf("the authorization that was written is sent as %q", v)
	}
	b.until("answered again", `!document.querySelector("#replay-send").disabled`)

	b.write("[aria-label='Another URL']", closed.URL)
	b.click("#replay-send")
	b.until("that nobody answers", `document.querySelector("dialog .callerror")?.textContent.includes("got no answer")`)
	b.shoot("replay-unanswered-light")
	if n := w.calls.Load(); n != before {
		t.Errorf("the backend got %d calls meant for others", n-before)
	}
	b.choose("#replay-to", b.js(`document.querySelectorAll("#replay-to option")[1].value`).(string))
	b.click("#replay-send")
	b.until("the backend's answer", `document.querySelector("dialog .good")?.textContent.includes("Answered 200")`)
	if n := w.calls.Load(); n != before+1 {
		t.Errorf("the backend got %d calls", n-before)
	}
	b.js(`document.querySelector("dialog").close()`)
	if n := b.js(rows + `.length`); n != 1.0 {
		t.Errorf("what did not go through the gateway is in the list: %v calls", n)
	}
	b.harmless()
}

// TestRedrive: dead letters are put back as a filter says, or as they are marked, or all of them. It counts first, can be
// called off before it begins and stopped while it runs, and a bar shows how far it is.
func TestRedrive(t *testing.T) {
	w, b := newWorld(t, ""), newBrowser(t)
	for i := range 6 {
		w.send(fmt.Sprintf("GET /fail/orders/%d", i), "GET /users/1") // whatever fails without a break is left alone for a while
	}
	for i := range 4 {
		w.send(fmt.Sprintf("GET /fail/bills/%d", i), "GET /users/2")
	}
	b.eventually("ten dead letters", func() bool { return w.dead() == 10 })
	w.refuse.Store(false)
	b.look("light", 1360, 860)
	b.open(w.console + "#/delivery")
	b.until("all of them", `document.querySelector(".group .count")?.textContent === "10" && document.querySelector("#redrive")?.textContent === "Redrive all"`)
	b.click("#dead-filter")
	b.until("the field", `document.activeElement?.id === "dead-filter"`)
	b.typeText(`path startsWith "/fail/orders"`)
	b.key("Enter")
	b.until("those that the filter takes", `location.hash.startsWith("#/delivery/dead?filter=") && document.querySelector(".group .count")?.textContent === "6" && document.querySelector("#redrive").textContent === "Redrive what the filter takes"`)

	undo := func(seconds int) {
		b.js(fmt.Sprintf(`import("/js/letters.js").then((m) => { m.undo.seconds = %d; })`, seconds))
	}
	undo(600) // as long as this machine needs
	b.click("#redrive")
	b.until("it counts first", `document.querySelector("#do-it")?.textContent === "Redrive 6"`)
	b.click("#do-it")
	b.until("it waits", `document.querySelector("dialog").textContent.includes("Starts in")`)
	b.shoot("redrive-undo-light")
	b.axe()("a redrive that can be called off")
	b.push("dialog", "Undo")
	b.until("it is called off", `!document.querySelector("dialog") && document.querySelector(".toasts").textContent.includes("nothing was redriven")`)
	if n := w.dead(); n != 10 {
		t.Errorf("called off, and there are %d of ten dead letters", n)
	}

	b.js(`window.bars = []; new MutationObserver((all) => { for (const m of all) for (const n of m.addedNodes) if (n.tagName === "PROGRESS") window.bars.push(n.value + " of " + n.max); }).observe(document.body, { childList: true, subtree: true })`)
	undo(0)
	b.click("#redrive")
	b.until("it counts again", `document.querySelector("#do-it")?.textContent === "Redrive 6"`)
	b.write("[aria-label='Records a second']", "20")
	b.click("#do-it")
	b.until("all six are back", `document.querySelector("dialog .good")?.textContent.includes("6 letters back in the queue")`)
	if got := b.js(`window.bars.join()`).(string); got != "0 of 6,2 of 6,4 of 6,6 of 6,6 of 6" && got != "0 of 6,2 of 6,4 of 6,6 of 6,6 of 6,6 of 6" {
		t.Errorf("the bar went %s", got)
	}
	b.click("#done")
	b.until("none is left of them", `document.querySelector("section .teach.none")?.textContent.includes("No dead letter matches")`)
	b.click("section[aria-label='Dead letters'] .clear")
	b.until("the others", `document.querySelector(".group .count")?.textContent === "4"`)

	for i := range 3 {
		b.until("the letters", `(document.querySelector(".group").open = true) && document.querySelectorAll(".letters tbody tr").length === 4`)
		b.js(fmt.Sprintf(`document.querySelectorAll(".letters tbody input")[%d].click()`, i))
		b.until("it is marked", fmt.Sprintf(`document.querySelector("#redrive").textContent === "Redrive %d marked"`, i+1))
	}
	b.click("#redrive")
	b.until("the three", `document.querySelector("#do-it")?.textContent === "Redrive 3"`)
	b.write("[aria-label='Records a second']", "0.01")
	b.click("#do-it")
	b.until("the first", `document.querySelector("dialog").textContent.includes("1 of 3") && document.querySelector("dialog progress").value === 1`)
	b.shoot("redrive-progress-light")
	b.axe()("a redrive under way")
	b.push("dialog", "Stop")
	b.until("it stops", `document.querySelector("dialog").textContent.includes("Stopped. What was not done stays dead.")`)
	b.click("#done")
	b.until("three are left", `document.querySelector(".group .count")?.textContent === "3" && document.querySelector("#redrive").textContent === "Redrive all"`)
	if n := w.dead(); n != 3 {
		t.Errorf("stopped, and there are %d dead letters, not three", n)
	}

	b.choose("section[aria-label='Dead letters'] select", "strict")
	b.until("those of one destination", `location.hash.includes("destination=strict") && document.querySelector("#redrive")?.textContent === "Redrive all of strict"`)
	b.click("#redrive")
	b.until("all of them", `document.querySelector("#do-it")?.textContent === "Redrive 3"`)
	b.click("#do-it")
	b.until("they are back", `document.querySelector("dialog .good")?.textContent.includes("3 letters back in the queue")`)
	b.click("#done")
	b.until("none is left", `document.querySelector("section .teach.good")?.textContent.includes("No dead letters")`)
	b.eventually("all to be delivered", func() bool {
		return strings.Count(w.fetch(w.console+"api/v1/ledger"), `"captured":20,"delivered":20`) == 2
	})
	b.quiet()
}

// TestDownload: what the export buttons bring is a file with the calls that the filter takes.
func TestDownload(t *testing.T) {
	dir := t.TempDir()
	w, b := newWorld(t, ""), newBrowser(t)
	w.send("GET /users/1", "GET /fail/1", "GET /fail/2")
	b.call("", "Browser.setDownloadBehavior", map[string]any{"behavior": "allow", "downloadPath": dir})
	b.look("light", 1360, 860)
	b.open(w.console + "#/traffic?filter=status%20%3E%3D%20500")
	b.until("two calls", rows+`.length === 2`)
	for format, want := range map[string]string{"NDJSON": `"endpoint":"/fail/2"`, "HAR": `"status": 500`} {
		b.js(fmt.Sprintf(`[...document.querySelectorAll(".actions a")].find((a) => a.textContent === %q).click()`, format))
		var text string
		b.eventually("the file", func() bool {
			names, err := filepath.Glob(filepath.Join(dir, "*."+strings.ToLower(format)))
			if err != nil || len(names) != 1 {
				return false
			}
			got, err := os.ReadFile(names[0])
			text = string(got)
			return err == nil && text != ""
		})
		if !strings.Contains(strings.ReplaceAll(text, `"status":500`, `"status": 500`), want) || strings.Contains(text, "/users/1") {
			t.Errorf("%s: %.500s", format, text)
		}
	}
	b.quiet()
}

// TestWays: what is shown in one view leads to the next: a fact to a filter, a call to its link, two calls to each other,
// a route, a failure and a dead letter to their calls.
func TestWays(t *testing.T) {
	w, b := newWorld(t, ""), newBrowser(t)
	w.send("GET /users/1", "GET /fail/1", "GET /users/2")
	b.eventually("a dead letter", func() bool { return w.dead() == 1 })
	b.look("light", 1360, 860)
	b.open(w.console)
	b.until("three calls", rows+`.length === 3`)
	b.js(`navigator.clipboard.writeText = async (t) => { window.copied = t; }`)
	b.find("/users/1")
	b.click("[aria-label='Copy a link to this call']")
	b.until("its address", `window.copied === location.href && location.hash.startsWith("#/exchange/")`)
	b.js(`document.querySelector(".side > details:last-of-type").open = true`)
	b.push(".side .facts", "GET /users/{id}")
	b.until("those of its route, and the call still open", rows+`.length === 2 && document.querySelector("#filter").value === 'route == "GET /users/{id}"' && document.querySelector(".side h2").textContent.includes("/users/1")`)
	b.key("Escape")
	b.until("the list alone", `document.querySelector(".side").hidden && `+rows+`.length === 2`)
	for _, index := range []string{"0", "1"} {
		b.js(`document.querySelector('.vrow[data-index="` + index + `"] .mark').click()`)
	}
	b.click("#compare")
	b.until("both", `document.querySelectorAll(".duo a").length === 2`)
	order := b.js(`[...document.querySelectorAll(".duo a")].map((a) => a.hash).join()`).(string)
	b.push(".pagehead", "Swap")
	one, two, _ := strings.Cut(order, ",")
	b.until("the other way round", fmt.Sprintf(`[...document.querySelectorAll(".duo a")].map((a) => a.hash).join() === %q`, two+","+one))
	b.click(".duo a")
	b.until("one of them", fmt.Sprintf(`location.hash === %q && document.querySelector(".side h2")`, two))

	b.open(w.console + "#/routes")
	b.until("the routes", `document.querySelectorAll("td.n .meter").length === 2`)
	b.js(`[...document.querySelectorAll("tbody th a")].find((a) => a.textContent.includes("/{proxy+}")).click()`)
	b.until("its calls", rows+`.length === 1 && location.hash.startsWith("#/traffic?filter=route")`)
	b.open(w.console + "#/overview")
	b.until("a failure", `document.querySelector("a.tile.bad b")?.textContent === "33.3 %"`)
	b.js(`document.querySelector("a.tile.bad").click()`)
	b.until("the failed call", rows+`.length === 1 && document.querySelector("#filter").value.startsWith("status == 5xx && time >=")`)
	b.open(w.console + "#/delivery")
	b.until("a dead letter, at its destination too", `document.querySelector(".dest .bad a")`)
	b.js(`document.querySelector(".dest .bad a").click()`)
	b.until("those of the destination", `location.hash === "#/delivery/dead?destination=strict" && document.querySelector("section select").value === "strict"`)
	b.until("the letter", `(document.querySelector(".group").open = true) && document.querySelector(".letters tbody a")`)
	b.js(`document.querySelector(".letters tbody a").click()`)
	b.until("its call", `document.querySelector(".side h2")?.textContent.includes("/fail/1") && document.querySelector(".side .state.dead")`)
	b.quiet()
}

// TestCircuit: a destination that fails is said to be left alone, for how long, why, and when it is tried again; one that is
// paused says that.
func TestCircuit(t *testing.T) {
	w, b := newWorld(t, ""), newBrowser(t)
	for i := range 12 {
		w.send(fmt.Sprintf("GET /fail/%d", i))
	}
	b.look("light", 1360, 860)
	b.open(w.console + "#/delivery")
	card := `document.querySelector("#pause-strict").closest(".dest")`
	b.until("the circuit to be open", card+`.querySelector(".state.open")?.textContent === "circuit open" && /^Left alone for \d+ s · next probe /.test(`+card+`.querySelector(".reason").textContent) && /422 .*failures in a row/.test(`+card+`.querySelector(".lasterror").textContent)`)
	b.shoot("circuit-light")
	b.axe()("a circuit that is open")
	b.click("#pause-siem")
	b.click("#do-pause")
	b.until("paused", `/Paused for \d+ s/.test(document.querySelector("#pause-siem").closest(".dest").querySelector(".reason").textContent)`)
	b.quiet()
}
