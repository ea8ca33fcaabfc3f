package console_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/series"
)

const (
	partnerKey = "partner-0123456789abcdefghij"
	batchKey   = "batch-0123456789abcdefghijkl"
	gate       = `access:
  api_key: off
  usage_plans: [{name: gold, rate: 50, burst: 100, quota: {limit: 40, period: MONTH}}, {name: trial, rate: 5, quota: {limit: 3, period: DAY}, routes: [{match: "GET /users/{id}", rate: 2}]}]
  api_keys: [{name: partner, value: ` + partnerKey + `, plan: gold}, {name: batch, value: ` + batchKey + `, plan: trial}]
  routes: [{match: "GET /secure/{proxy+}", api_key: required}]
`
)

// newBusyWorld is a world with a day behind it, keys that were used, dead letters and alarms.
func newBusyWorld(t *testing.T) (*world, *alarmDesk) {
	t.Helper()
	w := newWorldIn(t, busyData(t), "", gate)
	for i := range 12 {
		w.send(fmt.Sprintf("GET /users/%d", i), fmt.Sprintf("GET /fail/%d", i%3), "POST /users", "GET /attack")
	}
	w.useKeys()
	desk := newAlarmDesk(w)
	return w, desk
}

// useKeys uses one key nearly up, and the other.
func (w *world) useKeys() {
	w.t.Helper()
	for range 33 {
		w.sendAs(partnerKey, "/secure/report")
	}
	for range 4 {
		w.sendAs(batchKey, "/secure/batch")
	}
}

