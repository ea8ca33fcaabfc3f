package admin

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/filter"
)

// ask calls the handler as a browser would.
func (w *world) ask(method, path, body string, header map[string]string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	for k, v := range header {
		r.Header.Set(k, v)
	}
	rec := httptest.NewRecorder()
	w.handler().ServeHTTP(rec, r)
	return rec
}

func (w *world) handler() http.Handler {
	if w.server.Console == nil {
		w.server.Console = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, "console "+r.URL.Path) })
	}
	return w.server.Handler()
}

// TestSession: a login gives a cookie no script can read; what changes something wants the
// CSRF token beside it; a logout ends it.
func TestSession(t *testing.T) {
	w := newWorld(t)
	w.server.Token = "s3same"
	if s := decodeSession(t, w.ask("GET", "/api/v1/session", "", nil)); !s.Needed || s.LoggedIn || s.CSRF != "" {
		t.Errorf("before: %+v", s)
	}
	for _, body := range []string{`{"token":""}`, `{"token":"s3sam"}`, `{"token":"s3samee"}`, `{}`} {
		if rec := w.ask("POST", "/api/v1/session", body, nil); rec.Code != 401 || len(rec.Result().Cookies()) != 0 || strings.Contains(rec.Body.String(), "s3same") {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	if rec := w.ask("POST", "/api/v1/session", "x", nil); rec.Code != 400 {
		t.Errorf("not JSON: %d", rec.Code)
	}
	if rec := w.ask("POST", "/api/v1/session", `{"token":"s3same"}`, map[string]string{"Origin": "https://evil.example.com"}); rec.Code != 403 {
		t.Errorf("a login from another origin: %d", rec.Code)
	}
	for proto, secure := range map[string]bool{"": false, "https": true} {
		rec := w.ask("POST", "/api/v1/session", `{"token":" s3same\n"}`, map[string]string{"X-Forwarded-Proto": proto})
		c := rec.Result().Cookies()
		if rec.Code != 200 || len(c) != 1 || !c[0].HttpOnly || c[0].SameSite != http.SameSiteStrictMode || c[0].Secure != secure || strings.Contains(c[0].Value, "s3same") {
			t.Fatalf("login: %d %+v", rec.Code, c)
		}
	}
	rec := w.ask("POST", "/api/v1/session", `{"token":"s3same"}`, nil)
	csrf, cookie := decodeSession(t, rec).CSRF, sessionCookie+"="+rec.Result().Cookies()[0].Value
	other := w.ask("POST", "/api/v1/session", `{"token":"s3same"}`, nil)
	for _, tt := range []struct {
		name, method, path, cookie, csrf string
		want                             int
	}{
		{"reading", "GET", "/api/v1/queue", cookie, "", 200},
		{"reading metrics", "GET", "/metrics", cookie, "", 200},
		{"no cookie", "GET", "/api/v1/queue", "", "", 401},
		{"a wrong cookie", "GET", "/api/v1/queue", cookie + "x", "", 401},
		{"an empty cookie", "GET", "/api/v1/queue", sessionCookie + "=", "", 401},
		{"the token is no cookie", "GET", "/api/v1/queue", sessionCookie + "=s3same", "", 401},
		{"changing without the CSRF token", "POST", "/reload", cookie, "", 401},
		{"changing with a wrong one", "POST", "/reload", cookie, csrf + "x", 401},
		{"changing with another session's", "POST", "/reload", cookie, decodeSession(t, other).CSRF, 401},
		{"changing with it", "POST", "/reload", cookie, csrf, 501},
		{"the CSRF token alone", "POST", "/reload", "", csrf, 401},
	} {
		if got := w.ask(tt.method, tt.path, "{}", map[string]string{"Cookie": tt.cookie, csrfHeader: tt.csrf}); got.Code != tt.want {
			t.Errorf("%s: %d, want %d: %s", tt.name, got.Code, tt.want, got.Body)
		}
	}
	if s := decodeSession(t, w.ask("GET", "/api/v1/session", "", map[string]string{"Cookie": cookie})); !s.LoggedIn || s.CSRF != csrf {
		t.Errorf("while logged in: %+v", s)
	}
	w.ask("DELETE", "/api/v1/session", "", map[string]string{"Cookie": cookie})
	if got := w.ask("GET", "/api/v1/queue", "", map[string]string{"Cookie": cookie}); got.Code != 401 {
		t.Errorf("after the logout: %d", got.Code)
	}
	w.server.Token = ""
	if rec := w.ask("POST", "/api/v1/session", `{"token":""}`, nil); rec.Code != 401 {
		t.Errorf("a login where there is no token: %d", rec.Code)
	}
	if s := decodeSession(t, w.ask("GET", "/api/v1/session", "", nil)); s.Needed || !s.LoggedIn {
		t.Errorf("without a token: %+v", s)
	}
}

func decodeSession(t *testing.T, rec *httptest.ResponseRecorder) Session {
	t.Helper()
	var s Session
	if err := json.Unmarshal(rec.Body.Bytes(), &s); err != nil {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	return s
}

// TestSessionsEnd: a session lasts twelve hours, and the oldest gives way to the newest.
func TestSessionsEnd(t *testing.T) {
	var s sessions
	start := time.Now()
	admits := func(value string, now time.Time) bool {
		r := httptest.NewRequest("GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: sessionCookie, Value: value})
		return s.admits(r, now)
	}
	first := s.start(start)
	if !admits(first, start.Add(sessionLife-1)) || admits(first, start.Add(sessionLife)) {
		t.Error("a session does not end with its time")
	}
	var last string
	for i := range maxSessions {
		last = s.start(start.Add(time.Duration(i+1) * time.Second))
	}
	if admits(first, start) || !admits(last, start) || len(s.ends) != maxSessions {
		t.Errorf("%d sessions are kept", len(s.ends))
	}
	s.start(start.Add(2 * sessionLife))
	if len(s.ends) != 1 {
		t.Errorf("%d sessions are kept after their time", len(s.ends))
	}
}

// TestConsoleFiles: they ask for no token, but where there is none, for a loopback name.
func TestConsoleFiles(t *testing.T) {
	for _, tt := range []struct {
		token, host, path string
		want              int
	}{
		{"", "localhost", "/", 200},
		{"", "127.0.0.1:9090", "/js/app.js", 200},
		{"", "evil.example.com", "/", 403},
		{"", "evil.example.com", "/api/v1/session", 403},
		{"s3same", "tapway.example.com", "/", 200},
		{"s3same", "tapway.example.com", "/app.css", 200},
		{"s3same", "tapway.example.com", "/icon.svg", 200},
		{"s3same", "tapway.example.com", "/other", 401},
		{"", "localhost", "/other", 404},
	} {
		w := newWorld(t)
		w.server.Token = tapway.Secret(tt.token)
		r := httptest.NewRequest("GET", "http://x"+tt.path, nil)
		r.Host = tt.host
		rec := httptest.NewRecorder()
		w.handler().ServeHTTP(rec, r)
		if rec.Code != tt.want {
			t.Errorf("%+v: %d", tt, rec.Code)
		}
	}
}

// TestHarmless: whatever the API answers, errors included, a browser may do nothing with it.
func TestHarmless(t *testing.T) {
	w := newWorld(t)
	w.add("/x")
	id := list[Summary](t, Local(w.server), "/api/v1/exchanges", nil)[0].ID
	for _, path := range []string{"/api/v1/queue", "/api/v1/exchanges", "/api/v1/exchanges/" + id, "/api/v1/exchanges/" + id + "/detail", "/api/v1/exchanges/" + id + "/body/response",
		"/api/v1/exchanges/bad", "/api/v1/export?format=har", "/api/v1/session", "/api/v1/place", "/api/v1/filter?filter=status", "/metrics", "/nowhere"} {
		h := w.ask("GET", path, "", nil).Header()
		for name, want := range map[string]string{"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store"} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if h.Get("Access-Control-Allow-Origin") != "" || strings.HasPrefix(h.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// TestDetail: what the console shows of an exchange, and the bytes of its bodies.
func TestDetail(t *testing.T) {
	w := newWorld(t)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, "<script>alert(1)</script>")
	z.Close()
	now := time.Now()
	ex := &tapway.Exchange{Meta: tapway.Meta{ID: tapway.NewID(now), Time: now, Method: "PUT", Path: "/a", Status: 200, Duration: 9 * time.Millisecond, Connect: 2 * time.Millisecond, FirstByte: 5 * time.Millisecond}}
	ex.RequestHeader = tapway.Header{{Name: "X-Twice", Value: "1"}, {Name: "X-Twice", Value: "2"}}
	ex.Request = tapway.Body{Size: 9, Withheld: true}
	ex.ResponseHeader = tapway.Header{{Name: "Content-Type", Value: "text/html"}, {Name: "Content-Encoding", Value: "gzip"}}
	ex.Response = tapway.Body{Bytes: zipped.Bytes(), Size: int64(zipped.Len())}
	if _, err := w.store.Subscribe("siem"); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Enqueue(t.Context(), ex); err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/exchanges/" + ex.ID.String()
	c := Local(w.server)
	d, err := JSON[Detail](c.Get(t.Context(), path+"/detail", nil))
	if err != nil {
		t.Fatal(err)
	}
	if d.Method != "PUT" || d.ConnectMS != 2 || d.FirstByteMS != 5 || d.DurationMS != 9 || !slices.Equal(d.Request.Headers, [][2]string{{"X-Twice", "1"}, {"X-Twice", "2"}}) ||
		!d.Request.Withheld || d.Request.Kept != 0 || d.Response.Coding != "gzip" || d.Response.Type != "text/html" || d.Response.Kept != zipped.Len() {
		t.Errorf("%+v", d)
	}
	if len(d.Deliveries) != 1 || d.Deliveries[0].Destination != "siem" || d.Deliveries[0].State != "queued" {
		t.Errorf("deliveries %+v", d.Deliveries)
	}
	for query, want := range map[string]string{"": "<script>alert(1)</script>", "?form=raw": zipped.String()} {
		rec := w.ask("GET", path+"/body/response"+query, "", nil)
		if rec.Body.String() != want || rec.Header().Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(rec.Header().Get("Content-Disposition"), "attachment;") {
			t.Errorf("%q: %v %q", query, rec.Header(), rec.Body)
		}
	}
	if rec := w.ask("GET", path+"/body/request", "", nil); rec.Code != 200 || rec.Body.Len() != 0 {
		t.Errorf("a body that is withheld: %d %q", rec.Code, rec.Body)
	}
	for path, want := range map[string]int{path + "/body/other": 400, "/api/v1/exchanges/no-id/detail": 400, "/api/v1/exchanges/" + tapway.NewID(now).String() + "/detail": 404, "/api/v1/exchanges/" + tapway.NewID(now).String() + "/body/request": 404} {
		if rec := w.ask("GET", path, "", nil); rec.Code != want {
			t.Errorf("%s: %d, want %d", path, rec.Code, want)
		}
	}
}

// TestBodyDamaged: what can be decoded is shown, and why it is not all.
func TestBodyDamaged(t *testing.T) {
	w := newWorld(t)
	for coding, want := range map[string]string{"gzip": "\x1f\x8bnot gzip", "made-up": "\x1f\x8bnot gzip"} {
		now := time.Now()
		ex := &tapway.Exchange{Meta: tapway.Meta{ID: tapway.NewID(now), Time: now, Method: "GET", Path: "/", Status: 200}}
		ex.ResponseHeader = tapway.Header{{Name: "Content-Encoding", Value: coding}}
		ex.Response = tapway.Body{Bytes: []byte("\x1f\x8bnot gzip"), Size: 10}
		if err := w.store.Enqueue(t.Context(), ex); err != nil {
			t.Fatal(err)
		}
		rec := w.ask("GET", "/api/v1/exchanges/"+ex.ID.String()+"/body/response", "", nil)
		if rec.Header().Get("X-Tapway-Decode-Error") == "" || rec.Body.String() != want {
			t.Errorf("%s: %v %q", coding, rec.Header(), rec.Body)
		}
	}
}

// TestFilterCheck: the search box hears where the mistake is.
func TestFilterCheck(t *testing.T) {
	c := Local(newWorld(t).server)
	check := func(text string) FilterCheck {
		t.Helper()
		got, err := JSON[FilterCheck](c.Get(t.Context(), "/api/v1/filter", url.Values{"filter": {text}}))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := check("status>=500"); got.Error != "" || got.Text != "status >= 500" {
		t.Errorf("%+v", got)
	}
	if got := check(""); got != (FilterCheck{}) {
		t.Errorf("%+v", got)
	}
	if got := check("statsu >= 500"); got.Column != 1 || !strings.Contains(got.Error, "status") {
		t.Errorf("%+v", got)
	}
	fields, err := JSON[[]map[string]any](c.Get(t.Context(), "/api/v1/filter/fields", nil))
	if err != nil || len(fields) != len(filter.Fields()) || fields[0]["name"] != "method" || fields[0]["help"] == "" {
		t.Errorf("%v %v", fields, err)
	}
}

// TestPlace: what the console knows of where it is.
func TestPlace(t *testing.T) {
	w := newWorld(t)
	w.server.Gateway = "http://127.0.0.1:8080"
	w.server.Routes = func() []Route { return []Route{{Match: "$default", Backend: "http://b"}} }
	p, err := JSON[Place](Local(w.server).Get(t.Context(), "/api/v1/place", nil))
	if err != nil || p.Version != "test" || p.Queue != "disk" || !p.History || !p.Live || p.Gateway == "" || p.Routes[0].Match != "$default" {
		t.Errorf("%+v %v", p, err)
	}
	p, err = JSON[Place](Local(&Server{}).Get(t.Context(), "/api/v1/place", nil))
	if err != nil || p.Queue != "sqs" || p.History || p.Live || p.Routes != nil {
		t.Errorf("%+v %v", p, err)
	}
}

// TestResend: an edited request goes out as it was written; what could not stand in one is
// refused.
func TestResend(t *testing.T) {
	w := newWorld(t)
	w.add("/users", "/withheld")
	found := list[Summary](t, Local(w.server), "/api/v1/exchanges", nil)
	whole, withheld := found[1].ID, found[0].ID
	var sent *tapway.Exchange
	status, broken := 201, error(nil)
	prepare := w.server.Resend
	w.server.Resend = func(to string) (Resend, error) {
		if _, err := prepare(to); err != nil {
			return nil, err
		}
		return func(_ context.Context, ex *tapway.Exchange) (int, error) {
			sent = ex
			return status, broken
		}, nil
	}
	good := func() Edited {
		return Edited{ID: whole, To: "http://b.example.com", Method: "POST", Path: "/other%20path", Query: "a=b", Headers: [][2]string{{"x-new", "1"}, {"X-New", "2"}}, Body: base64.StdEncoding.EncodeToString([]byte("hello"))}
	}
	c := Local(w.server)
	got, err := JSON[Resent](c.Post(t.Context(), "/api/v1/resend", good()))
	if err != nil || got.Status != 201 || got.DurationMS < 0 {
		t.Fatalf("%+v %v", got, err)
	}
	if sent.Method != "POST" || sent.Path != "/other%20path" || sent.Query != "a=b" || string(sent.Request.Bytes) != "hello" || sent.ID.String() != whole ||
		!slices.Equal(sent.RequestHeader, tapway.Header{{Name: "X-New", Value: "1"}, {Name: "X-New", Value: "2"}}) {
		t.Errorf("sent %+v", sent)
	}
	keep := good()
	keep.Keep, keep.Body = true, ""
	if _, err := JSON[Resent](c.Post(t.Context(), "/api/v1/resend", keep)); err != nil || string(sent.Request.Bytes) != "{}" {
		t.Errorf("kept %q, %v", sent.Request.Bytes, err)
	}
	if ex, err := w.store.Load(t.Context(), sent.ID); err != nil || ex.Path != "/users" {
		t.Errorf("the recorded exchange has changed: %+v, %v", ex, err)
	}
	for name, tt := range map[string]struct {
		change func(*Edited)
		want   int
	}{
		"no id":                       {func(e *Edited) { e.ID = "" }, 400},
		"an id that is not there":     {func(e *Edited) { e.ID = tapway.NewID(time.Now()).String() }, 404},
		"no target":                   {func(e *Edited) { e.To = "" }, 400},
		"a target that is a file":     {func(e *Edited) { e.To = "file:///etc/passwd" }, 400},
		"a target without a host":     {func(e *Edited) { e.To = "http:///x" }, 400},
		"a target that is refused":    {func(e *Edited) { e.To = "http://unusable" }, 400},
		"two lines in the method":     {func(e *Edited) { e.Method = "GET / HTTP/1.1\r\nX:" }, 400},
		"no method":                   {func(e *Edited) { e.Method = "" }, 400},
		"a space in the path":         {func(e *Edited) { e.Path = "/a b" }, 400},
		"a line end in the path":      {func(e *Edited) { e.Path = "/a\r\nb" }, 400},
		"a path that begins nowhere":  {func(e *Edited) { e.Path = "a" }, 400},
		"a query in the path":         {func(e *Edited) { e.Path = "/a?b" }, 400},
		"a line end in the query":     {func(e *Edited) { e.Query = "a\nb" }, 400},
		"a header without a name":     {func(e *Edited) { e.Headers[0][0] = "" }, 400},
		"a colon in a header's name":  {func(e *Edited) { e.Headers[0][0] = "a:b" }, 400},
		"a line end in a value":       {func(e *Edited) { e.Headers[0][1] = "a\r\nX: y" }, 400},
		"a tab in a value":            {func(e *Edited) { e.Headers[0][1] = "a\tb" }, 200},
		"a body that is no base64":    {func(e *Edited) { e.Body = "%" }, 400},
		"a withheld body kept":        {func(e *Edited) { e.ID, e.Keep = withheld, true }, 400},
		"a withheld body written new": {func(e *Edited) { e.ID = withheld }, 200},
	} {
		e := good()
		tt.change(&e)
		body, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if rec := w.ask("POST", "/api/v1/resend", string(body), nil); rec.Code != tt.want {
			t.Errorf("%s: %d, want %d: %s", name, rec.Code, tt.want, rec.Body)
		}
	}
	if rec := w.ask("POST", "/api/v1/resend", `{"unknown":1}`, nil); rec.Code != 400 {
		t.Errorf("an unknown field: %d", rec.Code)
	}
	broken = errors.New("connection refused")
	body, err := c.Post(t.Context(), "/api/v1/resend", good())
	refused(t, body, err, 502, "connection refused")
	w.server.Resend = nil
	body, err = c.Post(t.Context(), "/api/v1/resend", good())
	refused(t, body, err, 400, "not possible")
}
