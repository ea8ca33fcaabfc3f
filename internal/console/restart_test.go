package console_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestRestart: charts, dead letters and alarms outlive the process. The alarms are tapway's own: what fires is acknowledged,
// silenced and told in the browser, and is over when the cause is.
func TestRestart(t *testing.T) {
	told := make(chan string, 20)
	chat := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var m struct{ Event string }
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		told <- m.Event
	}))
	t.Cleanup(chat.Close)
	heard := func(b *browser, want string) {
		t.Helper()
		b.eventually("chat to hear of "+want, func() bool {
			select {
			case event := <-told:
				return event == want
			default:
				return false
			}
		})
	}
	data := t.TempDir() + "/data"
	alarms := fmt.Sprintf("alarms: {disk: {off: true}, notify: [{name: chat, webhook: %q}]}\n", chat.URL)
	first := newWorldIn(t, data, "", alarms)
	first.send("GET /users/1", "GET /users/2", "GET /fail/1", "GET /fail/2", "GET /fail/3")
	b := newBrowser(t)
	b.eventually("three dead letters", func() bool { return first.dead() == 3 })
	b.look("light", 1360, 860)
	b.open(first.console + "#/overview")
	tile := `[...document.querySelectorAll(".tiles:not(.behindall) .tile b")].map((e) => e.textContent)`
	b.until("five calls", tile+`[0] === "5" && `+tile+`[2] === "60.0 %"`)
	b.open("about:blank")
	first.stop()

	w := newWorldIn(t, data, "", alarms)
	b.open(w.console + "#/overview")
	b.until("the same five calls", tile+`[0] === "5" && `+tile+`[2] === "60.0 %" && [...document.querySelectorAll(".plot .fill")].some((p) => p.getAttribute("d"))`)
	w.send("GET /users/3")
	b.until("one more", tile+`[0] === "6"`)

	heard(b, "firing")
	b.open("about:blank") // the page asks at once when it is loaded
	b.open(w.console + "#/alarms")
	b.until("the alarm, at its tab too", `(() => { const t = document.querySelector(".alarm.firing").innerText; return ["Dead letters", "strict", "3 records", "422 Unprocessable Entity", "tapway dlq list --destination strict"].every((s) => t.includes(s)) && document.querySelector("nav .badge.critical:not([hidden])")?.textContent === "1 firing"; })()`)
	b.shoot("alarm-own-light")
	b.click("#ack-dead_letters-strict")
	b.write("#ack-note", "I look after it")
	b.click("#do-ack")
	b.until("acknowledged", `document.querySelector(".alarm.firing .said")?.textContent.includes("I look after it") && document.querySelector("nav .badge").hidden`)
	b.click("#silence-dead_letters-strict")
	b.choose("#silence-for", "8h")
	b.write("#silence-note", "the destination is rebuilt")
	b.click("#do-silence")
	b.until("silent", `document.querySelector(".plainlist")?.textContent.includes("Dead letters of strict") && document.querySelector(".plainlist").textContent.includes("the destination is rebuilt") && [...document.querySelectorAll(".alarm.firing .said")].some((e) => e.textContent.includes("Silenced, 8 h more"))`)
	b.push(".plainlist", "End it")
	b.until("it is over", `!document.querySelector(".plainlist")`)
	b.click("#test-chat")
	b.until("it is sent", `document.querySelector(".toasts")?.textContent.includes("to chat is sent")`)
	heard(b, "test")

	link := b.js(`document.querySelector(".alarm.firing a[href^='#/exchange/']").hash`).(string)
	b.open(w.console + link)
	b.until("one of the records", `document.querySelector(".side h2")?.textContent.includes("/fail/") && document.querySelector(".side .state.dead")`)
	w.refuse.Store(false)
	resp, err := http.Post(w.console+"api/v1/deadletters/redrive", "application/json", strings.NewReader(`{"destination":"strict"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, resp.Body) // who goes before the end stops it
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	heard(b, "resolved")
	b.open("about:blank")
	b.open(w.console + "#/alarms")
	b.until("all quiet, and what was", `document.querySelector(".calm")?.textContent.includes("All quiet") && document.querySelector(".timeline li.firing") && document.querySelector(".timeline li.ok")`)
	b.quiet()
	b.open("about:blank") // the process goes before the browser does
}
