package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"
	"time"
)

// at gives the middle of what a selector finds, as a part of its width.
func (b *browser) at(selector string, part float64) (x, y float64) {
	b.t.Helper()
	got := b.js(fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.scrollIntoView({block: "center"}); const r = e.getBoundingClientRect(); return [r.x + r.width * %v, r.y + r.height / 2]; })()`, selector, part)).([]any)
	return got[0].(float64), got[1].(float64)
}

// drag moves the mouse, pressed, over a part of what a selector finds.
func (b *browser) drag(selector string, from, to float64) {
	b.t.Helper()
	x, y := b.at(selector, from)
	end, _ := b.at(selector, to)
	mouse := func(kind string, x float64) {
		b.do("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1})
	}
	mouse("mousePressed", x)
	for i := range 6 {
		mouse("mouseMoved", x+(end-x)*float64(i+1)/6)
	}
	mouse("mouseReleased", end)
}

// press presses a key that has a name, with Shift where modifiers is 8.
func (b *browser) press(key string, modifiers int) {
	b.t.Helper()
	b.do("Input.dispatchKeyEvent", map[string]any{"type": "keyDown", "key": key, "code": key, "modifiers": modifiers})
	b.do("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "code": key, "modifiers": modifiers})
}

// TestOverview: charts show what is pointed at, a span selected is a filter of the traffic, by
// mouse and by keyboard; behind every chart is a table; other times can be shown.
func TestOverview(t *testing.T) {
	w, _ := newBusyWorld(t)
	b := newBrowser(t)
	b.look("light", 1360, 860)
	b.open(w.console + "#/overview?range=24h")
	b.until("a day", ready["overview"]+` && document.querySelector(".segments [aria-current]").textContent === "24 h"`)
	b.shoot("overview-day-light")
	b.open(w.console + "#/overview?range=1h")
	b.until("an hour", ready["overview"]+` && document.querySelector(".segments [aria-current]").textContent === "1 h"`)
	x, y := b.at(".plotbox", .5)
	b.do("Input.dispatchMouseEvent", map[string]any{"type": "mouseMoved", "x": x, "y": y})
	b.until("what is pointed at", `document.querySelector(".tip:not([hidden])")?.innerText.includes("answered")`)
	b.until("the same step in all charts", `document.querySelectorAll(".cursor[visibility=visible]").length === 3`)
	b.drag(".plotbox", .6, .8)
	b.until("a selection", `document.querySelector(".picked:not([hidden])")?.innerText.includes("5xx")`)
	b.shoot("overview-selected-light")
	check := b.axe()
	check("a selection")
	b.click("#show-calls")
	b.until("the traffic of that time", `location.hash.startsWith("#/traffic?filter=") && /^time >= "[^"]+Z" && time < "[^"]+Z"$/.test(document.querySelector("#filter").value)`)
	b.until("none is recorded of that time", `document.querySelector(".over .teach")?.innerText.includes("No call matches")`)

	b.open(w.console + "#/overview")
	b.until("a quarter of an hour", ready["overview"])
	b.js(`document.querySelector(".plotbox").focus()`)
	b.press("End", 0)
	b.press("ArrowLeft", 8)
	b.press("ArrowLeft", 8)
	b.press("ArrowLeft", 8)
	b.press("ArrowLeft", 8)
	b.until("what is pointed at is read out", `/^\d\d:\d\d:\d\d: answered \d/.test(document.activeElement.getAttribute("aria-valuetext"))`)
	b.until("five steps are selected", `(() => { const [a, b] = document.querySelector(".picked b").textContent.split(" – ").map((t) => t.split(":").reduce((s, n) => 60 * s + Number(n), 0)); return (b - a + 86400) % 86400 === 50; })()`)
	b.press("Enter", 0)
	b.until("the calls of that time", rows+`.length > 10 && location.hash.startsWith("#/traffic?filter=time")`)

	b.open(w.console + "#/overview")
	b.until("the charts again", ready["overview"])
	b.click(".behind summary")
	b.until("a table", `document.querySelectorAll(".behind table tbody tr").length >= 90 && document.querySelector(".behind table tbody").innerText.match(/\d\d:\d\d:\d\d\s+\d+/)`)
	check("a table behind a chart")
	w.send("GET /fail/9")
	before := b.js(`document.querySelectorAll(".tile")[2].innerText`).(string)
	w.send("GET /fail/9", "GET /fail/9")
	b.until("what came since", fmt.Sprintf(`document.querySelectorAll(".tile")[2].innerText !== %q`, before))
	b.quiet()
}

// TestKeysView: keys show what is used of their quotas, and neither a key nor its hash.
func TestKeysView(t *testing.T) {
	w, _ := newBusyWorld(t)
	b := newBrowser(t)
	b.look("dark", 1360, 860)
	b.open(w.console + "#/keys")
	b.until("four keys", ready["keys"])
	b.until("used up, by its bar", `(() => { const r = [...document.querySelectorAll(".keytable tbody tr")].find((r) => r.textContent.includes("batch")); const m = r?.querySelector("[role=meter].bad"); return m?.getAttribute("aria-valuetext") === "3 of 3" && r.textContent.includes("used up"); })()`)
	b.until("nearly used up", `(() => { const r = [...document.querySelectorAll(".keytable tbody tr")].find((r) => r.textContent.includes("partner")); return r?.querySelector("[role=meter].warn") && /33 of 40 a month/.test(r.textContent) && / ago|just now/.test(r.textContent); })()`)
	b.until("revoked, at the end", `document.querySelector(".keytable tbody tr:last-child.gone")?.textContent.includes("old-app")`)
	b.until("the plans", `document.querySelectorAll(".plan").length === 2 && document.querySelector(".plan").textContent.includes("50 a second")`)
	if text := b.js(`fetch("/api/v1/keys").then((r) => r.text())`).(string); strings.Contains(text, partnerKey) || strings.Contains(text, "sha256") || !strings.Contains(text, "partner") {
		t.Errorf("told of the keys: %s", text)
	}
	w.sendAs(partnerKey, "/secure/again")
	b.until("one more", `document.querySelector(".keytable").textContent.includes("34 of 40")`)
	b.quiet()
}

// TestAlarms: what fires is told in the navigation, can be acknowledged and silenced, and those
// who are told can be tried.
func TestAlarms(t *testing.T) {
	w, desk := newBusyWorld(t)
	b := newBrowser(t)
	b.look("light", 1360, 860)
	b.open(w.console)
	b.until("a badge", `document.querySelector("nav .badge.critical:not([hidden])")?.textContent === "1 firing"`)
	b.key("g")
	b.key("a")
	b.until("the alarms", ready["alarms"])
	b.until("what it is about", `(() => { const t = document.querySelector(".alarm.firing").innerText; return ["Dead letters", "strict", "12 records", "threshold 0", "422 Unprocessable Entity", "tapway dlq list --destination strict"].every((s) => t.includes(s)) && document.querySelectorAll(".alarm.firing a[href^='#/exchange/']").length === 3; })()`)
	b.click("#ack-dead_letters-strict")
	b.until("the dialog", `document.querySelector("dialog[open] #ack-note")`)
	b.js(`document.querySelector("#ack-note").focus()`)
	b.typeText("I look after it")
	b.shoot("ack-light")
	b.axe()("the dialog")
	b.click("#do-ack")
	desk.said(b, "POST /api/v1/alarms/ack dead_letters strict I look after it")
	b.until("acknowledged", `document.querySelector(".alarm.firing .said")?.textContent.includes("I look after it") && document.querySelector("nav .badge").hidden`)
	b.click("#silence-all")
	b.js(`document.querySelector("#silence-for").value = "8h"`)
	b.click("#do-silence")
	desk.said(b, "POST /api/v1/alarms/silence 8h")
	b.until("the silence", `document.querySelector(".plainlist")?.textContent.includes("Every alarm")`)
	b.click("#end-s1")
	desk.said(b, "DELETE /api/v1/alarms/silence/s1 ")
	b.until("its end", `!document.querySelector(".plainlist")`)
	b.click("#test-ops")
	desk.said(b, "POST /api/v1/alarms/test ops")
	b.until("it is sent", `document.querySelector(".toasts")?.textContent.includes("to ops is sent")`)
	b.click("#test-chat")
	b.until("it is not sent", `document.querySelector(".toast.error")?.textContent.includes("chat: 503 Service Unavailable")`)
	b.quiet()
}

// TestNoAlarms: a tapway without alarms says so.
func TestNoAlarms(t *testing.T) {
	w := newWorld(t, "")
	desk := newAlarmDesk(w)
	desk.gone = true
	b := newBrowser(t) // last, so that it goes first
	b.look("light", 1360, 860)
	b.open(w.console + "#/alarms")
	b.until("a word about it", `document.querySelector(".teach")?.textContent.includes("This tapway has no alarms") && document.querySelector("nav .badge").hidden`)
	b.open(w.console + "#/keys")
	b.until("how keys are made", `document.querySelector(".teach")?.textContent.includes("tapway keys create")`)
}

// TestColumns: the columns that are chosen stay chosen.
func TestColumns(t *testing.T) {
	w, b := newWorld(t, ""), newBrowser(t)
	w.send("GET /users/1", "POST /users")
	b.look("light", 1360, 860)
	b.open(w.console)
	b.until("two calls", rows+`.length === 2`)
	b.click("#columns")
	for _, name := range []string{"client", "route", "size"} {
		b.click("[data-column=" + name + "]")
	}
	b.shoot("columns-light")
	b.axe()("the columns")
	heads := `[...document.querySelectorAll(".listhead span")].map((s) => s.textContent).join()`
	want := ",Status,Method,Path,Route,Client,Time,Took"
	b.until("other columns", fmt.Sprintf(`%s === %q && %s.every((r) => r.querySelector(".client").textContent === "127.0.0.1") && %s[0]?.querySelector(".route").textContent`, heads, want, rows, rows))
	b.do("Page.reload", nil)
	b.until("the same after loading again", fmt.Sprintf(`%s.length === 2 && %s === %q`, rows, heads, want))
	b.shoot("columns-chosen-light")
	b.find("/users/1")
	b.until("few beside a call", heads+` === ",Status,Method,Path,Took"`)
	b.key("Escape")
	b.until("all again", fmt.Sprintf(`%s === %q`, heads, want))
	b.quiet()
}

// TestAccessTime: where a record tells what the access rules took, the timing shows it.
func TestAccessTime(t *testing.T) {
	w := newWorld(t, "")
	w.send("GET /users/1")
	w.behind(func(mux *http.ServeMux, rest *httputil.ReverseProxy) {
		mux.Handle("/", rest)
		mux.HandleFunc("/api/v1/exchanges/{id}/detail", func(rw http.ResponseWriter, r *http.Request) {
			answer := httptest.NewRecorder()
			rest.ServeHTTP(answer, r)
			var d map[string]any
			if err := json.Unmarshal(answer.Body.Bytes(), &d); err != nil {
				t.Error(err)
			}
			d["duration_ms"], d["overhead_ms"], d["access_ms"], d["connect_ms"], d["first_byte_ms"] = 10, 3, 2, 1, 8
			json.NewEncoder(rw).Encode(d)
		})
	})
	b := newBrowser(t) // last, so that it goes first
	b.look("light", 1360, 860)
	b.open(w.console)
	b.until("a call", rows+`.length === 1`)
	b.find("/users/1")
	b.until("its parts", `[...document.querySelectorAll(".legend li")].map((l) => l.textContent).join() === "access 2.0 ms,tapway 1.0 ms,connecting 1.0 ms,first byte 4.0 ms,receiving 2.0 ms,total 10 ms"`)
	b.shoot("access-time-light")
	b.quiet()
}

// TestPhone: on a phone two calls are marked by touching their boxes, and compared.
func TestPhone(t *testing.T) {
	w, b := newWorld(t, ""), newBrowser(t)
	w.send("GET /users/1", "GET /users/2", "GET /users/3")
	b.look("light", 390, 844)
	b.open(w.console)
	b.until("three calls", rows+`.length === 3`)
	for _, index := range []string{"0", "2"} {
		b.click(`.vrow[data-index="` + index + `"] .mark`)
	}
	b.until("two are marked", `document.querySelectorAll(".vrow.marked").length === 2 && document.querySelector(".side").hidden`)
	b.shoot("marked-phone-light")
	b.click("#compare")
	b.until("both compared", `location.hash.startsWith("#/compare/") && document.querySelectorAll(".diff").length === 5`)
	b.shoot("compare-phone-light")
	b.quiet()
}

// TestFirstView: what a browser fetches until it shows a full list is small. How long it takes is told, for
// whoever measures it on a quiet machine.
func TestFirstView(t *testing.T) {
	w, b := newWorld(t, ""), newBrowser(t)
	for i := range 300 {
		w.send(fmt.Sprintf("GET /users/%d?fields=name,mail,phone", i))
	}
	b.look("light", 1360, 860)
	b.do("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": `new MutationObserver((_, o) => { if (document.querySelector(".vrow:not([hidden]) .status")?.textContent) { o.disconnect(); requestAnimationFrame(() => { window.listed = performance.now(); }); } }).observe(document, { childList: true, subtree: true, characterData: true })`})
	b.open(w.console)
	b.until("the list", rows+`.length > 20 && document.querySelector(".livestate.live") && window.listed`)
	bytes := b.js(`["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind)).reduce((n, e) => n + e.transferSize, 0)`).(float64)
	if bytes < 20<<10 || bytes > 150<<10 {
		t.Errorf("the first view takes %.0f bytes over the wire", bytes)
	}
	t.Logf("%.1f KiB over the wire, %.0f ms until the list is drawn", bytes/1024, b.js(`window.listed`).(float64))
}

// TestBusy: ten thousand calls a minute reach the list, all of them, and the page goes on drawing. How evenly is
// told, for whoever measures it on a quiet machine.
func TestBusy(t *testing.T) {
	const lines, each = 20, 17 // in two seconds
	w := newWorld(t, "")
	w.behind(func(mux *http.ServeMux, rest *httputil.ReverseProxy) {
		mux.Handle("/", rest)
		mux.HandleFunc("/api/v1/live", func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(rw, `{"position":1}`)
			for line := range lines {
				calls := make([]string, each)
				for i := range calls {
					calls[i] = foundRow(2+line*each+i, fmt.Sprintf("/users/%d", line*each+i))
				}
				fmt.Fprintf(rw, `{"position":%d,"calls":[%s]}`+"\n", 1+(line+1)*each, strings.Join(calls, ","))
				http.NewResponseController(rw).Flush()
				select {
				case <-time.After(100 * time.Millisecond): // as the gateway does
				case <-r.Context().Done():
					return
				}
			}
			<-r.Context().Done()
		})
	})
	b := newBrowser(t)
	b.look("light", 1360, 860)
	b.do("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": `window.frames_ = []; requestAnimationFrame(function next(t) { if (document.querySelector(".vrow")) window.frames_.push(t); requestAnimationFrame(next); })`})
	b.open(w.console)
	b.until("the last of them", fmt.Sprintf(rows+`.some((r) => r.getAttribute("aria-setsize") === "%d" && r.querySelector(".p").textContent === "/users/%d")`, lines*each, lines*each-1))
	got := b.js(`(() => { const f = window.frames_, d = f.slice(1).map((t, i) => t - f[i]).sort((a, b) => a - b); return [d.length, d[d.length >> 1], d[Math.floor(.99 * d.length)], d.filter((x) => x > 34).length]; })()`).([]any)
	if got[0].(float64) < 2 {
		t.Errorf("it has drawn %v times", got[0])
	}
	t.Logf("%.0f frames; from one to the next: median %.1f ms, 99 %% within %.1f ms; %.0f longer than two frames", got...)
	b.quiet()
}
