package lambdaapp

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
	"github.com/tapway/tapway/internal/record/recordtest"
)

// server is tapway as one process, with a destination.
type server struct {
	addr    string
	records chan []byte
}

func startServer(t *testing.T, backend string) *server {
	t.Helper()
	s := &server{records: make(chan []byte, 10)}
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.records <- body
	}))
	t.Cleanup(sink.Close)
	text := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: 'off'}\ndata: %s/data\nbackend: %s\ndestinations: [{name: sink, url: %q}]\naccess: {trusted_proxies: [127.0.0.1]}\n%s",
		t.TempDir(), backend, sink.URL, everything)
	c, err := config.Load(config.Source{File: "test.yaml", Text: []byte(text), Getenv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(c, app.Options{Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- a.RunNotify(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s.addr = a.Addr()
	return s
}

// call sends r as the fronts' clients do, with what the fronts add, and returns its record.
func (s *server) call(t *testing.T, r eventtest.Request, host string) []byte {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.Target, host)
	for _, h := range append(slices.Clone(r.Header), tapway.Field{Name: "X-Amzn-Trace-Id", Value: eventtest.Trace}, tapway.Field{Name: "X-Forwarded-For", Value: "203.0.113.7"},
		tapway.Field{Name: "X-Forwarded-Port", Value: "443"}, tapway.Field{Name: "X-Forwarded-Proto", Value: "https"}, tapway.Field{Name: "Connection", Value: "close"}) {
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name, h.Value)
	}
	if len(r.Body) > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.Body))
	}
	b.WriteString("\r\n")
	b.Write(r.Body)
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(c); !bytes.HasPrefix(out, []byte("HTTP/1.1 ")) { // one that is broken off may end with an error
		t.Fatalf("the server answers %.200q, %v", out, err)
	}
	select {
	case rec := <-s.records:
		return rec
	case <-time.After(20 * time.Second):
		t.Fatal("no record")
		return nil
	}
}

// everything stands in the records, so that what differs is seen.
const everything = "capture: {redact: {defaults: false}}\nproxy: {filtered_paths: [/filtered]}\n"

var sameRequests = map[string]eventtest.Request{
	"plain":                 {Method: "GET", Target: "/users/1"},
	"repeated headers":      {Method: "GET", Target: "/a", Header: fieldsOf("X-One", "1", "X-Two", "a", "X-One", "2", "X-List", "b,c")},
	"cookies":               {Method: "GET", Target: "/a", Header: fieldsOf("Cookie", "a=b; c=d")},
	"empty query values":    {Method: "GET", Target: "/a?b=&c&b=1&d="},
	"query":                 {Method: "GET", Target: "/a?b=1&a=2&b=3"},
	"percent-encoding":      {Method: "GET", Target: "/a%2Fb/c%20d/%c3%a9;e?x=%2F%20y+z&%61=b"},
	"JSON":                  {Method: "POST", Target: "/users?a=b", Header: fieldsOf("Content-Type", "application/json"), Body: []byte(`{"name":"mörpheus","n":1.50}`)},
	"text":                  {Method: "PUT", Target: "/a", Header: fieldsOf("Content-Type", "text/plain; charset=utf-8"), Body: []byte("grüße \"\\\n")},
	"binary":                {Method: "POST", Target: "/a", Header: fieldsOf("Content-Type", "application/octet-stream"), Body: []byte{0xff, 0, 1, 0xfe}, BinaryMediaTypes: []string{"*/*"}},
	"compressed":            {Method: "POST", Target: "/a", Header: fieldsOf("Content-Type", "text/plain", "Content-Encoding", "gzip"), Body: gzipped("hello"), BinaryMediaTypes: []string{"*/*"}},
	"odd path":              {Method: "GET", Target: "/a/..//b;c=d/%2e%2E/e+f/~'(g)!*,:@/%7E//"},
	"odd query":             {Method: "GET", Target: "/a?x;y=1&=&a=b=c&d=%2b+%20&e=?/:@"},
	"old response header":   {Method: "GET", Target: "/a", Header: fieldsOf("X-Old", "yes")},
	"form":                  {Method: "POST", Target: "/a", Header: fieldsOf("Content-Type", "application/x-www-form-urlencoded"), Body: []byte("a=b+c&d=%20&e")},
	"length of nothing":     {Method: "POST", Target: "/a", Header: fieldsOf("Content-Type", "application/json")},
	"many headers":          {Method: "GET", Target: "/a", Header: many(100)},
	"empty header":          {Method: "GET", Target: "/a", Header: fieldsOf("X-Empty", "")},
	"HEAD":                  {Method: "HEAD", Target: "/a?b=c"},
	"no content":            {Method: "DELETE", Target: "/a", Header: fieldsOf("X-Status", "204")},
	"not modified":          {Method: "GET", Target: "/a", Header: fieldsOf("X-Status", "304", "If-None-Match", `"x"`)},
	"a failure":             {Method: "POST", Target: "/a", Header: fieldsOf("X-Status", "503", "Content-Type", "text/plain"), Body: []byte("down")},
	"broken off":            {Method: "GET", Target: "/a", Header: fieldsOf("X-Status", "0")},
	"answered by itself":    {Method: "GET", Target: "/filtered/a", Header: fieldsOf("Accept", "application/json")},
	"large":                 {Method: "POST", Target: "/a", Header: fieldsOf("Content-Type", "text/plain"), Body: bytes.Repeat([]byte("0123456789abcdef"), 20<<10)},
	"everything in concert": {Method: "PATCH", Target: "/a%20b?c=&d=1&d=2", Header: fieldsOf("X-One", "1", "X-One", "2", "Cookie", "a=b; c=d", "Content-Type", "image/png"), Body: []byte("\x89PNG\xff"), BinaryMediaTypes: []string{"*/*"}},
}

