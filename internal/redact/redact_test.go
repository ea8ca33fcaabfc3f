package redact

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/tapway/tapway"
)

const multi = "multipart/form-data; boundary=b"

func parts(lines ...string) string { return strings.Join(lines, "\r\n") }

const sameBody, withheldBody = "same", "withheld"

// bodyCases say what becomes of a body: the same, changed into something, or withheld.
var bodyCases = []struct {
	name, contentType, coding, body string
	truncated                       bool
	want                            string
}{
	{name: "JSON", contentType: "application/json", body: `{"password":"x"}`, want: `{"password":"[REDACTED]"}`},
	{name: "JSON without the name", contentType: "application/json", body: `{"passwords":"x"}`, want: sameBody},
	{name: "a vendor's JSON", contentType: "application/vnd.api+json; v=1", body: `{"password":"x"}`, want: `{"password":"[REDACTED]"}`},
	{name: "NDJSON", contentType: "application/x-ndjson", body: "{\"a\":1}\n{\"password\":\"x\"}\n", want: "{\"a\":1}\n{\"password\":\"[REDACTED]\"}\n"},
	{name: "JSON without a type", body: `  [{"password":"x"}]`, want: `  [{"password":"[REDACTED]"}]`},
	{name: "JSON as text", contentType: "text/plain", body: "\ufeff{\"password\":\"x\"}", want: "\ufeff{\"password\":\"[REDACTED]\"}"},
	{name: "JSON as an image", contentType: "image/png", body: `{"password":"x"}`, want: `{"password":"[REDACTED]"}`},
	{name: "HTML", contentType: "text/html", body: `<p>password: x`, want: sameBody},
	{name: "text that begins like JSON", contentType: "text/plain", body: `[INFO] password: x`, want: withheldBody},
	{name: "text that begins like JSON, without the name", contentType: "text/plain", body: `[INFO] hello`, want: sameBody},
	{name: "broken JSON with the name", contentType: "application/json", body: `{"password":"x"`, want: withheldBody},
	{name: "broken JSON without", contentType: "application/json", body: `{"passwor":"x"`, want: sameBody},
	{name: "broken JSON, name in another quote", contentType: "application/json", body: `{'password':'x'}`, want: withheldBody},
	{name: "broken JSON, name without quotes", contentType: "application/json", body: `{password:1}`, want: withheldBody},
	{name: "broken JSON, name escaped", contentType: "application/json", body: `{"pass\u0077ord":"x"`, want: withheldBody},
	{name: "broken JSON, other letters escaped", contentType: "application/json", body: `{"\u00e9":"x"`, want: sameBody},
	{name: "broken JSON, half an escape", contentType: "application/json", body: `{"pass\u00`, want: withheldBody},
	{name: "truncated JSON with the name", contentType: "application/json", body: `{"a":"b","password":"x`, truncated: true, want: `{"a":"b","password":"[REDACTED]`},
	{name: "truncated JSON that looks whole", contentType: "application/json", body: `{"password":"x"}`, truncated: true, want: `{"password":"[REDACTED]"}`},
	{name: "truncated JSON that is broken before", contentType: "application/json", body: `{"password":"x"},"a":"b`, truncated: true, want: withheldBody},
	{name: "truncated JSON in JSON", contentType: "application/json", body: `{"a":"{\"password\":\"x`, truncated: true, want: `{"a":"[REDACTED]`},
	{name: "truncated JSON, an object in what goes", contentType: "application/json", body: `[{"a":1},{"password":{"b":["x`, truncated: true, want: `[{"a":1},{"password":"[REDACTED]`},
	{name: "truncated JSON, a number", contentType: "application/json", body: `{"password":12`, truncated: true, want: `{"password":"[REDACTED]"`},
	{name: "truncated gzip", contentType: "application/json", coding: "gzip", body: `{"password":"x"}`, truncated: true, want: `{"password":"[REDACTED]"}`},
	{name: "truncated JSON without", contentType: "application/json", body: `{"a":"x`, truncated: true, want: sameBody},
	{name: "truncated in the name", contentType: "application/json", body: `{"a":"x","passwo`, truncated: true, want: sameBody},
	{name: "a charset that writes ASCII as it is", contentType: `application/json; v=1; Charset="ISO-8859-15"`, body: `{"password":"x"}`, want: `{"password":"[REDACTED]"}`},
	{name: "JSON in UTF-7", contentType: "application/json; charset=utf-7", body: `{"+AHA-assword":"x"}`, want: withheldBody},
	{name: "JSON as text in UTF-7", contentType: "text/plain;charset=UTF-7", body: `{"+AHA-assword":"x"}`, want: withheldBody},
	{name: "JSON in EBCDIC", contentType: "application/json; charset=ibm037", body: "\xc0\x7f\x97\x81\x7f\x7a\xf1\xd0", want: withheldBody},
	{name: "form in EBCDIC", contentType: "application/x-www-form-urlencoded; charset=\"IBM500\"", body: "\x97\x81\xa2\xa2\x7e\xf1", want: withheldBody},
	{name: "form in UTF-16", contentType: "application/x-www-form-urlencoded; charset=utf-16", body: "p\x00=\x001\x00", want: withheldBody},
	{name: "text in UTF-7", contentType: "text/plain; charset=utf-7", body: "password: x", want: withheldBody},
	{name: "a stylesheet in UTF-7", contentType: "text/css; charset=utf-7", body: "password: x", want: sameBody},
	{name: "JSON as text in UTF-16, big end first", contentType: "text/plain", body: "\xfe\xff\x00{\x00}", want: withheldBody},
	{name: "a frame of gRPC", contentType: "application/grpc", body: "\x00\x00\x00\x00{\x0a\x79", want: sameBody},
	{name: "compressed JSON without a coding", contentType: "application/json", body: "\x1f\x8b\x08\x00abc", want: withheldBody},
	{name: "multipart in multipart", contentType: multi, body: parts("--b", "Content-Type: multipart/mixed; boundary=c", "", "--c", `Content-Disposition: form-data; name="password"`, "", "x", "--c--", "--b--"),
		want: parts("--b", "Content-Type: multipart/mixed; boundary=c", "", "--c", `Content-Disposition: form-data; name="password"`, "", "[REDACTED]", "--c--", "--b--")},
	{name: "requests in multipart", contentType: "multipart/mixed; boundary=b", body: parts("--b", "Content-Type: application/http", "", "GET /?password=x HTTP/1.1", "", "", "--b", "Content-Type: application/http", "", "GET / HTTP/1.1", "", "", "--b--"),
		want: parts("--b", "Content-Type: application/http", "", "[REDACTED]", "--b", "Content-Type: application/http", "", "GET / HTTP/1.1", "", "", "--b--")},
	{name: "form in multipart", contentType: "multipart/mixed; boundary=b", body: parts("--b", "Content-Type: application/x-www-form-urlencoded", "", "a=1&password=x", "--b--"), want: parts("--b", "Content-Type: application/x-www-form-urlencoded", "", "a=1&password=[REDACTED]", "--b--")},
	{name: "UTF-16", contentType: "application/json", body: "{\x00\"\x00a\x00\"\x00:\x001\x00}\x00", want: withheldBody},
	{name: "events", contentType: "text/event-stream", body: "event: password\nid: 1\ndata: {\"password\":\"x\"}\n\ndata:{\"a\":1}\n\ndata: [DONE]\n\n", want: "event: password\nid: 1\ndata: {\"password\":\"[REDACTED]\"}\n\ndata:{\"a\":1}\n\ndata: [DONE]\n\n"},
	{name: "an event of several lines", contentType: "text/event-stream", body: "data: {\r\ndata: \"password\": {\r\ndata:  },\r\ndata: \"a\":1}\r\n\r\ndata: x\r\n\r\n", want: "data: {\ndata: \"password\": \"[REDACTED]\",\ndata: \"a\":1}\r\n\r\ndata: x\r\n\r\n"},
	{name: "events of words", contentType: "text/event-stream", body: "data: your password please\n\n", want: sameBody},
	{name: "events of another form", contentType: "text/event-stream", body: "data: {}\n\ndata: password=x\n\ndata: y\n\n", want: "data: {}\n\ndata: [REDACTED]"},
	{name: "a broken event", contentType: "text/event-stream", body: "data: {\"password\":\n\ndata: \"x\"}\n\n", want: "data: [REDACTED]"},
	{name: "an event with a line in it that is none of its", contentType: "text/event-stream", body: "data: {\"password\":\nx: y\ndata\ndata: \"x\"}\n\n", want: "data: {\"password\":\ndata: \ndata: \"[REDACTED]\"}\n\n"},
	{name: "a broken event without the name", contentType: "text/event-stream", body: "data: {\"password\":1}\n\ndata: {\"a\":\n\n", want: "data: {\"password\":\"[REDACTED]\"}\n\ndata: {\"a\":\n\n"},
	{name: "lines that are no events", contentType: "text/event-stream", body: "password: x\n\n", want: withheldBody},
	{name: "truncated events", contentType: "text/event-stream", body: "data: {\"password\":1}\n\nda", truncated: true, want: "data: {\"password\":\"[REDACTED]\"}\n\nda"},
	{name: "truncated in an event", contentType: "text/event-stream", body: "data: {\"a\":1}\n\ndata: {\"password\":\"x", truncated: true, want: "data: {\"a\":1}\n\ndata: [REDACTED]"},
	{name: "truncated events without the name", contentType: "text/event-stream", body: "data: {\"a\":1}\n\nda", truncated: true, want: sameBody},
	{name: "form", contentType: "application/x-www-form-urlencoded", body: "a=1&password=x", want: "a=1&password=[REDACTED]"},
	{name: "form with a name that cannot be read", contentType: "application/x-www-form-urlencoded", body: "a=1&p%zz=x", want: withheldBody},
	{name: "form with a value that cannot be read", contentType: "application/x-www-form-urlencoded", body: "a=%zz", want: sameBody},
	{name: "truncated form with the name", contentType: "application/x-www-form-urlencoded", body: "a=1&password=x", truncated: true, want: "a=1&password=[REDACTED]"},
	{name: "truncated form without", contentType: "application/x-www-form-urlencoded", body: "a=1&passwo", truncated: true, want: sameBody},
	{name: "multipart", contentType: multi,
		body: parts("--b", `Content-Disposition: form-data; name="user"`, "", "me", "--b", `content-disposition: form-data; name="Password"`, "", "x", "y", "--b--", ""),
		want: parts("--b", `Content-Disposition: form-data; name="user"`, "", "me", "--b", `content-disposition: form-data; name="Password"`, "", "[REDACTED]", "--b--", "")},
	{name: "multipart with LF, a file and composed names", contentType: multi,
		body: "pre\n--b \nContent-Disposition: form-data;\n name=\"u[password]\"; filename=\"a.bin\"\nContent-Type: image/png\n\n\x00\x01--b\n--bc\n\n--b--",
		want: "pre\n--b \nContent-Disposition: form-data;\n name=\"u[password]\"; filename=\"a.bin\"\nContent-Type: image/png\n\n[REDACTED]\n--b--"},
	{name: "multipart names by other spellings", contentType: multi,
		body: parts("--b", `Content-Disposition: form-data; name="pass\word"`, "", "x", "--b", `Content-Disposition: form-data; name*=utf-8''pass%77ord`, "", "y", "--b", `Content-Disposition: form-data; name=password`, "", "z", "--b--"),
		want: parts("--b", `Content-Disposition: form-data; name="pass\word"`, "", "[REDACTED]", "--b", `Content-Disposition: form-data; name*=utf-8''pass%77ord`, "", "[REDACTED]", "--b", `Content-Disposition: form-data; name=password`, "", "[REDACTED]", "--b--")},
	{name: "multipart with a JSON part", contentType: "multipart/related; boundary=b",
		body: parts("--b", "Content-Type: application/json", "", `{"password":1}`, "--b", "", `{"password":2}`, "--b--"),
		want: parts("--b", "Content-Type: application/json", "", `{"password":"[REDACTED]"}`, "--b", "", `{"password":"[REDACTED]"}`, "--b--")},
	{name: "multipart with broken JSON", contentType: multi, body: parts("--b", "Content-Type: application/json", "", `{"password":`, "--b--"), want: parts("--b", "Content-Type: application/json", "", `[REDACTED]`, "--b--")},
	{name: "multipart with a coded JSON part", contentType: multi, body: parts("--b", "Content-Type: application/json", "Content-Transfer-Encoding: base64", "", `eyJwYXNzd29yZCI6MX0=`, "--b--"), want: parts("--b", "Content-Type: application/json", "Content-Transfer-Encoding: base64", "", "[REDACTED]", "--b--")},
	{name: "multipart with a coded JSON part without the name", contentType: multi, body: parts("--b", "Content-Type: application/json", "Content-Transfer-Encoding: base64", "", `eyJwYXNzd29yIjoxfQ==`, "--b--"), want: sameBody},
	{name: "multipart with an XML part", contentType: multi, body: parts("--b", "Content-Type: application/xop+xml", "", `<password>x</password>`, "--b--"), want: parts("--b", "Content-Type: application/xop+xml", "", `<password>[REDACTED]</password>`, "--b--")},
	{name: "multipart without the name", contentType: multi, body: parts("--b", `Content-Disposition: form-data; name="a"`, "", "x", "--b--"), want: sameBody},
	{name: "multipart without a boundary", contentType: "multipart/form-data", body: "--b", want: withheldBody},
	{name: "multipart with another boundary", contentType: multi, body: parts("--c", `Content-Disposition: form-data; name="password"`, "", "x", "--c--"), want: withheldBody},
	{name: "multipart, a head that cannot be read", contentType: multi, body: parts("--b", `Content-Disposition: form-data; name="password`, "", "x", "--b--"), want: withheldBody},
	{name: "multipart, a head that cannot be read, without the name", contentType: multi, body: parts("--b", `Content-Disposition: form-data; name=file; filename=a b.png`, "", "x", "--b--"), want: sameBody},
	{name: "multipart with a file's name as browsers write it", contentType: multi, body: parts("--b", `Content-Disposition: form-data; name="файл"; filename="C:\a %22é%22.pdf"`, "", "x", "--b--"), want: sameBody},
	{name: "truncated multipart with the name", contentType: multi, body: parts("--b", `Content-Disposition: form-data; name="password"`, "", "x"), truncated: true, want: parts("--b", `Content-Disposition: form-data; name="password"`, "", "[REDACTED]")},
	{name: "truncated multipart without", contentType: multi, body: parts("--b", `Content-Disposition: form-data; name="a"`, "", "x"), truncated: true, want: sameBody},
	{name: "truncated in a head with the name", contentType: multi, body: parts("--b", `Content-Disposition: form-data; name="password"`), truncated: true, want: withheldBody},
	{name: "truncated in a head without", contentType: multi, body: parts("--b", `Content-Disposition: form-data; na`), truncated: true, want: sameBody},
	{name: "gzip", contentType: "application/json", coding: "gzip", body: `{"password":"x"}`, want: `{"password":"[REDACTED]"}`},
	{name: "br", coding: "br", body: `{"password":"x"}`, want: `{"password":"[REDACTED]"}`},
	{name: "zstd form", contentType: "application/x-www-form-urlencoded", coding: "zstd", body: `password=x`, want: `password=[REDACTED]`},
	{name: "deflate without the name", contentType: "application/json", coding: "deflate", body: `{"a":"x"}`, want: sameBody},
	{name: "unknown coding", contentType: "application/json", coding: "compress", body: `{"a":"x"}`, want: withheldBody},
	{name: "multipart with a name before the first part", contentType: multi, body: parts("password=x", "--b", `Content-Disposition: form-data; name="a"`, "", "x", "--b--"), want: withheldBody},
	{name: "multipart with a name behind the last part", contentType: multi, body: parts("--b", `Content-Disposition: form-data; name="a"`, "", "x", "--b--", "password=x"), want: withheldBody},
	{name: "multipart with something behind the last part", contentType: multi, body: parts("--b", `Content-Disposition: form-data; name="a"`, "", "x", "--b--", "end"), want: sameBody},
	{name: "multipart, an endless head with the name", contentType: multi, body: parts("--b", "A: b"+strings.Repeat("\r\n c", maxHead), `Content-Disposition: form-data; name="password"`, "", "x", "--b--"), want: withheldBody},
	{name: "multipart, an endless head without", contentType: multi, body: parts("--b", "A: b"+strings.Repeat("\r\n c", maxHead), "", "x", "--b--"), want: sameBody},
	{name: "unknown coding, no type", coding: "compress", body: "a", want: withheldBody},
	{name: "unknown coding of an image", contentType: "image/png", coding: "compress", body: "a", want: sameBody},
	{name: "too large", contentType: "application/json", coding: "gzip", body: `"` + strings.Repeat("a", 1<<16) + `"`, want: withheldBody},
	{name: "as large as allowed", contentType: "application/json", coding: "gzip", body: `"` + strings.Repeat("a", 1<<16-2) + `"`, want: sameBody},
	{name: "too large for a rule that does not concern it", contentType: "text/css", coding: "gzip", body: strings.Repeat("a", 1<<17), want: sameBody},
	{name: "empty", contentType: "application/json", coding: "gzip", body: "", want: sameBody},
}

