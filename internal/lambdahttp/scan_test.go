package lambdahttp

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tapway/tapway/internal/lambdahttp/eventtest"

	"github.com/tapway/tapway/internal/jsonstring"
)

// member is one member of an object that keeps the order, as encoding/json reads it.
type member struct {
	name  string
	value any
}

// ordered reads one value by encoding/json's tokens.
func ordered(dec *json.Decoder) any {
	tok, _ := dec.Token()
	switch tok {
	case json.Delim('{'):
		out := []member{}
		for dec.More() {
			name, _ := dec.Token()
			out = append(out, member{name.(string), ordered(dec)})
		}
		dec.Token()
		return out
	case json.Delim('['):
		out := []any{}
		for dec.More() {
			out = append(out, ordered(dec))
		}
		dec.Token()
		return out
	}
	return tok
}

// reader takes an event out of what encoding/json has read. A wrong type makes it bad.
type reader struct{ bad bool }

func (r *reader) text(v any) string {
	s, ok := v.(string)
	r.bad = r.bad || !ok && v != nil
	return s
}

func (r *reader) object(v any) ([]member, bool) {
	m, ok := v.([]member)
	r.bad = r.bad || !ok && v != nil
	return m, ok
}

func (r *reader) pairs(v any) []pair {
	out := []pair{}
	members, _ := r.object(v)
	for _, m := range members {
		out = append(out, pair{m.name, r.text(m.value)})
	}
	return out
}

func (r *reader) lists(v any) ([]pair, bool) {
	out := []pair{}
	members, ok := r.object(v)
	for _, m := range members {
		for _, e := range r.list(m.value) {
			out = append(out, pair{m.name, r.text(e)})
		}
	}
	return out, ok
}

func (r *reader) list(v any) []any {
	l, ok := v.([]any)
	r.bad = r.bad || !ok && v != nil
	return l
}

func (r *reader) event(v any) (e event, body string) {
	members, ok := v.([]member)
	r.bad = !ok
	for _, m := range members {
		if len(e.names) < 8 {
			e.names = append(e.names, m.name)
		}
		switch m.name {
		case "version":
			e.version, _ = m.value.(string)
		case "httpMethod":
			e.httpMethod = r.text(m.value)
		case "path":
			e.path = r.text(m.value)
		case "resource":
			e.resource = r.text(m.value)
		case "rawPath":
			e.rawPath = r.text(m.value)
		case "rawQueryString":
			e.rawQuery = r.text(m.value)
		case "headers":
			e.headers = r.pairs(m.value)
		case "multiValueHeaders":
			e.multiHeaders, e.hasMultiHeaders = r.lists(m.value)
		case "queryStringParameters":
			e.query = r.pairs(m.value)
		case "multiValueQueryStringParameters":
			e.multiQuery, e.hasMultiQuery = r.lists(m.value)
		case "pathParameters":
			e.pathParams = r.pairs(m.value)
		case "cookies":
			e.cookies = []pair{}
			for _, c := range r.list(m.value) {
				e.cookies = append(e.cookies, pair{value: r.text(c)})
			}
		case "body":
			body = r.text(m.value)
		case "isBase64Encoded":
			b, ok := m.value.(bool)
			r.bad = r.bad || !ok && m.value != nil
			e.base64 = b
		case "requestContext":
			e.context = r.context(m.value)
		}
	}
	return e, body
}

func (r *reader) context(v any) (c requestContext) {
	members, ok := r.object(v)
	c.present = ok
	for _, m := range members {
		for name, to := range map[string]*string{"apiId": &c.apiID, "stage": &c.stage, "requestId": &c.requestID, "domainName": &c.domain, "accountId": &c.account,
			"resourceId": &c.resourceID, "path": &c.path, "protocol": &c.protocol, "connectionId": &c.connectionID} {
			if m.name == name {
				*to = r.text(m.value)
			}
		}
		var inner map[string]*string
		switch m.name {
		case "elb":
			inner = map[string]*string{"targetGroupArn": &c.targetGroup}
		case "identity":
			inner = map[string]*string{"sourceIp": &c.sourceIP, "vpcId": &c.vpc, "vpceId": &c.vpcEndpoint}
		case "authentication":
			inner = map[string]*string{}
		case "http":
			inner = map[string]*string{"method": &c.method2, "path": &c.path2, "protocol": &c.protocol2, "sourceIp": &c.source2}
		default:
			continue
		}
		members, ok := r.object(m.value)
		switch m.name {
		case "elb":
			c.elb = ok
		case "http":
			c.http = ok
		}
		for _, m := range members {
			if to := inner[m.name]; to != nil {
				*to = r.text(m.value)
			}
			if m.name == "clientCert" && inner["method"] == nil && inner["targetGroupArn"] == nil {
				c.cert = r.cert(m.value)
			}
		}
	}
	return c
}

func (r *reader) cert(v any) (c clientCert) {
	members, _ := r.object(v)
	for _, m := range members {
		to := map[string]*string{"clientCertPem": &c.pem, "subjectDN": &c.subject, "issuerDN": &c.issuer, "serialNumber": &c.serial}[m.name]
		if to != nil {
			*to = r.text(m.value)
		}
		if m.name != "validity" {
			continue
		}
		validity, _ := r.object(m.value)
		for _, m := range validity {
			if to := map[string]*string{"notBefore": &c.notBefore, "notAfter": &c.notAfter}[m.name]; to != nil {
				*to = r.text(m.value)
			}
		}
	}
	return c
}

