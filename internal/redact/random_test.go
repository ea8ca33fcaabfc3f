package redact

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// document of any shape: secrets stand where a rule finds them, and nowhere else.
func anyJSON(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kinds := 8
		if depth == 0 {
			kinds = 6
		}
		switch rapid.IntRange(0, kinds).Draw(t, "kind") {
		case 0:
			return rapid.SampledFrom([]any{nil, true, -0.5, 1e300, 12}).Draw(t, "value")
		case 1, 2:
			return rapid.SampledFrom([]string{"", "plain", "token", "password", "/a/password", "a=b&c=d", "{not", "[INFO] x", `"q"`, "https://h/?a=b#c", "a@b.c", "mutation{a(b:\"c\")}", "x\ny\u2028\\", "é😀", "name: x", "{\"a\":1}"}).Draw(t, "text")
		case 3:
			return rapid.SampledFrom([]string{"https://h/?a=b&token=" + leak + "&c=d", "https://u:" + leak + "@h/", "a=b&password=" + leak, "x password=\"" + leak + "\" y", `{"password":"` + leak + `"}`,
				`{"a":"{\"password\":\"` + leak + `\"}"}`, `mutation { a(password: "` + leak + `") { b } }`, "/a#id_token=" + leak, "\"{\\\"token\\\":\\\"" + leak + "\\\"}\"", `{"password":"` + leak}).Draw(t, "hidden")
		case 4:
			return map[string]any{"a": 1, "password": leak, "Token": []any{leak, map[string]any{"b": leak}}}
		case 5:
			return map[string]any{rapid.SampledFrom([]string{"name", "Key", "header"}).Draw(t, "name"): "api_key", "value": leak, "other": "x"}
		case 6:
			return map[string]any{"op": "replace", "path": "/users/1/password", "value": rapid.SampledFrom([]any{leak, []any{leak}}).Draw(t, "value")}
		case 7:
			return rapid.SliceOfN(anyJSON(depth-1), 0, 4).Draw(t, "list")
		}
		return rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "name", "value", "path", "op", "message", "x y", "é"}), anyJSON(depth-1), 0, 4).Draw(t, "object")
	})
}

// TestAnyJSON: whatever a document looks like, no secret stays, it is JSON afterwards, a second time changes
// nothing, and cut anywhere it shows no beginning of one.
func TestAnyJSON(t *testing.T) {
	r := newRedactor(t, Defaults())
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(rapid.Bool().Draw(t, "escape"))
		if rapid.Bool().Draw(t, "indent") {
			enc.SetIndent("", "  ")
		}
		if err := enc.Encode(rapid.SliceOfN(anyJSON(4), 1, 6).Draw(t, "document")); err != nil {
			t.Fatal(err)
		}
		ex := exchange("application/json", "", b.String())
		r.Apply(ex)
		out := ex.Request.Bytes
		if ex.Request.Withheld || !json.Valid(out) || bytes.Contains(out, []byte(leak)) {
			t.Fatalf("withheld %v\n%s\n%s", ex.Request.Withheld, &b, out)
		}
		again := exchange("application/json", "", string(out))
		if r.Apply(again); !bytes.Equal(again.Request.Bytes, out) {
			t.Fatalf("once  %s\ntwice %s", out, again.Request.Bytes)
		}
		n := rapid.IntRange(0, b.Len()).Draw(t, "cut")
		half := exchange("application/json", "", b.String()[:n])
		half.Request.Truncated = true
		if r.Apply(half); bytes.Contains(half.Request.Bytes, []byte(leak[:6])) {
			t.Fatalf("cut at %d: %s\n%s", n, b.Bytes()[:n], half.Request.Bytes)
		}
	})
}
