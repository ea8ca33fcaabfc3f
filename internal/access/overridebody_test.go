package access

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/tapway/tapway"
	"pgregory.net/rapid"
)

// TestOverrideJSON: Laravel takes a method out of JSON, and Express does where it is told to.
func TestOverrideJSON(t *testing.T) {
	w := formWorld(t)
	for _, tt := range []struct {
		name, kind, body string
		status           int
	}{
		{"the field", "application/json", `{"_method":"DELETE"}`, 403},
		{"an allowed method", "application/json", `{"a":1,"_method":"put"}`, 200},
		{"in small letters", "application/json", `{"_method" : "delete"}`, 403},
		{"the first of two", "application/json", `{"_method":"DELETE","_method":"PUT"}`, 403},
		{"the second of two", "application/json", `{"_method":"PUT","_method":"DELETE"}`, 403},
		{"behind other values", "application/json", `{"a":{"b":[1,{"c":"}"}]},"d":"\"{","_method":"DELETE"}`, 403},
		{"an escaped name", "application/json", `{"\u005fm\u0065thod":"DELETE"}`, 403},
		{"an escaped value", "application/json", `{"_method":"\u0044ELETE"}`, 403},
		{"on lines of its own", "application/json", " \r\n{\n\t\"_method\"\n:\n\"DELETE\"\n}", 403},
		{"behind a byte order mark", "application/json", "\xef\xbb\xbf{\"_method\":\"DELETE\"}", 403},
		{"within an object", "application/json", `{"a":{"_method":"DELETE"}}`, 200},
		{"within an array", "application/json", `[{"_method":"DELETE"}]`, 200},
		{"a value", "application/json", `{"a":"_method","b":"DELETE"}`, 200},
		{"in a text", "application/json", `{"a":"{\"_method\":\"DELETE\"}"}`, 200},
		{"no text", "application/json", `{"_method":["DELETE"],"b":"DELETE"}`, 200},
		{"a number", "application/json", `{"_method":1,"b":"DELETE"}`, 200},
		{"none", "application/json", `{"_method":""}`, 200},
		{"a longer name", "application/json", `{"__method":"DELETE","_methods":"DELETE"}`, 200},
		{"behind the object", "application/json", `{"a":1}{"_method":"DELETE"}`, 200},
		{"a value without an end", "application/json", `{"_method":"DELETE`, 200}, // it is no JSON
		{"a long value", "application/json", `{"_method":"` + strings.Repeat("D", maxField) + `"}`, 403},
		{"a long name", "application/json", `{"` + strings.Repeat("D", 2*maxField) + `":"DELETE","_method":"DELETE"}`, 403},
		{"with a charset", "Application/JSON; charset=utf-8", `{"_method":"DELETE"}`, 403},
		{"another JSON", "application/vnd.api+json", `{"_method":"DELETE"}`, 403},
		{"Laravel looks for /json anywhere", "text/json-patch", `{"_method":"DELETE"}`, 403},
		{"lines of JSON", "application/x-ndjson", `[1]`, 200},
		{"a text", "text/plain", `{"_method":"DELETE"}`, 200},
		{"envelopes", "application/connect+json", "\x00\x00\x00\x00\x14{\"_method\":\"DELETE\"}", 200},
	} {
		for _, split := range []bool{false, true} {
			var body io.Reader = strings.NewReader(tt.body)
			if split {
				body = iotest.OneByteReader(body)
			}
			status, got, err := w.postForm(t, "/x", http.Header{"Content-Type": {tt.kind}}, body)
			if status != tt.status || status == 200 && (string(got) != tt.body || err != nil) {
				t.Errorf("%s: %d %q, the backend reads %q, %v", tt.name, status, w.call.Error, got, err)
			}
		}
	}
}