func TestBodies(t *testing.T) {
	rules := Rules{JSON: []string{"$..password"}, Form: []string{"password"}, MaxDecoded: 1 << 16}
	for _, c := range bodyCases {
		t.Run(c.name, func(t *testing.T) {
			r := newRedactor(t, rules)
			passed := compress(t, c.coding, []byte(c.body))
			if c.body == "" {
				passed = nil
			}
			before := bytes.Clone(passed)
			ex := exchange(c.contentType, c.coding, string(passed))
			// The response is the same body: both directions are treated alike.
			ex.ResponseHeader = append(ex.ResponseHeader, ex.RequestHeader...)
			ex.Response = tapway.Body{Bytes: passed, Size: int64(len(passed)), Truncated: c.truncated}
			ex.Request.Truncated = c.truncated
			r.Apply(ex)
			if !bytes.Equal(passed, before) {
				t.Fatal("the captured bytes were written to")
			}
			for _, b := range []tapway.Body{ex.Request, ex.Response} {
				var want tapway.Body
				switch c.want {
				case sameBody:
					want = tapway.Body{Bytes: passed}
				case withheldBody:
					want = tapway.Body{Withheld: true}
				default:
					want = tapway.Body{Bytes: []byte(c.want), Decoded: c.coding != ""}
				}
				want.Size, want.Truncated = int64(len(passed)), c.truncated
				if c.want != sameBody {
					want.Sum, want.Summed = sha256.Sum256(passed), true
				}
				if !bytes.Equal(b.Bytes, want.Bytes) {
					t.Fatalf("bytes %q, withheld %v; want %q", b.Bytes, b.Withheld, want.Bytes)
				}
				b.Bytes, want.Bytes = nil, nil
				if !reflect.DeepEqual(b, want) {
					t.Fatalf("body %+v, want %+v", b, want)
				}
			}
		})
	}
}

