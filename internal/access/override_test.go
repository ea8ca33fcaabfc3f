package access

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"pgregory.net/rapid"
)

// formWorld takes POST and PUT.
func formWorld(t testing.TB) *world {
	state := NewState(nil, time.Now())
	return newWorld(t, &Methods{Allowed: []string{"GET", "POST", "PUT"}, Forms: &Bodies{Max: MaxForm, Total: 4 * MaxForm, State: state}})
}

// postForm sends a body as it comes; it gives the status, what the backend has read, and the error it got.
func (w *world) postForm(t testing.TB, target string, header http.Header, body io.Reader) (status int, got []byte, err error) {
	t.Helper()
	r := httptest.NewRequest("POST", "/", body)
	r.RequestURI, r.ContentLength, r.Header = target, -1, header
	w.call = new(tapway.Call)
	out := httptest.NewRecorder()
	w.gate.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got, err = io.ReadAll(r.Body) })).ServeHTTP(out, r.WithContext(tapway.WithCall(r.Context(), w.call)))
	return out.Code, got, err
}

const urlencoded = "application/x-www-form-urlencoded"

// TestOverrides: a method that is not allowed cannot be asked for, by whatever frameworks read.
func TestOverrides(t *testing.T) {
	const b = "multipart/form-data; boundary=B"
	part := func(disposition, value string) string {
		return "--B\r\nContent-Disposition: form-data; " + disposition + "\r\n\r\n" + value + "\r\n--B--\r\n"
	}
	w := formWorld(t)
	for _, tt := range []struct {
		name, target, kind, body string
		status                   int
	}{
		{"a form", "/x", urlencoded, "a=1&b=2", 200},
		{"no body", "/x", urlencoded, "", 200},
		{"an allowed method", "/x", urlencoded, "a=1&_method=put", 200},
		{"another", "/x", urlencoded, "a=1&_method=delete", 403},
		{"the second of two", "/x", urlencoded, "_method=put&_method=delete", 403},
		{"by a semicolon", "/x", urlencoded, "a=1;_method=delete", 403},
		{"encoded", "/x", urlencoded, "%5Fmethod=%44ELETE", 403},
		{"all of it encoded", "/x", urlencoded, "%5f%6d%65%74%68%6f%64=DELETE", 403},
		{"in capitals", "/x", urlencoded, "_METHOD=DELETE", 403},
		{"with blanks", "/x", urlencoded, "+_method=+DELETE+", 403},
		{"badly encoded", "/x", urlencoded, "_method=DELETE%", 403},
		{"with a charset", "/x", "Application/X-WWW-Form-Urlencoded; charset=utf-8", "_method=DELETE", 403},
		{"without a type", "/x", "", "_method=DELETE", 403},
		{"none", "/x", urlencoded, "_method=", 200},
		{"another field", "/x", urlencoded, "method=DELETE&__method=DELETE&_methods=DELETE&a=_method", 200},
		{"a text", "/x", "text/plain", "_method=DELETE", 200},
		{"in the query", "/x?a=1&_method=DELETE", "text/plain", "", 403},
		{"in the query, encoded", "/x?%5fmethod=DELETE", "text/plain", "", 403},
		{"in the query, allowed", "/x?_method=PUT", "text/plain", "", 200},
		{"a part", "/x", b, part(`name="a"`, "DELETE"), 200},
		{"a part that overrides", "/x", b, part(`name="_method"`, "DELETE"), 403},
		{"without quotes", "/x", b, part(`name=_method`, "DELETE"), 403},
		{"in capitals", "/x", b, part(`NAME="_Method"`, " delete "), 403},
		{"as RFC 2231 has it", "/x", b, part(`name*=utf-8''%5fmethod`, "DELETE"), 403},
		{"with an escape", "/x", b, part(`name="\_method"`, "DELETE"), 403},
		{"a disposition that cannot be read", "/x", b, part(`name="_method`, "DELETE"), 403},
		{"a part that asks for what is allowed", "/x", b, part(`name="_method"`, "PUT"), 200},
		{"a file of that name", "/x", b, part(`name="f"; filename="_method"`, "DELETE"), 200},
		{"a long value", "/x", b, part(`name="_method"`, strings.Repeat("D", 65)), 403},
		{"no end", "/x", b, "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n", 400},
		{"no boundary", "/x", "multipart/form-data", "x", 400},
		{"a boundary of 71 characters", "/x", "multipart/form-data; boundary=" + strings.Repeat("B", 71), "x", 400},
		{"other parts", "/x", "multipart/mixed; boundary=B", part(`name="_method"`, "DELETE"), 403},
	} {
		header := http.Header{}
		if tt.kind != "" {
			header.Set("Content-Type", tt.kind)
		}
		status, got, err := w.postForm(t, tt.target, header, strings.NewReader(tt.body))
		if status != tt.status || status == 200 && (string(got) != tt.body || err != nil) {
			t.Errorf("%s: %d %q, the backend reads %q, %v", tt.name, status, w.call.Error, got, err)
		}
	}
	for name, want := range map[string]int{"X-Http-Method-Override": 403, "X_http_method_override": 403, "X-Http_method-Override": 403, "X-Http-Method": 403, "X-Method-Override": 403, "X_method_override": 403, "X-Http-Methods": 200} {
		if status, _, _ := w.postForm(t, "/x", http.Header{name: {"PUT", "delete"}, "Content-Type": {"text/plain"}}, nil); status != want {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status, _, _ := w.postForm(t, "/x", http.Header{"Content-Type": {"text/plain", urlencoded}}, strings.NewReader("_method=DELETE")); status != 403 {
		t.Errorf("two types: %d", status)
	}
}

// TestOverrideBounds: what stands far behind in a form breaks the request off before the backend has it.
func TestOverrideBounds(t *testing.T) {
	w := formWorld(t)
	for _, size := range []int{0, formAhead / 2, 2 * formAhead, 1 << 20} {
		for method, allowed := range map[string]bool{"PUT": true, "DELETE": false} {
			var body bytes.Buffer
			form := multipart.NewWriter(&body)
			file, _ := form.CreateFormFile("file", "define_method.rb")
			fmt.Fprint(file, strings.Repeat("_method=DELETE\r\n", size/16))
			form.WriteField("_method", method)
			form.WriteField("a", "1")
			form.Close()
			whole := body.Bytes()
			status, got, err := w.postForm(t, "/x", http.Header{"Content-Type": {form.FormDataContentType()}}, bytes.NewReader(whole))
			switch {
			case allowed:
				if status != 200 || err != nil || !bytes.Equal(got, whole) {
					t.Errorf("%d bytes, %s: %d, %v, %d of %d bytes", size, method, status, err, len(got), len(whole))
				}
			case size < formAhead:
				if status != 403 {
					t.Errorf("%d bytes, %s: %d", size, method, status)
				}
			default:
				if err == nil || bytes.Contains(got, []byte("DELETE\r\n--")) {
					t.Errorf("%d bytes, %s: the backend has read %d of %d bytes: %v", size, method, len(got), len(whole), err)
				}
			}
		}
	}
}

// TestOverrideStreams: forms without an override pass byte for byte, however they come.
func TestOverrideStreams(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		for range rapid.IntRange(0, 5).Draw(rt, "parts") {
			part, _ := form.CreateFormFile(rapid.StringMatching(`[a-z]{1,8}`).Draw(rt, "name"), "f")
			unit := rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(rt, "unit")
			part.Write(bytes.Repeat(unit, rapid.IntRange(0, 4000).Draw(rt, "times")))
		}
		form.Close()
		body.WriteString(rapid.StringMatching(`(\r\n[a-z]{0,40})?`).Draw(rt, "behind"))
		whole := bytes.Clone(body.Bytes())
		chunk := rapid.IntRange(1, 9000).Draw(rt, "chunk")
		status, got, err := formWorld(t).postForm(t, "/x", http.Header{"Content-Type": {form.FormDataContentType()}}, readerFunc(func(p []byte) (int, error) { return body.Read(p[:min(len(p), chunk)]) }))
		if status != 200 || err != nil || !bytes.Equal(got, whole) {
			rt.Fatalf("%d, %v, %d of %d bytes", status, err, len(got), len(whole))
		}
	})
}