// One request sent through every front, streaming where the front can, and through the server gives the same record,
// but for front, api and fidelity, the times, and what the fidelity says was lost on the way.
func TestTheSameRecordEverywhere(t *testing.T) {
	for mode, fronts := range map[string][]eventtest.Front{"false": eventtest.Fronts, "true": {eventtest.REST, eventtest.FunctionURL}} {
		w := newWorld(t)
		w.env["LAMBDA_TASK_ROOT"], w.env["TAPWAY_STREAM"] = t.TempDir(), mode
		writeFile(t, w.env["LAMBDA_TASK_ROOT"]+"/tapway.yaml", everything)
		w.env["TAPWAY_BACKEND"] = w.serve(http.HandlerFunc(mirror)) // the server's too: frozen functions do not matter
		s := startServer(t, w.env["TAPWAY_BACKEND"])
		w.start(Proxy)
		for name, r := range sameRequests {
			for _, front := range fronts {
				t.Run(name+"/"+front.String()+"/stream "+mode, func(t *testing.T) { w.compare(t, s, front, r) })
			}
		}
	}
}

// mirror answers with what it gets, under the status that X-Status asks for; with 0 it breaks off.
func mirror(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h := rw.Header()
	h["Set-Cookie"], h["X-Twice"], h["Date"] = []string{"a=1; Path=/", "b=2"}, []string{"1", "2"}, nil
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		if v := r.Header.Get(name); v != "" {
			h.Set(name, v)
		}
	}
	if r.Header.Get("X-Old") != "" {
		h["X-Name"] = []string{"gr\xfc\xdfe"}
	}
	status := http.StatusCreated
	if text := r.Header.Get("X-Status"); text != "" {
		status, _ = strconv.Atoi(text)
	}
	if status == 0 {
		rw.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(rw, "half")
		_ = http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	}
	rw.WriteHeader(status)
	_, _ = rw.Write(body)
}