// TestOverrideLate: a field that comes behind what is looked at before is never with the backend, nor is the end of the body.
func TestOverrideLate(t *testing.T) {
	w := formWorld(t)
	for _, tt := range []struct{ kind, before, field, after string }{
		{urlencoded, "a=" + strings.Repeat("x", 3*formAhead), "&_method=%s", "&b=1"},
		{urlencoded, "a=" + strings.Repeat("x", 3*formAhead), "&_method=%s", ""},
		{urlencoded, strings.Repeat("a=1&", formAhead), "%%5fmethod=%s", "&b=" + strings.Repeat("x", formAhead)},
		{urlencoded, "a=" + strings.Repeat("x", 3*formAhead) + "&" + strings.Repeat("+", 3*maxField), "_method=%s", ""},
		{"", "a=" + strings.Repeat("x", 3*formAhead), ";_method=%s", "&b=1"},
		{"application/json", `{"a":"` + strings.Repeat("x", 3*formAhead), `","_method":"%s"`, "}"},
		{"application/json", `{"a":[` + strings.Repeat("{},", 3*formAhead), `0],"_method":"%s"`, `,"b":1}`},
	} {
		for _, method := range []string{"PUT", "DELETE"} {
			whole := tt.before + fmt.Sprintf(tt.field, method) + tt.after
			for _, size := range []int{1 << 20, 4099, 61} {
				header := http.Header{}
				if tt.kind != "" {
					header.Set("Content-Type", tt.kind)
				}
				src := strings.NewReader(whole)
				status, got, err := w.postForm(t, "/x", header, readerFunc(func(p []byte) (int, error) { return src.Read(p[:min(len(p), size)]) }))
				if method == "PUT" {
					if status != 200 || err != nil || string(got) != whole {
						t.Errorf("%.20q, in pieces of %d: %d, %v, %d of %d bytes", tt.before, size, status, err, len(got), len(whole))
					}
					continue
				}
				if !errors.Is(err, errOverride) || len(got) > len(tt.before)+len(`","_method":`) || bytes.Contains(got, []byte(method)) {
					t.Errorf("%.20q, in pieces of %d: the backend has %d of %d bytes, %v", tt.before, size, len(got), len(whole), err)
				}
				if len(got) < formAhead {
					t.Errorf("%.20q: only %d bytes went on", tt.before, len(got))
				}
			}
		}
	}
}

// TestOverrideStreamsFlat: a body of 104 MiB streams, and takes no more memory than a small one.
func TestOverrideStreamsFlat(t *testing.T) {
	for kind, parts := range map[string][3]string{
		urlencoded:                        {"a=", "x", ""},
		urlencoded + "; charset=utf-8":    {"", "some=value&", "_method=PUT"},
		"application/json":                {`{"a":"`, "x", `"}`},
		"multipart/form-data; boundary=B": {"--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n", "x", "\r\n--B--\r\n"},
	} {
		unit := strings.Repeat(parts[1], 64<<10/len(parts[1]))
		size := 16 << 20
		if kind == urlencoded {
			size = 104 << 20
		}
		times := size / len(unit)
		sent, before := 0, uint64(0)
		most := uint64(0)
		body := io.MultiReader(strings.NewReader(parts[0]), &repeated{text: unit, times: times}, strings.NewReader(parts[2]))
		w := formWorld(t)
		w.serve = func(_ http.ResponseWriter, r *http.Request) {
			var stats runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&stats)
			before = stats.HeapAlloc
			room := make([]byte, 32<<10)
			for next := 0; ; {
				n, err := r.Body.Read(room)
				if sent += n; sent >= next {
					next += size / 8
					runtime.GC()
					runtime.ReadMemStats(&stats)
					most = max(most, stats.HeapAlloc)
				}
				if err != nil {
					if err != io.EOF {
						t.Errorf("%s: %v", kind, err)
					}
					return
				}
			}
		}
		w.postStream(t, kind, body)
		if want := len(parts[0]) + len(unit)*times + len(parts[2]); sent != want || most > before+4<<20 {
			t.Errorf("%s: %d of %d bytes, %d KiB of memory instead of %d", kind, sent, want, most>>10, before>>10)
		}
	}
}

// postStream sends a body that w.serve reads.
func (w *world) postStream(t testing.TB, kind string, body io.Reader) {
	t.Helper()
	r := httptest.NewRequest("POST", "/x", body)
	r.ContentLength = -1
	r.Header.Set("Content-Type", kind)
	w.gate.Wrap(w.serve).ServeHTTP(httptest.NewRecorder(), r.WithContext(tapway.WithCall(r.Context(), new(tapway.Call))))
}

