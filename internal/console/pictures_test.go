package console_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// images is where the documents have their pictures.
const images = "../../docs/images"

var pictures = flag.Bool("pictures", false, "draw the pictures of the documents anew; see make pictures")

// documented are the pictures that other tests draw on their way, by their names there.
var documented = map[string]string{
	"aws-delivery-desk-light": "console-aws-delivery.png",
	"aws-overview-desk-dark":  "console-aws-overview.png",
	"aws-delivery-phone-dark": "console-aws-phone.png",
}

// TestPictures: every picture that the documents show is there and small, and there is no other one. With -pictures it
// draws them first.
func TestPictures(t *testing.T) {
	if *pictures {
		draw(t)
	}
	shown := map[string]bool{}
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(documents, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\((?:docs/)?images/([^)]+)\)`).FindAllSubmatch(text, -1) {
			shown[string(m[1])] = true
		}
	}
	there, err := os.ReadDir(images)
	if err != nil || len(shown) == 0 {
		t.Fatalf("%d pictures are shown, error %v", len(shown), err)
	}
	for _, e := range there {
		info, err := e.Info()
		if err != nil || !shown[e.Name()] || info.Size() > 250<<10 {
			t.Errorf("%s: shown %v, %d bytes, error %v", e.Name(), shown[e.Name()], info.Size(), err)
		}
		delete(shown, e.Name())
	}
	for name := range shown {
		t.Errorf("%s is shown and not there", name)
	}
}

// draw draws a console that has seen a day, of a shop's API.
func draw(t *testing.T) {
	chat := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(chat.Close)
	data := busyData(t)
	yaml := gate + fmt.Sprintf("alarms: {notify: [{name: chat, webhook: %q, format: slack}, {name: on-call, webhook: %q, severity: critical}]}\n", chat.URL, chat.URL)
	first := newWorldIn(t, data, "", yaml)
	b := newBrowser(t)
	for i := range 12 {
		first.send(fmt.Sprintf("GET /fail/report/%d", i), "GET /users/1")
	}
	b.eventually("twelve dead letters", func() bool { return first.dead() == 12 })
	first.stop()
	w := newWorldIn(t, data, "", yaml) // whose alarms find at once what is there
	w.answer = shop
	w.useKeys()
	for i := range 24 {
		w.send(fmt.Sprintf("GET /users/%d", i+1), "GET /api/v1/orders?page=2", "POST /api/v1/orders", fmt.Sprintf("PUT /api/v1/orders/%d", 573+i), "GET /api/v1/catalog/tea", "DELETE /api/v1/orders/999",
			fmt.Sprintf("GET /users/%d?fields=name&token=sekret", i+1))
		if i%9 == 4 {
			w.send("GET /api/v1/reports/slow", fmt.Sprintf("GET /fail/report/%d", 20+i))
		}
	}
	show := func(name, theme string, width, height int, hash, what, want string) {
		t.Helper()
		b.look(theme, width, height)
		b.open(w.console + "#/" + hash)
		b.until(what, want)
		b.until("the alarm at its tab", `document.querySelector("nav .badge:not([hidden])")`)
		b.picture(filepath.Join(images, "console-"+name+".png"))
	}
	show("traffic", "dark", 1360, 860, "traffic", "calls", rows+`.length > 20 && document.querySelector(".livestate.live")`)
	b.look("light", 1360, 860)
	b.js(rows + `.find((r) => r.querySelector(".method").textContent === "POST").click()`)
	b.until("a call", `document.querySelectorAll(".side .code").length === 2 && document.querySelectorAll(".side .state.delivered").length === 2`)
	b.picture(filepath.Join(images, "console-call.png"))
	b.open(w.console + "#/traffic?filter=" + `path%20startsWith%20%22%2Fusers%22`)
	b.until("some calls", rows+`.length > 3`)
	for _, index := range []string{"0", "3"} {
		b.click(`.vrow[data-index="` + index + `"] .mark`)
	}
	b.click("#compare")
	b.until("two of them", `document.querySelectorAll(".diff").length === 5`)
	b.picture(filepath.Join(images, "console-compare.png"))
	show("delivery", "light", 1360, 860, "delivery", "dead letters", `document.querySelectorAll(".dest").length === 2 && (document.querySelector(".group").open = true) && document.querySelectorAll(".letters tbody tr").length > 3 && document.querySelector(".spark b").textContent !== "–"`)
	show("routes", "light", 1360, 860, "routes", "their calls", ready["routes"])
	show("keys", "light", 1360, 860, "keys", "the keys", ready["keys"])
	show("alarms", "light", 1360, 860, "alarms", "the alarms", `document.querySelector(".alarm.firing") && document.querySelectorAll(".notifier").length === 2`)
	show("ledger", "light", 1360, 860, "ledger", "the accounts", ready["ledger"])
	show("overview-dark", "dark", 1360, 860, "overview?range=6h", "six hours", ready["overview"]+` && document.querySelector(".segments [aria-current]").textContent === "6 h"`)
	show("phone", "dark", 390, 844, "overview", "a quarter of an hour", ready["overview"]+` && document.querySelector(".segments [aria-current]").textContent === "15 min"`)
	b.look("light", 1360, 860)
	b.open(w.console + "#/overview?range=1h")
	b.until("an hour", ready["overview"]+` && document.querySelector(".segments [aria-current]").textContent === "1 h"`)
	b.drag(".plotbox", .45, .6)
	b.until("a selection", `document.querySelector(".picked:not([hidden])")`)
	b.picture(filepath.Join(images, "console-overview.png"))
	b.quiet()
	b.open("about:blank") // the process goes before the browser does
}

// shop answers for the shop; /fail is left to the world.
func shop(rw http.ResponseWriter, r *http.Request) bool {
	if strings.HasPrefix(r.URL.Path, "/fail") {
		return false
	}
	took, status, body := 4*time.Millisecond, http.StatusOK, `{"id":573,"item":"tea","quantity":2,"state":"paid"}`
	switch {
	case strings.HasPrefix(r.URL.Path, "/users/"):
		took, body = 2*time.Millisecond, fmt.Sprintf(`{"id":%s,"name":"Trinity","mail":"trinity@example.com"}`, strings.TrimPrefix(r.URL.Path, "/users/"))
	case strings.HasSuffix(r.URL.Path, "/slow"):
		took, body = 1100*time.Millisecond, `{"rows":120000}`
	case r.Method == "POST":
		took, status = 12*time.Millisecond, http.StatusCreated
	case r.Method == "DELETE":
		took, status, body = time.Millisecond, http.StatusNotFound, `{"message":"no such order"}`
	}
	time.Sleep(took)
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	io.WriteString(rw, body)
	return true
}
