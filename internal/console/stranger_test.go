package console_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestStranger: whatever a client or a backend writes into a call, in whichever place, is text in
// every view: nothing of it runs, loads anything or becomes an element.
func TestStranger(t *testing.T) {
	const markup = `<img src=x onerror="window.pwned='%s'"><script>window.pwned='%s'</script><svg onload="window.pwned='%s'">`
	mark := func(where string) string { return strings.ReplaceAll(markup, "%s", where) }
	w := newWorld(t, "")
	w.answer = func(rw http.ResponseWriter, r *http.Request) bool {
		body, kind := mark("body"), r.URL.Query().Get("kind")
		if kind == "image/svg+xml" {
			body = `<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><script>window.pwned='svg'</script><image href="/stolen"/></svg>`
		}
		rw.Header().Set("Content-Type", kind)
		rw.Header().Set("X-Marked", mark("response header"))
		fmt.Fprint(rw, body)
		return kind != ""
	}
	var ids int
	for _, kind := range []string{"text/html", "image/svg+xml", "application/json", "application/xml", "text/plain", "application/javascript"} {
		req, err := http.NewRequest("POST", w.gateway+"/fail/"+url.PathEscape(mark("path"))+"?kind="+url.QueryEscape(kind)+"&q="+url.QueryEscape(mark("query")), strings.NewReader(mark("request")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("User-Agent", mark("header"))
		req.Header.Set("Content-Type", kind)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		ids++
	}
	b := newBrowser(t)
	b.look("light", 1360, 860)
	b.open(w.console)
	b.until("the calls", fmt.Sprintf(rows+`.length === %d`, ids))
	for i := range ids {
		b.js(fmt.Sprintf(`%s.find((r) => r.dataset.index === "%d").click()`, rows, i))
		b.until("both bodies", fmt.Sprintf(`location.hash.startsWith("#/exchange/") && document.querySelector('.vrow.open')?.dataset.index === "%d" && document.querySelectorAll(".side .body .content > *").length === 2`, i))
		for _, form := range []string{"Text", "Hex"} {
			b.js(fmt.Sprintf(`[...document.querySelectorAll(".side .form")].filter((f) => f.textContent === %q).forEach((f) => f.click())`, form))
		}
	}
	b.shoot("stranger-light")
	b.js(rows + `.slice(0, 2).forEach((r) => r.querySelector(".mark").click())`)
	b.click("#compare")
	b.until("two compared", `document.querySelectorAll(".diff").length === 5`)
	b.shoot("stranger-compare-light")
	b.open(w.console + "#/delivery/dead")
	b.until("the dead letters", `document.querySelector(".group")`)
	b.until("some of them", `(document.querySelector(".group").open = true) && document.querySelectorAll(".letters tbody tr").length > 1`)
	b.shoot("stranger-dead-light")
	if got := b.js(`[window.pwned, document.querySelectorAll("#app script, #app [onerror], #app [onload], #app iframe, #app object").length]`).([]any); got[0] != nil || got[1] != 0.0 {
		t.Errorf("what was captured is not text: %v", got)
	}
	b.quiet()

	// By its own address a body is neither shown nor run.
	b.open(w.console + "#/traffic")
	b.until("the calls again", rows+`.length > 0`)
	got := b.js(`(async () => {
		const list = (await (await fetch("/api/v1/exchanges?filter=" + encodeURIComponent('query contains "html"'))).text()).trim().split("\n").map(JSON.parse);
		const r = await fetch("/api/v1/exchanges/" + list[0].id + "/body/response");
		return [r.headers.get("Content-Type"), r.headers.get("Content-Disposition"), r.headers.get("X-Content-Type-Options"), r.headers.get("Content-Security-Policy")].join(" | ");
	})()`).(string)
	if !strings.HasPrefix(got, "application/octet-stream | attachment") || !strings.Contains(got, "nosniff") || !strings.Contains(got, "sandbox") {
		t.Errorf("a body's own address answers with %s", got)
	}
}

// TestOtherOrigin: a page of another origin can neither frame the console nor change anything through a
// browser that is logged in.
func TestOtherOrigin(t *testing.T) {
	w := newWorld(t, "")
	evil := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(rw, `<!doctype html><iframe src="%s#/delivery"></iframe>`, w.console)
	}))
	t.Cleanup(evil.Close)
	b := newBrowser(t)
	b.open(evil.URL)
	b.eventually("the frame to be refused", func() bool {
		return strings.Contains(strings.Join(b.messages(), "\n"), "frame-ancestors")
	})
	for _, how := range []string{`{ method: "POST", mode: "no-cors", credentials: "include", body: "{}" }`, `{ method: "POST", credentials: "include", headers: { "Content-Type": "application/json" }, body: "{}" }`} {
		b.js(`fetch("` + w.console + `api/v1/destinations/siem/pause", ` + how + `).catch(() => 0).then(() => 1)`)
	}
	if state := w.fetch(w.console + "api/v1/queue"); strings.Contains(state, `"state":"paused"`) || !strings.Contains(state, `"siem"`) {
		t.Errorf("another origin has paused a destination: %s", state)
	}
	if got := b.js(`fetch("` + w.console + `api/v1/exchanges").then((r) => r.text(), () => "unread")`); got != "unread" {
		t.Errorf("another origin reads %v", got)
	}
}