// FuzzOverride: whatever a form is, the backend reads it whole or gets an error, and Go's own parser finds no
// override in what it has read whole.
func FuzzOverride(f *testing.F) {
	for _, body := range []string{
		"_method=DELETE", "a=1&%5fmethod=DELETE", "--B--", "--B\r\nContent-Disposition: form-data; name=_method\r\n\r\nDELETE\r\n--B--\r\n",
		"--B\nContent-Disposition: form-data; name=\"a\"\n\n1\n--B--", "pre\r\n--B \r\n\r\nx\r\n--B\r\nContent-Disposition: form-data; name=_method\r\n\r\nPUT\r\n--B--",
	} {
		f.Add([]byte(body), true)
		f.Add([]byte(body), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, parts bool) {
		kind := urlencoded
		if parts {
			kind = "multipart/form-data; boundary=B"
		}
		status, got, err := formWorld(t).postForm(t, "/x", http.Header{"Content-Type": {kind}}, bytes.NewReader(body))
		if status != 200 || err != nil {
			return
		}
		if !bytes.Equal(got, body) {
			t.Fatalf("the backend reads %q", got)
		}
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", kind)
		_ = r.ParseMultipartForm(1 << 20)
		for _, method := range r.PostForm["_method"] {
			if m := strings.ToUpper(strings.TrimSpace(method)); m != "" && m != "GET" && m != "POST" && m != "PUT" {
				t.Fatalf("%q passed", method)
			}
		}
	})
}