// compare sends r through a front and through the server and compares the records.
func (w *world) compare(t *testing.T, s *server, front eventtest.Front, r eventtest.Request) {
	event, err := front.Event(r)
	if err != nil {
		t.Fatal(err)
	}
	w.sqs.Create("records", map[string]string{"MaximumMessageSize": "262144"})
	broken := slices.ContainsFunc(r.Header, func(h tapway.Field) bool { return h == tapway.Field{Name: "X-Status", Value: "0"} })
	if result := w.proxy.Invoke(t.Context(), event); result.Err != nil || result.Error != nil && !(broken && result.Streaming) {
		t.Fatal(result.Err, result.Error)
	}
	w.proxy.settled(t)
	messages := w.sqs.Messages("records")
	if len(messages) != 1 {
		t.Fatalf("%d records", len(messages))
	}
	text := []byte(messages[0].Body)
	if key := gjson.GetBytes(text, "1.s3Key").String(); key != "" {
		text = w.object(key)
	}
	got := readRecord(t, text)
	if got["front"] != string(front.Front()) || got["api"] == nil {
		t.Errorf("front %v, api %v", got["front"], got["api"])
	}
	want := readRecord(t, s.call(t, r, got["from"].(string)))
	if want["front"] != "server" || want["api"] != nil {
		t.Errorf("the server's front is %v, api %v", want["front"], want["api"])
	}
	if broken && w.env["TAPWAY_STREAM"] == "false" { // nothing had reached the client: it got a 502, and a server's half a 200
		if got["status"] != 502.0 || want["status"] != 200.0 {
			t.Errorf("status %v, and through the server %v", got["status"], want["status"])
		}
		want["status"] = 502.0
	}
	lost := lostWords(got)
	for field := range want {
		a, b := leveled(field, got[field], lost), leveled(field, want[field], lost)
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: %.300v, and through the server %.300v; fidelity %v", field, a, b, got["fidelity"])
		}
	}
	delete(got, "connect_ms") // only where there was a connection to make
	delete(want, "connect_ms")
	if len(got) != len(want) {
		t.Errorf("%d fields, and through the server %d", len(got), len(want))
	}
}

func fieldsOf(pairs ...string) (out []tapway.Field) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, tapway.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return out
}

// many are n headers with names of their own.
func many(n int) (out []tapway.Field) {
	for i := range n {
		out = append(out, tapway.Field{Name: "X-Field-" + strconv.Itoa(i), Value: strings.Repeat("v", i%7)})
	}
	return out
}

func gzipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.Bytes()
}

func readRecord(t *testing.T, text []byte) map[string]any {
	t.Helper()
	recordtest.Validate(t, text)
	var rec map[string]any
	if err := json.Unmarshal(text, &rec); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"body_info", "response_info"} {
		delete(rec[field].(map[string]any), "first_byte_ms")
	}
	return rec
}

func lostWords(rec map[string]any) func(...string) bool {
	all, _ := rec["fidelity"].([]any)
	return func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(all, any(w)) })
	}
}

// leveled is a field's value without what may differ.
func leveled(field string, v any, lost func(...string) bool) any {
	switch field {
	case "front", "api", "fidelity", "id", "time", "duration_ms", "overhead_ms", "access_ms", "connect_ms":
		return nil
	case "endpoint":
		if lost(tapway.FidelityPathDecoded) {
			v, _ = url.PathUnescape(v.(string))
		}
	case "query":
		if text, ok := v.(string); ok {
			return leveledQuery(text, lost)
		}
	case "request_headers":
		out := map[string]any{}
		for name, value := range v.(map[string]any) {
			if slices.Contains(eventtest.Added, name) || lost(tapway.FidelityHeaderDropped) && slices.Contains(eventtest.Dropped, name) || name == "Connection" {
				continue
			}
			out[name] = leveledHeader(name, value.(string), lost)
		}
		return out
	}
	return v
}

func leveledHeader(name, value string, lost func(...string) bool) any {
	switch {
	case name == "Cookie":
		return value // in the order and form in which it was sent, whatever the front made of it
	case lost(tapway.FidelityHeaderRepeats):
		parts := strings.Split(value, ", ")
		return parts[len(parts)-1]
	case lost(tapway.FidelityHeaderJoined):
		return strings.ReplaceAll(value, ", ", ",")
	case lost(tapway.FidelityHeaderOrder):
		return slices.Sorted(strings.SplitSeq(value, ", "))
	}
	return value
}

func leveledQuery(text string, lost func(...string) bool) any {
	if !lost(tapway.FidelityQueryOrder, tapway.FidelityQueryEncoding, tapway.FidelityQueryRepeats) {
		return text
	}
	values := map[string][]string{}
	for part := range strings.SplitSeq(text, "&") {
		name, value, _ := strings.Cut(part, "=")
		if lost(tapway.FidelityQueryEncoding) {
			name, _ = url.QueryUnescape(name)
			value, _ = url.QueryUnescape(value)
		}
		if values[name] = append(values[name], value); lost(tapway.FidelityQueryRepeats) {
			values[name] = []string{value}
		}
	}
	return values
}