// busyData is a data directory with the charts of a day and two keys, one of them revoked.
func busyData(t *testing.T) string {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	writeDay(t, filepath.Join(data, "series"))
	for i, name := range []string{"mobile", "old-app"} {
		if _, _, err := access.CreateKey(app.KeysFile(data), name, "gold", "", time.Now().AddDate(0, -2+i, -3)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := access.RevokeKey(app.KeysFile(data), "old-app", time.Now()); err != nil {
		t.Fatal(err)
	}
	return data
}

func (w *world) sendAs(key, path string) {
	w.t.Helper()
	req, err := http.NewRequest("GET", w.gateway+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
}

// writeDay fills the charts' file with the calls of a day, as an earlier process would have.
func writeDay(t *testing.T, file string) {
	t.Helper()
	s, err := series.Open(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for ago := 24 * time.Hour; ago > 20*time.Second; {
		step := time.Minute
		if ago <= 2*time.Hour {
			step = 10 * time.Second
		}
		at := now.Add(-ago)
		sec := float64(at.Unix())
		wave := 1 + .5*math.Sin(sec/180) + .35*math.Sin(sec/41) + .12*math.Sin(sec*7)
		n := max(1, int(70*wave)*int(step/(10*time.Second)))
		bad := math.Mod(sec, 5400) < 240 // now and then the backend has a bad moment
		for i := range n {
			took := time.Duration(float64(8+(i%100)*(i%100)/60)*(1.2+.6*math.Sin(sec/97)+.2*math.Sin(sec*3))) * time.Millisecond
			status := 200
			switch {
			case bad && i%3 == 0:
				status, took = 503, took*6
			case i%9 == 8:
				status = 404
			}
			s.Add(series.Call{Status: status, Took: took, In: int64(i * 100), Out: int64(1500 + 300*i)})
		}
		if err := s.Flush(at); err != nil {
			t.Fatal(err)
		}
		ago -= step
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// alarmDesk answers for the alarms, as the admin API does where there are any, and passes
// everything else on to the real one.
type alarmDesk struct {
	mu    sync.Mutex
	state map[string]any
	asked []string // "METHOD path what was said"
	gone  bool     // there are no alarms
}

func newAlarmDesk(w *world) *alarmDesk {
	id := strings.Repeat("0", 8) + "-0000-7000-8000-00000000000"
	ago := func(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339) }
	desk := &alarmDesk{state: map[string]any{
		"alarms": []map[string]any{
			{"name": "disk", "destination": "", "severity": "warning", "state": "ok", "since": ago(26 * time.Hour), "value": 52 << 30, "threshold": 1 << 30, "unit": "bytes", "message": "52 GiB are free in the data directory (alarm: less than 1 GiB)", "command": "tapway doctor"},
			{"name": "dead_letters", "destination": "strict", "severity": "critical", "state": "firing", "since": ago(7 * time.Minute), "value": 12, "threshold": 0, "unit": "records",
				"message": "12 records of strict are dead letters, more than 0", "last_error": "422 Unprocessable Entity", "records": []string{id + "1", id + "2", id + "3"}, "command": "tapway dlq list --destination strict"},
			{"name": "error_rate", "destination": "", "severity": "warning", "state": "pending", "since": ago(40 * time.Second), "value": .071, "threshold": .05, "unit": "ratio", "message": "7.1 % of the calls that went to the backend in the last 5m failed, more than 5 %", "command": `tapway search "status >= 500" --since 10m`},
			{"name": "oldest_age", "destination": "siem", "severity": "warning", "state": "ok", "since": ago(3 * time.Hour), "value": 2, "threshold": 300, "unit": "seconds", "message": ""},
			{"name": "oldest_age", "destination": "strict", "severity": "warning", "state": "ok", "since": ago(3 * time.Hour), "value": 0, "threshold": 300, "unit": "seconds", "message": ""},
		},
		"history": []map[string]any{
			{"at": ago(40 * time.Second), "name": "error_rate", "destination": "", "from": "ok", "to": "pending", "value": .071, "message": "7.1 % of the calls that went to the backend in the last 5m failed, more than 5 %"},
			{"at": ago(7 * time.Minute), "name": "dead_letters", "destination": "strict", "from": "ok", "to": "firing", "value": 12, "message": "12 records of strict are dead letters, more than 0"},
			{"at": ago(3 * time.Hour), "name": "oldest_age", "destination": "siem", "from": "firing", "to": "ok", "value": 2, "message": "the oldest record for siem has waited for 2s (alarm: more than 5m)"},
		},
		"notify": []map[string]any{
			{"name": "ops", "kind": "email", "format": "", "last_sent": ago(7 * time.Minute), "last_error": "", "failures": 0},
			{"name": "chat", "kind": "webhook", "format": "slack", "last_sent": ago(3 * time.Hour), "last_error": "503 Service Unavailable", "failures": 3},
		},
		"silences": []map[string]any{},
	}}
	w.behind(func(mux *http.ServeMux, rest *httputil.ReverseProxy) {
		mux.Handle("/", rest)
		mux.HandleFunc("/api/v1/alarms", desk.serve)
		mux.HandleFunc("/api/v1/alarms/", desk.serve)
	})
	return desk
}

// behind puts a server before the console that answers some questions itself.
func (w *world) behind(routes func(mux *http.ServeMux, rest *httputil.ReverseProxy)) {
	w.t.Helper()
	to, err := url.Parse(w.console)
	if err != nil {
		w.t.Fatal(err)
	}
	mux := http.NewServeMux()
	routes(mux, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }, FlushInterval: -1, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)})
	front := httptest.NewServer(mux)
	w.t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	w.console = front.URL + "/"
}

func (d *alarmDesk) serve(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		http.NotFound(w, r)
		return
	}
	var body struct{ Name, Destination, Note, For, Notify string }
	json.NewDecoder(r.Body).Decode(&body)
	if r.Method != http.MethodGet {
		d.asked = append(d.asked, fmt.Sprintf("%s %s %s", r.Method, r.URL.Path, strings.Join(slices.DeleteFunc([]string{body.Name, body.Destination, body.For, body.Note, body.Notify}, func(s string) bool { return s == "" }), " ")))
	}
	now := time.Now().UTC()
	var answer any
	switch action := strings.TrimPrefix(r.URL.Path, "/api/v1/alarms"); {
	case action == "":
		answer = d.state
	case action == "/ack":
		for _, a := range d.state["alarms"].([]map[string]any) {
			if a["name"] == body.Name && a["destination"] == body.Destination {
				a["acknowledged"] = map[string]any{"at": now.Format(time.RFC3339), "note": body.Note}
				answer = a
			}
		}
	case action == "/silence":
		wait, _ := time.ParseDuration(body.For)
		one := map[string]any{"id": "s1", "name": body.Name, "destination": body.Destination, "until": now.Add(wait).Format(time.RFC3339), "note": body.Note}
		d.state["silences"] = []map[string]any{one}
		answer = one
	case strings.HasPrefix(action, "/silence/"):
		d.state["silences"] = []map[string]any{}
		answer = map[string]any{}
	case action == "/test":
		refused := ""
		if body.Notify == "chat" {
			refused = "503 Service Unavailable"
		}
		answer = []map[string]any{{"name": body.Notify, "error": refused}}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer)
}

// said waits for what was asked of the desk last.
func (d *alarmDesk) said(b *browser, want string) {
	b.t.Helper()
	b.eventually("the alarms to be told "+want, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.asked) > 0 && d.asked[len(d.asked)-1] == want
	})
}

