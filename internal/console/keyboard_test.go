package console_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestKeyboard: every view by its keys, two calls marked, compared and exported, a filter kept and taken
// again, all without a mouse.
func TestKeyboard(t *testing.T) {
	w, b := newWorld(t, ""), newBrowser(t)
	w.send("GET /users/1", "GET /users/2", "GET /fail/1", "GET /users/3")
	b.look("light", 1360, 860)
	b.open(w.console)
	b.until("four calls", rows+`.length === 4`)
	for key, view := range map[string]string{"o": "overview", "d": "delivery", "r": "routes", "k": "keys", "a": "alarms", "l": "ledger", "t": "traffic"} {
		b.eventually("the view of g "+key, func() bool { // the second key has to come soon, which a busy machine may fail to do
			b.key("g")
			b.key(key)
			return b.js(`location.hash === "#/`+view+`" && document.querySelector("nav [aria-current]").dataset.view === "`+view+`"`) == true
		})
	}
	b.open(w.console + "#/traffic")
	b.until("the calls again", rows+`.length === 4`)

	// Mark the newest and the failed one.
	for _, key := range []string{"j", "x", "j", "x"} {
		b.key(key)
	}
	b.until("two are marked", `document.querySelectorAll(".vrow.marked").length === 2 && document.querySelector("#compare")`)
	for format, want := range map[string]string{"NDJSON": `"endpoint":"/users/3"`, "HAR": `/fail/1`} {
		link := b.js(fmt.Sprintf(`[...document.querySelectorAll(".actions a")].find((a) => a.textContent === %q).href`, format)).(string)
		text := w.fetch(link)
		if !strings.Contains(text, want) || strings.Contains(text, "/users/1") {
			t.Errorf("%s of the marked calls: %.300s", format, text)
		}
		n := strings.Count(text, "\n")
		if format == "HAR" {
			var har struct {
				Log struct{ Entries []json.RawMessage }
			}
			if err := json.Unmarshal([]byte(text), &har); err != nil {
				t.Error(err)
			}
			n = len(har.Log.Entries)
		}
		if n != 2 {
			t.Errorf("%s: %d calls", format, n)
		}
	}
	b.key("c")
	b.until("both beside each other", `location.hash.startsWith("#/compare/") && document.querySelectorAll(".diff").length === 5`)
	b.key("Escape")
	b.until("back", `location.hash === "#/traffic" && document.querySelector(".vlist")`)

	// Save a filter, and take it again.
	b.key("/")
	b.typeText("status >= 500")
	b.key("Enter")
	b.until("the failed one", rows+`.length === 1`)
	b.js(`document.querySelector("[aria-label='Saved filters']").click()`)
	b.js(`[...document.querySelectorAll("dialog .btn")].find((x) => x.textContent === "Save this filter").click()`)
	b.until("it is kept", `document.querySelector("dialog .saved .pick")?.textContent === "status >= 500"`)
	b.axe()("saved filters")
	b.js(`document.querySelector("dialog").close()`)
	b.click(".filterbox .clear")
	b.until("all", rows+`.length === 4`)
	b.do("Page.reload", nil)
	b.until("all after loading again", rows+`.length === 4`)
	b.js(`document.querySelector("[aria-label='Saved filters']").click()`)
	b.until("it is still there", `document.querySelector("dialog .saved .pick")`)
	b.js(`document.querySelector("dialog .saved .pick").click()`)
	b.until("the failed one by it", rows+`.length === 1 && document.querySelector("#filter").value === "status >= 500" && location.hash.includes("filter=")`)
	b.quiet()
}

// fetch reads an address of the console.
func (w *world) fetch(address string) string {
	w.t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// TestDeepLinks: every view and every exchange can be opened by its address, alone; one that leads to nothing
// says so, and so does a filter that cannot be read.
func TestDeepLinks(t *testing.T) {
	w, b := newWorld(t, ""), newBrowser(t)
	w.send("GET /users/1", "POST /users", "GET /fail/1")
	list := w.fetch(w.console + "api/v1/exchanges?filter=" + url.QueryEscape(`path startsWith "/users"`))
	var ids []string
	for line := range strings.Lines(list) {
		var one struct{ ID string }
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, one.ID)
	}
	if len(ids) != 2 {
		t.Fatalf("two calls, not %q", list)
	}
	b.look("dark", 1360, 860)
	for hash, want := range map[string]string{
		"exchange/" + ids[0]: `document.querySelector(".side h2")?.textContent.includes("/users") && ` + rows + `.length === 3`,
		"exchange/" + ids[0] + "?filter=" + url.QueryEscape("status >= 500"): `document.querySelector(".side h2")?.textContent.includes("/users") && ` + rows + `.length === 1`,
		"exchange/00000000-0000-7000-8000-000000000001":                      `document.querySelector(".side .teach.error")?.textContent.includes("no longer here")`,
		"exchange/nonsense":                                       `document.querySelector(".side .teach.error")`,
		"compare/" + ids[0] + "/" + ids[1]:                        `document.querySelectorAll(".diff").length === 5`,
		"compare/" + ids[0] + "/x":                                `document.querySelector(".teach.error")?.textContent.includes("cannot be compared")`,
		"traffic?filter=" + url.QueryEscape("status >> 1"):        `document.querySelector(".over .teach.error") && document.querySelector("#filter").getAttribute("aria-invalid") === "true" && document.querySelector(".problem").textContent.includes("▸")`,
		"traffic?filter=" + url.QueryEscape(`path == "/nothing"`): `document.querySelector(".over .teach")?.textContent.includes("No call matches")`,
		"delivery/dead?destination=strict":                        `document.querySelector(".group .count")?.textContent === "1" && document.querySelector("section select").value === "strict"`,
		"delivery/dead?destination=siem":                          `document.querySelector("section .teach.good")`,
		"delivery":                                                `document.querySelectorAll(".dest").length === 2 && document.querySelector(".group")`,
		"routes":                                                  `document.querySelectorAll("tbody tr").length === 2 && document.querySelector("td.n .meter")`,
		"keys":                                                    `document.querySelector(".teach")?.textContent.includes("tapway keys create")`,
		"alarms":                                                  `document.querySelector("h1").textContent === "Alarms" && document.querySelector("#main h2")`,
		"ledger":                                                  `document.querySelectorAll(".even").length === 3`,
		"traffic?filter=" + url.QueryEscape("status >= 500"):                 rows + `.length === 1 && document.querySelector("#filter").value === "status >= 500"`,
		"delivery/dead?filter=" + url.QueryEscape(`path == "/fail/1"`):       `document.querySelector(".group .count")?.textContent === "1" && document.querySelector("#dead-filter").value === 'path == "/fail/1"'`,
		"overview?from=2026-01-01T00:00:00.000Z&to=2026-01-01T06:00:00.000Z": `document.querySelector(".segments [aria-current]").textContent === "selection" && document.querySelector(".tile b").textContent === "0"`,
		"overview?range=24h": `document.querySelector(".segments [aria-current]").textContent === "24 h"`,
		"nowhere":            rows + `.length === 3`,
	} {
		b.open("about:blank")
		b.open(w.console + "#/" + hash)
		b.until("#/"+hash, want)
	}
}