// A body cut short or damaged within its coding cannot be read to its end: it is withheld
// unless what can be read shows that no rule concerns it.
func TestCutCodings(t *testing.T) {
	r := newRedactor(t, Rules{JSON: []string{"$..password"}})
	for _, coding := range []string{"gzip", "deflate", "br", "zstd"} {
		for contentType, want := range map[string]bool{"application/json": true, "": true, "text/plain": true, "image/png": true} {
			whole := compress(t, coding, []byte(`{"a":"`+strings.Repeat("x", 500)+`"}`))
			ex := exchange(contentType, coding, string(whole[:len(whole)-1]))
			r.Apply(ex)
			if coding == "zstd" && contentType == "image/png" {
				want = false // nothing of it can be read, and the type is trusted
			}
			if ex.Request.Withheld != want {
				t.Errorf("JSON, %s, type %q: withheld %v", coding, contentType, ex.Request.Withheld)
			}
		}
		whole := compress(t, coding, []byte(strings.Repeat("words of no concern ", 20_000)))
		ex := exchange("text/css", coding, string(whole[:len(whole)-1]))
		ex.Request.Truncated = true
		r.Apply(ex)
		if ex.Request.Withheld || len(ex.Request.Bytes) != len(whole)-1 || ex.Request.Decoded {
			t.Errorf("text, %s: withheld %v", coding, ex.Request.Withheld)
		}
	}
	// Form rules go by the type alone: what cannot be decoded is none of their business.
	ex := exchange("application/json", "compress", "x")
	newRedactor(t, Rules{Form: []string{"password"}}).Apply(ex)
	if ex.Request.Withheld {
		t.Error("form rules withhold JSON of an unknown coding")
	}
}

