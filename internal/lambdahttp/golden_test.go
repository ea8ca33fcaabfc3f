package lambdahttp

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden decodes events in the form that AWS documents, and answers each with the same
// response. X.event.json becomes X.request and X.reply.json.
func TestGolden(t *testing.T) {
	events, err := filepath.Glob("testdata/*.event.json")
	if err != nil || len(events) != 7 {
		t.Fatal(events, err)
	}
	for _, name := range events {
		event, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		call, err := Decode(t.Context(), event)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		base := strings.TrimSuffix(name, ".event.json")
		golden(t, base+".request", describe(t, call))
		d := &Door{Log: quiet(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h["Content-Type"] = []string{"text/html; charset=utf-8"}
			h["Set-Cookie"] = []string{"a=1; Path=/", "b=2", "c=3"}
			h["Cache-Control"] = []string{"no-store", "private"}
			w.WriteHeader(http.StatusAccepted)
			io.WriteString(w, "<p class=\"x\">λ &amp; \\</p>\n")
		})}
		reply, err := d.Serve(t.Context(), event)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, base+".reply.json", string(reply.Body)+"\n")
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
	}
}

// describe writes down everything that a call says.
func describe(t *testing.T, c *Call) string {
	var s strings.Builder
	r := c.Request
	fmt.Fprintf(&s, "%s %s %s\nHost: %s\n", r.Method, r.RequestURI, r.Proto, r.Host)
	names := make([]string, 0, len(r.Header))
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range r.Header[name] {
			fmt.Fprintf(&s, "%s: %s\n", name, v)
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&s, "\n%q\n\nlength %d\nremote %q\ntls %t\nfront %s\napi %+v\nfidelity %v\nclient %q\ntrace %q\nbase %q\n",
		body, r.ContentLength, r.RemoteAddr, r.TLS != nil, c.Front, *c.API, c.Fidelity, c.ClientIP, c.Trace, c.Base)
	return s.String()
}