// fieldOf is the field of an object as encoding/json has it.
func fieldOf(text []byte) (string, bool) {
	var fields map[string]any
	if json.Unmarshal(text, &fields) != nil {
		return "", false
	}
	method, ok := fields["_method"].(string)
	return strings.ToUpper(strings.TrimSpace(method)), ok
}

// repeated is a text many times over.
type repeated struct {
	text  string
	times int
	rest  string
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.times == 0 {
			return 0, io.EOF
		}
		r.times, r.rest = r.times-1, r.text
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// TestOverrideSlow: a body that does not end is with the backend as far as it has come, and is not waited for.
func TestOverrideSlow(t *testing.T) {
	for kind, start := range map[string]string{urlencoded: "a=", "application/json": `{"a":"`} {
		client, server := io.Pipe()
		arrived, over := make(chan int), make(chan struct{})
		w := formWorld(t)
		w.serve = func(_ http.ResponseWriter, r *http.Request) {
			defer close(over)
			n, _ := io.ReadFull(r.Body, make([]byte, formAhead))
			arrived <- n
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		go w.postStream(t, kind, client)
		fmt.Fprint(server, start+strings.Repeat("x", formAhead))
		if n := <-arrived; n != formAhead {
			t.Errorf("%s: %d bytes", kind, n)
		}
		server.Close()
		<-over
	}
}

// TestOverridePacked: some backends take a content coding off a form before they read it.
func TestOverridePacked(t *testing.T) {
	pack := func(coding, text string) []byte {
		var out bytes.Buffer
		var w io.WriteCloser = gzip.NewWriter(&out)
		if coding == "deflate" {
			w = zlib.NewWriter(&out)
		}
		io.WriteString(w, text)
		w.Close()
		return out.Bytes()
	}
	w := formWorld(t)
	two := append(pack("gzip", "a=1&_met"), pack("gzip", "hod=DELETE")...)
	for _, tt := range []struct {
		name, coding, kind string
		body               []byte
		status             int
	}{
		{"a form", "gzip", urlencoded, pack("gzip", "a=1"), 200},
		{"the field", "gzip", urlencoded, pack("gzip", "_method=DELETE"), 403},
		{"in two members", "gzip", urlencoded, two, 403},
		{"by another name", "X-GZip", urlencoded, pack("gzip", "_method=DELETE"), 403},
		{"deflate", "deflate", urlencoded, pack("deflate", "_method=DELETE"), 403},
		{"allowed", "deflate", urlencoded, pack("deflate", "_method=PUT"), 200},
		{"JSON", "gzip", "application/json", pack("gzip", `{"_method":"DELETE"}`), 403},
		{"no coding", "identity", urlencoded, []byte("_method=DELETE"), 403},
		{"another coding", "br", urlencoded, []byte("x"), 415},
		{"two codings", "gzip, gzip", urlencoded, pack("gzip", "a=1"), 415},
		{"not gzip", "gzip", urlencoded, []byte("a=1"), 400},
		{"broken off", "gzip", urlencoded, two[:len(two)-12], 400},
		{"what comes to much", "gzip", urlencoded, pack("gzip", strings.Repeat("a", maxUnpacked+1)), 413},
		{"what does not quite", "gzip", urlencoded, pack("gzip", strings.Repeat("a", maxUnpacked)), 200},
		{"a large one", "gzip", urlencoded, make([]byte, maxForm+1), 413},
		{"another type", "br", "text/plain", []byte("x"), 200},
	} {
		status, got, err := w.postForm(t, "/x", http.Header{"Content-Type": {tt.kind}, "Content-Encoding": {tt.coding}}, bytes.NewReader(tt.body))
		if status != tt.status || status == 200 && (!bytes.Equal(got, tt.body) || err != nil) {
			t.Errorf("%s: %d %q, %v", tt.name, status, w.call.Error, err)
		}
	}
}

// TestOverrideFull: what is held of bodies counts against the memory there is for them, and goes back.
func TestOverrideFull(t *testing.T) {
	state := NewState(nil, time.Now())
	w := newWorld(t, &Methods{Allowed: []string{"POST"}, Forms: &Bodies{Max: MaxForm, Total: formAhead / 2, State: state}})
	for _, kind := range []string{urlencoded, "application/json", "multipart/form-data; boundary=B"} {
		start := map[string]string{urlencoded: "a=", "application/json": `{"a":"`}[kind]
		if start == "" {
			start = "--B\r\n\r\n"
		}
		for size, want := range map[int]int{100: 200, formAhead: 503} {
			body := start + strings.Repeat("x", size)
			if start[0] == '-' {
				body += "\r\n--B--"
			}
			if status, _, _ := w.postForm(t, "/x", http.Header{"Content-Type": {kind}}, strings.NewReader(body)); status != want {
				t.Errorf("%s of %d bytes: %d %s", kind, size, status, w.call.Error)
			}
			if held := state.bodies.Load(); held != 0 {
				t.Errorf("%s of %d bytes: %d are still lent", kind, size, held)
			}
		}
	}
}

// TestOverrideChunks: how a form is cut into pieces changes nothing.
func TestOverrideChunks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		piece := rapid.SampledFrom([]string{"_method", ".METHOD", "%5fmethod", "+", "%20", "%00", "%", "%2", "%zz", "=", "=", "&", "&", ";", "a", "DELETE", "PUT", "x=1", "\xc2\xa0", strings.Repeat("+", 70), strings.Repeat("b", 70)})
		text := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(rt, "text"), "")
		want := 200
		for _, value := range formOverrides(text) {
			switch strings.ToUpper(strings.TrimSpace(value)) {
			case "", "GET", "POST", "PUT":
			default:
				want = 403
			}
		}
		size := rapid.IntRange(1, 80).Draw(rt, "size")
		src := strings.NewReader(text)
		status, got, err := formWorld(t).postForm(t, "/x", http.Header{"Content-Type": {urlencoded}}, readerFunc(func(p []byte) (int, error) { return src.Read(p[:min(len(p), size)]) }))
		if status != want || want == 200 && (string(got) != text || err != nil) {
			rt.Fatalf("%q: %d, want %d (%v)", text, status, want, err)
		}
	})
}