func TestBodiesWithoutRules(t *testing.T) {
	for name, c := range map[string]struct {
		rules             Rules
		contentType, body string
	}{
		"form rules, JSON body":  {Rules{Form: []string{"password"}}, "application/json", `{"password":`},
		"JSON rules, form body":  {Rules{JSON: []string{"$..password"}}, "application/x-www-form-urlencoded", `password=x&%zz=1`},
		"header rules only":      {Rules{Headers: []string{"A"}}, "application/json", `{"password":`},
		"no rules":               {Rules{}, "multipart/form-data", `{"password":`},
		"form rules, event body": {Rules{Form: []string{"password"}}, "text/event-stream", "data: {\"password\":\n"},
	} {
		ex := exchange(c.contentType, "", c.body)
		newRedactor(t, c.rules).Apply(ex)
		if string(ex.Request.Bytes) != c.body || ex.Request.Withheld || ex.Request.Summed {
			t.Errorf("%s: %+v", name, ex.Request)
		}
	}
	ex := exchange("application/json", "compress", "x")
	ex.Request.Bytes, ex.Request.Decoded = []byte(`{"password":1}`), true
	newRedactor(t, Defaults()).Apply(ex)
	if got := string(ex.Request.Bytes); got != `{"password":"[REDACTED]"}` {
		t.Errorf("a body that is decoded already: %q", got)
	}
	ex = exchange("application/json", "", "")
	ex.Request = tapway.Body{Size: 9, Withheld: true}
	newRedactor(t, Defaults()).Apply(ex)
	if !reflect.DeepEqual(ex.Request, tapway.Body{Size: 9, Withheld: true}) {
		t.Errorf("a body that is withheld already: %+v", ex.Request)
	}
	sum := sha256.Sum256([]byte("all of it"))
	ex = exchange("application/json", "", `{"password":1`)
	ex.Request.Truncated, ex.Request.Summed, ex.Request.Sum = true, true, sum
	newRedactor(t, Defaults()).Apply(ex)
	if !ex.Request.Summed || ex.Request.Sum != sum {
		t.Errorf("the capture's own sum is lost: %+v", ex.Request)
	}
}

