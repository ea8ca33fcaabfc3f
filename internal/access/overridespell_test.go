package access

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestOverrideSpellings: what PHP and Rack take for the field _method, although it is written otherwise.
func TestOverrideSpellings(t *testing.T) {
	const b = "multipart/form-data; boundary=B"
	part := func(heads, value string) string { return "--B\r\n" + heads + "\r\n\r\n" + value + "\r\n--B--\r\n" }
	hidden := func(boundary string) string {
		return "--" + boundary + "\r\nContent-Disposition: form-data; name=_method\r\n\r\nDELETE\r\n--" + boundary + "--\r\n--B--\r\n"
	}
	w := formWorld(t)
	for _, tt := range []struct {
		name, target, kind, body string
		status                   int
	}{
		{"PHP makes a dot an underscore", "/x", urlencoded, ".method=DELETE", 403},
		{"in the query", "/x?.method=DELETE", "text/plain", "", 403},
		{"PHP ends names at a zero", "/x", urlencoded, "_method%00" + strings.Repeat("x", 30) + "=DELETE", 403},
		{"PHP leaves blanks before a name out", "/x", urlencoded, strings.Repeat("+", 30) + "_method=DELETE", 403},
		{"PHP and Rack end a type at a comma", "/x", urlencoded + ", text/plain", "_method=DELETE", 403},
		{"PHP ends it at a blank", "/x", urlencoded + " x", "_method=DELETE", 403},
		{"an empty type is none to Rack", "/x", "", "_method=DELETE", 403},
		{"nor is one that is nothing but its parameters", "/x", "; charset=utf-8", "_method=DELETE", 403},
		{"a longer type", "/x", urlencoded + "x", "_method=DELETE", 200},
		{"a part with a dot", "/x", b, part(`Content-Disposition: form-data; name=".method"`, "DELETE"), 403},
		{"PHP takes single quotes", "/x", b, part(`Content-Disposition: form-data; name='_method'`, "DELETE"), 403},
		{"Rack names a part by its ID", "/x", b, part(`Content-ID: _method`, "DELETE"), 403},
		{"another ID", "/x", b, part(`Content-ID: <method@example.com>`, "DELETE"), 200},
		{"PHP splits at a line feed alone", "/x", b, part(`Content-Disposition: form-data; name="a"`, "1\n--B\nContent-Disposition: form-data; name=\"_method\"\n\nDELETE"), 400},
		{"at the beginning of a part", "/x", b, part(`Content-Disposition: form-data; name="a"`+"\n", "--B\nContent-Disposition: form-data; name=\"_method\"\n\nDELETE"), 400},
		{"the boundary in a line", "/x", b, part(`Content-Disposition: form-data; name="a"`, "a--B\r\nx"), 200},
		{"PHP takes the first word that ends like it", "/x", "multipart/form-data; xboundary=E; boundary=B", hidden("E"), 400},
		{"in another parameter", "/x", `multipart/form-data; charset="; boundary=E"; boundary=B`, hidden("E"), 400},
		{"a longer one there", "/x", `multipart/form-data; charset="; boundary=BE"; boundary=B`, hidden("BE"), 400},
		{"PHP cuts a boundary at a comma", "/x", `multipart/form-data; boundary="B,C"`, "--B,C--", 400},
		{"PHP reads on behind the last part", "/x", b, "--B--\r\n--B\r\nContent-Disposition: form-data; name=_method\r\n\r\nDELETE\r\n--B--\r\n", 400},
		{"a text behind the last part", "/x", b, part(`Content-Disposition: form-data; name="a"`, "1") + "the end --B\r\n", 200},
		{"lines that end with a line feed", "/x", b, strings.ReplaceAll(part(`Content-Disposition: form-data; name="a"`, "1\r\n--B\r\n\r\n2"), "\r", ""), 200},
		{"PHP decodes what it can", "/x", urlencoded, "_method%00%zz=DELETE", 403},
		{"in the query", "/x?_method%00%zz=DELETE", "text/plain", "", 403},
		{"UTF-16", "/x", urlencoded + "; charset=UTF-16BE", "%00_%00m%00e%00t%00h%00o%00d=DELETE", 400},
		{"EBCDIC", "/x", urlencoded + `;charset="ibm037"`, "%6d%94%85%a3%88%96%84=%c4%c5%d3%c5%e3%c5", 400},
		{"a second charset", "/x", urlencoded + "; charset=utf-8; charset = UTF-7", "a=1", 400},
		{"Latin", "/x", urlencoded + "; charset=ISO-8859-1", "a=%e4", 200},
		{"a name and another", "/x", b, part(`Content-Disposition: form-data; name="_method"; name*=utf-8''a`, "DELETE"), 403},
		{"another and a name", "/x", b, part(`Content-Disposition: form-data; name="a"; name*=utf-8''_method`, "DELETE"), 403},
		{"in two pieces", "/x", b, part(`Content-Disposition: form-data; name*0="_met"; name*1="hod"`, "DELETE"), 403},
		{"a filename as RFC 2231 has it", "/x", b, part(`Content-Disposition: form-data; name="a"; filename*=utf-8''%e2%82%ac`, "DELETE"), 200},
		{"an encoded word", "/x", b, part(`Content-Disposition: form-data; name="=?utf-8?B?X21ldGhvZA==?="`, "DELETE"), 403},
		{"two names", "/x", b, part(`Content-Disposition: form-data; name="a"; name="_method"`, "DELETE"), 403},
		{"quotes within others", "/x", b, part(`Content-Disposition: form-data; x="'"; name="a"; filename="'; name=_method"`, "DELETE"), 403},
		{"percent-encoded", "/x", b, part(`Content-Disposition: form-data; name="%5fmethod"`, "DELETE"), 403},
		{"another name that ends so", "/x", b, part(`Content-Disposition: form-data; name="payment_method"`, "DELETE"), 200},
		{"a form within a field", "/x", b, part("Content-Disposition: form-data; name=_method\r\nContent-Type: multipart/mixed; boundary=C", "--C\r\n\r\nDELETE\r\n--C--"), 403},
		{"parts that replace each other", "/x", "multipart/x-mixed-replace; boundary=B", part(`Content-Disposition: form-data; name=_method`, "DELETE"), 403},
		{"a browser's", "/x", "multipart/form-data; boundary=----WebKitFormBoundaryx", "------WebKitFormBoundaryx--\r\n", 200},
		{"in quotes", "/x", `multipart/form-data; charset=utf-8; Boundary="=_a/b:c?"`, "--=_a/b:c?--\r\n", 200},
	} {
		status, got, err := w.postForm(t, tt.target, http.Header{"Content-Type": {tt.kind}}, strings.NewReader(tt.body))
		if status != tt.status || status == 200 && (string(got) != tt.body || err != nil) {
			t.Errorf("%s: %d %q, the backend reads %q, %v", tt.name, status, w.call.Error, got, err)
		}
	}
}