// FuzzParse holds the scanner against encoding/json: the same texts are accepted, and the same
// is read from them.
func FuzzParse(f *testing.F) {
	for _, r := range requests {
		for _, front := range eventtest.Fronts {
			if event, err := front.Event(r); err == nil {
				f.Add(event)
			}
		}
	}
	golden, _ := filepath.Glob("testdata/*.event.json")
	for _, name := range golden {
		event, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(event)
	}
	for _, s := range []string{
		``, `{`, `{}`, ` { } `, `{}x`, `[]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":[1,]}`, `{"a":tru}`, `{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":1e}`, `{"a":-0.5E+7}`,
		`{"body":"\ud83d\ude00\ud800\ud800\udc00x\uDC00"}`, `{"body":"\u12"}`, `{"body":"\x"}`, "{\"body\":\"a\x01\"}", "{\"body\":\"\xff\xc3\"}", `{"body":"\"\\\/\b\f\n\r\t"}`, `{"body":5}`,
		`{"\u0062ody":"x"}`, `{"headers":null,"multiValueHeaders":{"a":null,"b":[null,"c"]}}`, `{"headers":{"a":1}}`, `{"headers":[]}`, `{"cookies":["a",null]}`, `{"cookies":{}}`,
		`{"version":2.0}`, `{"requestContext":{"elb":null}}`, `{"requestContext":{"http":{"method":"GET"}},"requestContext":null}`, `{"headers":{"a":"1"},"headers":{"b":"2"}}`,
		`{"requestContext":{"identity":{"clientCert":{"clientCertPem":"a","validity":null}},"authentication":{"clientCert":null}}}`, `{"requestContext":{"authentication":null}}`,
		`{"requestContext":{"authentication":{"clientCert":{"clientCertPem":null,"subjectDN":"s","issuerDN":"i","serialNumber":"1","validity":{"notBefore":"b","notAfter":"a"}}}}}`,
		`{"requestContext":{"identity":{"clientCert":{"clientCertPem":5}}}}`, `{"requestContext":{"authentication":{"clientCert":[]}}}`,
		`{"isBase64Encoded":"true"}`, `{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, "{\"a\":\"\x7f\"}", `{"a":"` + "\u2028" + `"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got event
		err := got.parse(data)
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		if !json.Valid(data) {
			if err == nil {
				t.Fatal("accepted what is not JSON")
			}
			return
		}
		var r reader
		want, body := r.event(ordered(dec))
		if r.bad != (err != nil) {
			t.Fatalf("error %v, but a wrong type: %v", err, r.bad)
		}
		if err != nil {
			return
		}
		if text := string(got.body); text != body {
			t.Fatalf("body %q, want %q", text, body)
		}
		if len(got.multiHeaders) > 0 {
			want.headers = nil // nobody reads them
		}
		got.names = slices.Clone(got.names)
		got.body, got.ascii, got.single, got.nameRoom = nil, false, 0, [len(got.nameRoom)]string{}
		for _, e := range []*event{&got, &want} { // nil and empty are the same here
			for _, p := range []*[]pair{&e.headers, &e.multiHeaders, &e.query, &e.multiQuery, &e.cookies, &e.pathParams} {
				*p = slices.Clip(append([]pair{}, *p...))
			}
			e.headerRoom = [len(e.headerRoom)]pair{}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("read\n%+v\nwant\n%+v", got, want)
		}
	})
}

// Nesting is bounded as in encoding/json.
func TestDepth(t *testing.T) {
	for _, depth := range []int{1, maxDepth - 2, maxDepth - 1, maxDepth, maxDepth + 1} {
		data := []byte(`{"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`)
		var e event
		if err := e.parse(data); (err == nil) != json.Valid(data) {
			t.Errorf("%d: %v", depth, err)
		}
	}
}

// FuzzText holds the encoder of strings against encoding/json, but for what is no UTF-8.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "é\u2028😀", "\xff", "a\xc3", "\xed\xa0\x80", "<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := appendText(nil, s)
		var back string
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		want := []byte(s)
		if !utf8.ValidString(s) {
			want = nil
			for i := range len(s) {
				want = utf8.AppendRune(want, rune(s[i]))
			}
		}
		if back != string(want) {
			t.Fatalf("%q came back as %q", want, back)
		}
		if string(want) == s && len(out) != jsonstring.EscapedLen([]byte(s))+2 {
			t.Fatalf("%q has %d bytes, not %d", out, len(out), jsonstring.EscapedLen([]byte(s))+2)
		}
	})
}

func TestVaried(t *testing.T) {
	seen := map[string]bool{}
	for i := range 512 {
		v := varied("Set-Cookie", i)
		if seen[v] || !strings.EqualFold(v, "Set-Cookie") {
			t.Fatalf("%d: %q", i, v)
		}
		seen[v] = true
	}
	if len(slices.Collect(maps.Keys(seen))) != 512 {
		t.Error(len(seen))
	}
}
