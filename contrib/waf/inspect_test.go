package waf

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"

	"github.com/tapway/tapway/internal/access"
)

type match struct {
	types.MatchData
	variable variables.RuleVariable
	key      string
}

func (m match) Variable() variables.RuleVariable { return m.variable }
func (m match) Key() string                      { return m.key }

// TestVariable: the name of a parameter is told, a value that stands in its place is not.
func TestVariable(t *testing.T) {
	for want, m := range map[string]match{
		"ARGS:q":                   {variable: variables.Args, key: "q"},
		"ARGS:user.tags[0]-a_b":    {variable: variables.Args, key: "user.tags[0]-a_b"},
		"ARGS":                     {variable: variables.Args, key: "sk=live"},
		"ARGS_GET":                 {variable: variables.ArgsGet, key: strings.Repeat("x", 65)},
		"ARGS_NAMES":               {variable: variables.ArgsNames, key: "sk_live_1234"},
		"REQUEST_COOKIES_NAMES":    {variable: variables.RequestCookiesNames, key: "sk_live_1234"},
		"REQUEST_URI":              {variable: variables.RequestURI},
		"REQUEST_HEADERS:x-tenant": {variable: variables.RequestHeaders, key: "x-tenant"},
	} {
		if got := variable(m); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	limit := strings.Repeat("x", 64)
	if got := variable(match{variable: variables.Args, key: limit}); got != "ARGS:"+limit {
		t.Errorf("%q", got)
	}
}

func TestMessage(t *testing.T) {
	for raw, want := range map[string]string{
		`SecRule ARGS "@rx a" "id:1,msg:'Plain',deny"`:            "Plain",
		`SecRule ARGS "@rx a" "id:1,msg:'It\'s %{MATCHED_VAR}!'"`: "It's …!",
		`SecRule ARGS "@rx a" "id:1,msg:'cut %{MATCHED"`:          "cut ",
		`SecRule ARGS "@rx a" "id:1,msg:'cut\`:                    `cut\`,
		`SecRule ARGS "@rx a" "id:1,deny"`:                        "",
	} {
		if got := message(raw); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

// FuzzCall: whatever a stranger sends, it is refused or the backend gets exactly that, and no
// memory stays behind.
func FuzzCall(f *testing.F) {
	for _, a := range attacks {
		f.Add(a.target, a.contentType, a.body)
	}
	f.Add("/%zz?&&=;", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n\r\nc\r\n--x")
	f.Add("//a/../b?%", "application/json", `{"a":[[[[{"b":"`)
	f.Add("/", "text/xml; charset=utf-16", "<a><![CDATA[")
	c, memory := Default(), new(Memory)
	c.Mode, c.MaxBody = Block, 200
	fire, err := New(c, memory, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	gate := new(access.Gate)
	gate.Set(access.NewChain(access.Options{}, &access.ClientAddress{}, fire))
	f.Fuzz(func(t *testing.T, target, contentType, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.RequestURI = target
		r.Header.Set("Content-Type", contentType)
		out := httptest.NewRecorder()
		gate.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if got, err := io.ReadAll(r.Body); err != nil || string(got) != body {
				t.Errorf("the backend got %q of %q, %v", got, body, err)
			}
		})).ServeHTTP(out, r)
		if out.Code != 200 && out.Code != 403 {
			t.Errorf("status %d", out.Code)
		}
		if n := memory.held.Load(); n != 0 {
			t.Errorf("%d bytes are still held", n)
		}
	})
}