// TestOverrideClean: a body that a short look finds clean has nothing for the long one.
func TestOverrideClean(t *testing.T) {
	never := judge(func(string) bool { return false })
	cleaned, found := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		piece := rapid.SampledFrom([]string{"_method", "_meTHod", ".METHOD", `\u005fmethod`, `_\u006dethod`, "_", ".", "method", "metho", `"`, `"`, ":", ":", "{", "}", "[", "]", ",", `\`, "\x00", " ", "a", `"DELETE"`, "\ufeff", "\xff", "\u212a"})
		body := "{" + strings.Join(rapid.SliceOfN(piece, 0, 14).Draw(rt, "body"), "")
		if rapid.Bool().Draw(rt, "shaped") {
			body = `{"` + strings.Join(rapid.SliceOfN(piece, 0, 3).Draw(rt, "name"), "") + `":"DELETE"}`
		}
		_, err := (&jsonScan{may: &never}).feed([]byte(body))
		quick := &jsonScan{may: &never}
		switch {
		case quick.clean([]byte(body)):
			cleaned++
			if err != nil || !quick.done() {
				rt.Fatalf("%q is clean, but: %v", body, err)
			}
		case err != nil:
			found++
		}
	})
	t.Logf("%d clean, %d with the field", cleaned, found)
	if cleaned == 0 || found == 0 {
		t.Errorf("%d clean, %d with the field: nothing was compared", cleaned, found)
	}
}

// FuzzOverrideJSON: where encoding/json finds the field with a method that is not allowed, the call is refused.
func FuzzOverrideJSON(f *testing.F) {
	for _, text := range []string{`{"_method":"DELETE"}`, `{"a":{"_method":"x"},"\u005fmethod":"DELETE","b":[]}`, `{"_method":"PUT"}`, `[{}]`, `{"a":"\\","_method":"DELETE"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		status, got, err := formWorld(t).postForm(t, "/x", http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(text))
		if status == 200 && (err != nil || !bytes.Equal(got, text)) {
			t.Fatalf("%v: the backend reads %q", err, got)
		}
		if method, ok := fieldOf(text); ok && status == 200 && method != "" && method != "GET" && method != "POST" && method != "PUT" {
			t.Fatalf("%q passed", method)
		}
	})
}