// With a key, one value has one token, wherever it stands and however it is spelled.
func TestTokens(t *testing.T) {
	rules := Rules{Headers: []string{"X-Key"}, Cookies: []string{"sid"}, Query: []string{"token"}, Path: []string{"id"}, Form: []string{"token"}, JSON: []string{"$..token"}, Key: "a key of thirty-two random bytes.."}
	r := newRedactor(t, rules)
	const value = "s3cret é/=x"
	mac := hmac.New(sha256.New, []byte(rules.Key.Reveal()))
	mac.Write([]byte(value))
	token := "[REDACTED:" + hex.EncodeToString(mac.Sum(nil)[:4]) + "]"

	const coded = "s3cret%20%C3%A9%2F%3Dx"
	ex := exchange("application/json", "", `{"token":"s3cret \u00e9\/=x","a":[{"token":"s3cret é/=x"}]}`)
	ex.Query, ex.Route, ex.Path = "token="+coded, "GET /{id}", "/"+coded
	ex.PathParams = []tapway.PathParam{{Name: "id", Value: coded}}
	ex.RequestHeader = append(ex.RequestHeader, fields("X-Key", value, "Cookie", "sid="+value, "Referer", "/?token="+strings.ReplaceAll(coded, "%20", "+"))...)
	ex.ResponseHeader = fields("Content-Type", "application/x-www-form-urlencoded")
	ex.Response.Bytes = []byte("token=" + coded)
	r.Apply(ex)
	for name, c := range map[string][2]string{
		"query":   {ex.Query, "token=" + token},
		"path":    {ex.Path, "/" + token},
		"header":  {ex.RequestHeader[1].Value, token},
		"cookie":  {ex.RequestHeader[2].Value, "sid=" + token},
		"referer": {ex.RequestHeader[3].Value, "/?token=" + token},
		"json":    {string(ex.Request.Bytes), `{"token":"` + token + `","a":[{"token":"` + token + `"}]}`},
		"form":    {string(ex.Response.Bytes), "token=" + token},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %s, want %s", name, c[0], c[1])
		}
	}
	other := rules
	other.Key = "another"
	if got := newRedactor(t, other).Query("token=" + coded); got == "token="+token || !strings.HasPrefix(got, "token=[REDACTED:") {
		t.Errorf("another key: %s", got)
	}
}