var ready = map[string]string{
	"traffic": rows + `.length > 5`, "overview": `!document.querySelector("[aria-busy]") && document.querySelectorAll(".plot .fill, .plot .line").length >= 8 && document.querySelectorAll(".behindall .tile").length === 3`, "delivery": `document.querySelector(".dest") && document.querySelector(".group")`,
	"routes": `document.querySelector("td.n .meter")`, "keys": `document.querySelectorAll(".keytable tbody tr").length === 4`, "alarms": `document.querySelector(".alarm.firing") && document.querySelector(".timeline")`, "ledger": `document.querySelectorAll(".even").length === 3`,
}

// TestViews opens every view in both themes, on a desk and on a phone; nothing sticks out, and
// an accessibility engine finds nothing.
func TestViews(t *testing.T) {
	w, _ := newBusyWorld(t)
	b := newBrowser(t)
	check := b.axe()
	for _, size := range []struct {
		name          string
		width, height int
	}{{"desk", 1360, 860}, {"phone", 390, 844}} {
		for _, theme := range []string{"light", "dark"} {
			b.look(theme, size.width, size.height)
			view := func(name string) {
				t.Helper()
				where := name + "-" + size.name + "-" + theme
				b.shoot(where)
				if wide := b.js(`document.documentElement.scrollWidth - innerWidth`).(float64); wide > 0 {
					t.Errorf("%s is %v pixels too wide", where, wide)
				}
				b.contrast(where)
				if size.name == "desk" || theme == "light" { // the fourth is made of the same
					check(where)
				}
			}
			for _, name := range []string{"traffic", "overview", "delivery", "routes", "keys", "alarms", "ledger"} {
				b.open(w.console + "#/" + name)
				b.until(name, ready[name])
				b.until("the badge, in sight on a phone too", fmt.Sprintf(`document.querySelector("nav .badge:not([hidden])")?.textContent.startsWith("1") && document.querySelector("a.loud.critical").checkVisibility() === %v`, size.name == "phone"))
				view(name)
			}
			b.open(w.console + "#/traffic?filter=" + url.QueryEscape(`status >= 400 || method == POST`))
			b.until("traffic", rows+`.some((r) => r.querySelector(".p").textContent === "/users")`)
			b.js(rows + `.find((r) => r.querySelector(".p").textContent === "/users").click()`)
			b.until("a call, and what the rules took of it", `document.querySelectorAll(".side .code").length === 2 && document.querySelector(".side .legend").textContent.includes("access")`)
			view("call")
		}
	}
	b.quiet()
}

// contrast checks every text in sight against WCAG 2.2 AA (4.5 to 1), and that whatever can be
// operated has a name.
func (b *browser) contrast(where string) {
	b.t.Helper()
	bad := b.js(`(() => {
		const rgb = (c) => { const x = document.createElement("canvas").getContext("2d"); x.fillStyle = c; x.fillRect(0, 0, 1, 1); const d = x.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
		const seen = new Map(); const color = (c) => { if (!seen.has(c)) seen.set(c, rgb(c)); return seen.get(c); };
		const lum = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
		const out = new Set();
		for (const el of document.querySelectorAll("body *")) {
			if (el.matches("button, a, input, select, textarea") && el.checkVisibility() && !(el.textContent.trim() || el.getAttribute("aria-label") || el.labels?.length)) out.add("no name: " + el.outerHTML.slice(0, 100));
			if (el.closest("svg, select, [hidden]") || !el.checkVisibility() || ![...el.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || el.closest(":disabled, .skip")) continue;
			let back = null; for (let p = el; p && !back; p = p.parentElement) { const c = color(getComputedStyle(p).backgroundColor); if (c[3] > 0.99) back = c; }
			const a = lum(color(getComputedStyle(el).color)), z = lum(back || [255, 255, 255]);
			const ratio = (Math.max(a, z) + 0.05) / (Math.min(a, z) + 0.05);
			if (ratio < 4.5) out.add(ratio.toFixed(2) + " " + el.tagName + "." + el.className + " " + el.textContent.trim().slice(0, 30));
		}
		return [...out].join("\n");
	})()`)
	if bad != "" {
		b.t.Errorf("%s: %v", where, bad)
	}
}