// TestOverrideUnderscores: a header that is spelled with "_" is the same one for some backends.
func TestOverrideUnderscores(t *testing.T) {
	for name, want := range map[string]int{"Content_type": 403, "Content_Type": 403, "CONTENT_TYPE": 403, "Content_typ": 200} {
		status, _, _ := formWorld(t).postForm(t, "/x", http.Header{"Content-Type": {"text/plain"}, name: {urlencoded}}, strings.NewReader("_method=DELETE"))
		if status != want {
			t.Errorf("%s: %d", name, status)
		}
	}
	header := http.Header{"Content-Type": {urlencoded}, "Content_Encoding": {"br"}}
	if status, _, _ := formWorld(t).postForm(t, "/x", header, strings.NewReader("a=1")); status != 415 {
		t.Errorf("a coding: %d", status)
	}
}

// TestOverrideMemory: what a client writes before or between the parts of a form is not held without end.
func TestOverrideMemory(t *testing.T) {
	for name, start := range map[string]string{"before the first part": "", "a part's head": "--B\r\n", "a line of it": "--B\r\nX: "} {
		sent := 0
		body := io.MultiReader(strings.NewReader(start), readerFunc(func(p []byte) (int, error) {
			line := "X: 2\r\n"
			if strings.HasSuffix(start, " ") {
				line = "2"
			}
			if sent > 8<<20 {
				return 0, io.EOF
			}
			n := copy(p, strings.Repeat(line, len(p)/len(line)+1))
			sent += n
			return n, nil
		}))
		status, _, _ := formWorld(t).postForm(t, "/x", http.Header{"Content-Type": {"multipart/form-data; boundary=B"}}, body)
		if status != 400 || sent > 4*formAhead {
			t.Errorf("%s: %d after %d bytes", name, status, sent)
		}
	}
}