func TestMerge(t *testing.T) {
	a := Rules{Headers: []string{"Authorization"}, JSON: []string{"$.a"}, Query: []string{"x"}, Key: "k", MaxDecoded: 5}
	b := Rules{Headers: []string{"AUTHORIZATION", "X-Key"}, JSON: []string{"$.A", "$.a"}, Cookies: []string{"c"}, Path: []string{"p"}, Form: []string{"f"}}
	got := a.Merge(b)
	want := Rules{Headers: []string{"Authorization", "X-Key"}, JSON: []string{"$.a", "$.A"}, Query: []string{"x"}, Cookies: []string{"c"}, Path: []string{"p"}, Form: []string{"f"}, Key: "k", MaxDecoded: 5}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("merged %+v\nwant %+v", got, want)
	}
	if got := a.Merge(Rules{Key: "z", MaxDecoded: 7}); got.Key != "z" || got.MaxDecoded != 7 {
		t.Errorf("the second's key and limit do not count: %+v", got)
	}
	if len(a.Headers) != 1 || cap(Defaults().Merge(b).Headers) == 0 {
		t.Error("merging changed the rules it was given")
	}
}

func TestNewErrors(t *testing.T) {
	_, err := New(Rules{Headers: []string{"Ok", "Authorization:"}, Cookies: []string{"a b"}, Query: []string{""}, JSON: []string{"$.ok", "$.a[?@.b]"}, MaxDecoded: -1})
	for _, want := range []string{`headers[1] "Authorization:": column 14:`, `cookies[0] "a b": column 2:`, `query[0] "": column 1: an empty name`, `json[1] "$.a[?@.b]": column 5: filters`, "MaxDecoded -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\nlacks %q", err, want)
		}
	}
	var first *RuleError
	if !errors.As(err, &first) || *first != (RuleError{"headers", 1, "Authorization:", 14, `':' cannot stand in such a name`}) {
		t.Errorf("the first error is %+v", first)
	}
	if _, err := New(Defaults()); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

// The defaults must be searchable three bytes at a time: that is what their speed rests on.
func TestDefaultsAreSearchable(t *testing.T) {
	r := newRedactor(t, Defaults())
	if r.json.search.always || r.json.search.stride != 3 || r.json.search.exotic || len(r.json.states) != 0 {
		t.Errorf("stride %d, always %v, exotic %v, %d states", r.json.search.stride, r.json.search.always, r.json.search.exotic, len(r.json.states))
	}
}

func TestApplyConcurrently(t *testing.T) {
	rules := Defaults().Merge(Rules{JSON: []string{"$.list[-1]"}, Key: "k"})
	r := newRedactor(t, rules)
	doc := `{"list":[1,2,{"a":"b"}],"password":"x"}`
	want := exchange("application/json", "gzip", string(compress(t, "gzip", []byte(doc))))
	r.Apply(want)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				ex := exchange("application/json", "gzip", string(compress(t, "gzip", []byte(doc))))
				r.Apply(ex)
				if !bytes.Equal(ex.Request.Bytes, want.Request.Bytes) || ex.Request.Withheld {
					t.Errorf("%q, want %q", ex.Request.Bytes, want.Request.Bytes)
					return
				}
			}
		})
	}
	wg.Wait()
}
