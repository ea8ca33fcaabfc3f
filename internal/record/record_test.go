package record

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/record/recordtest"
)

var testID = tapway.ID{0x01, 0x93, 0x8f, 0x00, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}

// example is the exchange of the documentation.
func example() *tapway.Exchange {
	return &tapway.Exchange{
		Meta: tapway.Meta{
			ID:       testID,
			Time:     time.Date(2026, 11, 20, 10, 0, 0, 123456789, time.UTC),
			Duration: 12400 * time.Microsecond, Overhead: 200 * time.Microsecond, FirstByte: 9100 * time.Microsecond,
			Front: tapway.FrontREST, Origin: tapway.OriginBackend, Proto: "HTTP/1.1",
			From: "a1b2c3.execute-api.eu-west-1.amazonaws.com", Method: "POST", Path: "/api/v1/users",
			Query: "a=b&a=c", Route: "POST /api/v1/users", ClientIP: "203.0.113.7", Status: 201,
			TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", RequestSize: 34, ResponseSize: 30,
		},
		RequestHeader:  tapway.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "Authorization", Value: "[REDACTED]"}},
		ResponseHeader: tapway.Header{{Name: "Content-Type", Value: "application/json; charset=utf-8"}},
		Request:        body(`{"name": "morpheus", "job": "leader"}`),
		Response:       body(`{"name": "morpheus", "id": "573"}`),
		API:            &tapway.API{ID: "a1b2c3", Stage: "prod", RequestID: "r-1"},
		Fidelity:       []string{"query-order"},
	}
}

func body(s string) tapway.Body { return tapway.Body{Bytes: []byte(s), Size: int64(len(s))} }

func sumHex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestAppendExample(t *testing.T) {
	want := `{"from":"a1b2c3.execute-api.eu-west-1.amazonaws.com","endpoint":"/api/v1/users","method":"POST",` +
		`"body":{"name": "morpheus", "job": "leader"},` +
		`"request_headers":{"Authorization":"[REDACTED]","Content-Type":"application/json"},` +
		`"response":{"name": "morpheus", "id": "573"},"response_headers":{"Content-Type":"application/json; charset=utf-8"},` +
		`"status":201,"version":1,"id":"01938f00-0000-7000-8000-000000000001","time":"2026-11-20T10:00:00.123Z",` +
		`"duration_ms":12.4,"overhead_ms":0.2,"query":"a=b&a=c","client_ip":"203.0.113.7","front":"rest","origin":"backend",` +
		`"route":"POST /api/v1/users",` +
		`"body_info":{"encoding":"json","size":37,"sha256":"` + sumHex(`{"name": "morpheus", "job": "leader"}`) + `","truncated":false},` +
		`"response_info":{"encoding":"json","size":33,"sha256":"` + sumHex(`{"name": "morpheus", "id": "573"}`) + `","truncated":false,"first_byte_ms":9.1},` +
		`"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","api":{"id":"a1b2c3","stage":"prod","request_id":"r-1"},` +
		`"fidelity":["query-order"],"error":null,"connect_ms":0,"proto":"HTTP/1.1"}`
	got := Append(nil, example())
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	recordtest.Validate(t, got)
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestBodies(t *testing.T) {
	const jsonType, textType = "application/json", "text/plain"
	zipped := gzipped(`{"a":1}`)
	cases := []struct {
		name, kind, coding string
		body               tapway.Body
		encoding, value    string // value: what stands in the record
		decoded            any
		sum                string
	}{
		{"json", jsonType, "", body(`{"a":1}`), "json", `{"a":1}`, nil, sumHex(`{"a":1}`)},
		{"json without a type", "", "", body(`[1, 2]`), "json", `[1, 2]`, nil, sumHex(`[1, 2]`)},
		{"json under a text type", textType, "", body(`[1]`), "text", `"[1]"`, nil, sumHex(`[1]`)},
		{"a repeated type counts once", "application/json, text/plain", "", body(`[1]`), "json", `[1]`, nil, sumHex(`[1]`)},
		{"json scalar keeps its quotes", jsonType, "", body(`"x"`), "json", `"x"`, nil, sumHex(`"x"`)},
		{"json null is not the missing body", jsonType, "", body(`null`), "json", `null`, nil, sumHex(`null`)},
		{"line ends leave json", jsonType, "", body("{\r\n \"a\": [1,\n2]\n}\n"), "json", `{ "a": [1,2]}`, nil, sumHex("{\r\n \"a\": [1,\n2]\n}\n")},
		{"space around json", jsonType, "", body("\t [1] \n"), "json", `[1]`, nil, sumHex("\t [1] \n")},
		{"broken json is text", jsonType, "", body(`{"a":`), "text", `"{\"a\":"`, nil, sumHex(`{"a":`)},
		{"json with bad UTF-8", jsonType, "", body("\"\xff\""), "base64", `"Iv8i"`, nil, sumHex("\"\xff\"")},
		{"json behind a byte order mark", jsonType, "", body("\ufeff[1]"), "text", "\"\ufeff[1]\"", nil, sumHex("\ufeff[1]")},
		{"json as deep as may be", jsonType, "", body(nested(maxNesting)), "json", nested(maxNesting), nil, sumHex(nested(maxNesting))},
		{"json one too deep", jsonType, "", body(nested(maxNesting + 1)), "text", `"` + nested(maxNesting+1) + `"`, nil, sumHex(nested(maxNesting + 1))},
		{"brackets in strings do not nest", jsonType, "", body(`["` + strings.Repeat(`[\"`, 600) + `"]`), "json", `["` + strings.Repeat(`[\"`, 600) + `"]`, nil, sumHex(`["` + strings.Repeat(`[\"`, 600) + `"]`)},
		{"text", textType, "", body("a\"b\\c\n\r\t\x01é\u2028"), "text", `"a\"b\\c\n\r\t\u0001é` + "\u2028" + `"`, nil, sumHex("a\"b\\c\n\r\t\x01é\u2028")},
		{"text with NUL", textType, "", body("a\x00b"), "base64", `"YQBi"`, nil, sumHex("a\x00b")},
		{"latin-1 text", "text/plain; charset=iso-8859-1", "", body("\xe9"), "base64", `"6Q=="`, nil, sumHex("\xe9")},
		{"none", jsonType, "", tapway.Body{}, "none", `null`, nil, ""},
		{"none, but bytes passed", "", "", tapway.Body{Size: 9, Truncated: true}, "none", `null`, nil, ""},
		{"withheld", jsonType, "gzip", tapway.Body{Size: 9, Withheld: true, Summed: true, Sum: sha256.Sum256([]byte("x"))}, "withheld", `null`, nil, sumHex("x")},
		{"withheld without a sum", jsonType, "", tapway.Body{Size: 9, Withheld: true}, "withheld", `null`, nil, ""},
		{"gzip", jsonType, "gzip", body(zipped), "json", `{"a":1}`, true, sumHex(zipped)},
		{"identity", jsonType, "identity", body(`[1]`), "json", `[1]`, nil, sumHex(`[1]`)},
		{"broken gzip", jsonType, "gzip", body("oops"), "base64", `"b29wcw=="`, false, sumHex("oops")},
		{"unknown coding", jsonType, "zap", body("oops"), "base64", `"b29wcw=="`, false, sumHex("oops")},
		{"a coding that is no text", jsonType, "zap\x85", body("oops"), "base64", `"b29wcw=="`, false, sumHex("oops")},
		{"decoded by redaction", jsonType, "gzip", tapway.Body{Bytes: []byte(`{"a":"[REDACTED]"}`), Size: 40, Decoded: true, Summed: true, Sum: sha256.Sum256([]byte("y"))}, "json", `{"a":"[REDACTED]"}`, true, sumHex("y")},
		{"decoded without a sum", jsonType, "gzip", tapway.Body{Bytes: []byte(`[1]`), Size: 3, Decoded: true}, "json", `[1]`, true, ""},
		{"gzip of nothing", jsonType, "gzip", body(gzipped("")), "none", `null`, nil, sumHex(gzipped(""))},
		{"truncated json is text even if valid", jsonType, "", tapway.Body{Bytes: []byte("12"), Size: 3, Truncated: true, Summed: true, Sum: sha256.Sum256([]byte("123"))}, "text", `"12"`, nil, sumHex("123")},
		{"truncated in a character", textType, "", tapway.Body{Bytes: []byte("ab\xe2\x82"), Size: 9, Truncated: true}, "text", `"ab"`, nil, ""},
		{"truncated after a character", textType, "", tapway.Body{Bytes: []byte("ab€"), Size: 9, Truncated: true}, "text", `"ab€"`, nil, ""},
		{"truncated binary", textType, "", tapway.Body{Bytes: []byte("ab\xff"), Size: 9, Truncated: true}, "base64", `"YWL/"`, nil, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ex := example()
			ex.Request, ex.RequestHeader = tapway.Body{}, nil
			ex.Response, ex.ResponseHeader = c.body, nil
			if c.kind != "" {
				ex.ResponseHeader = append(ex.ResponseHeader, tapway.Field{Name: "Content-Type", Value: c.kind})
			}
			if c.coding != "" {
				ex.ResponseHeader = append(ex.ResponseHeader, tapway.Field{Name: "Content-Encoding", Value: c.coding})
			}
			rec := Append(nil, ex)
			recordtest.Validate(t, rec)
			var got struct {
				Response json.RawMessage
				Info     map[string]any `json:"response_info"`
			}
			if err := json.Unmarshal(rec, &got); err != nil {
				t.Fatal(err)
			}
			if string(got.Response) != c.value {
				t.Errorf("value %s, want %s", got.Response, c.value)
			}
			var sum any
			if c.sum != "" {
				sum = c.sum
			}
			for field, want := range map[string]any{"encoding": c.encoding, "sha256": sum, "size": float64(c.body.Size), "decoded": c.decoded} {
				if got.Info[field] != want {
					t.Errorf("%s is %v, want %v", field, got.Info[field], want)
				}
			}
			again(t, rec)
		})
	}
}

// again checks that a record survives being read: the same exchange makes the same record.
func again(t testing.TB, rec []byte) *tapway.Exchange {
	t.Helper()
	ex, err := Parse(rec)
	if err != nil {
		t.Fatalf("parse: %v\nrecord: %.2000s", err, rec)
	}
	if rec2 := Append(nil, ex); !bytes.Equal(rec, rec2) {
		at := 0
		for at < min(len(rec), len(rec2)) && rec[at] == rec2[at] {
			at++
		}
		from := max(at-100, 0)
		t.Errorf("the record changes when it is read, from byte %d:\n%q\n%q", at, rec[from:min(at+100, len(rec))], rec2[from:min(at+100, len(rec2))])
	}
	return ex
}

// Codings stand in several lines as well as in one.
func TestRepeatedCoding(t *testing.T) {
	twice := gzipped(gzipped(`{"a":1}`))
	ex := example()
	ex.Response = body(twice)
	ex.ResponseHeader = tapway.Header{{Name: "Content-Encoding", Value: "gzip"}, {Name: "Content-Encoding", Value: "gzip"}}
	rec := Append(nil, ex)
	recordtest.Validate(t, rec)
	for _, want := range []string{`"response":{"a":1},`, `"content_encoding":"gzip, gzip","decoded":true`} {
		if !bytes.Contains(rec, []byte(want)) {
			t.Errorf("no %s in %s", want, rec)
		}
	}
	again(t, rec)

	// Cut short, its beginning is still shown.
	text := gzipped(strings.Repeat("some text ", 1000))
	ex.ResponseHeader = tapway.Header{{Name: "Content-Encoding", Value: "gzip"}, {Name: "Content-Type", Value: "text/plain"}}
	ex.Response = tapway.Body{Bytes: []byte(text)[:len(text)-10], Size: int64(len(text)), Truncated: true}
	rec = Append(nil, ex)
	recordtest.Validate(t, rec)
	if !bytes.Contains(rec, []byte(`"response":"some text some`)) || !bytes.Contains(rec, []byte(`"truncated":true,"content_encoding":"gzip","decoded":true`)) {
		t.Errorf("%.300s", rec)
	}
	again(t, rec)
}

func TestHeaders(t *testing.T) {
	ex := example()
	ex.ResponseHeader = tapway.Header{
		{Name: "X-B", Value: "2"}, {Name: "Set-Cookie", Value: "a=1, 2"}, {Name: "X-A", Value: "\"caf\xe9\""},
		{Name: "X-B", Value: "1"}, {Name: "Set-Cookie", Value: "b=2"}, {Name: "X-C", Value: "é"},
	}
	ex.RequestTrailer = tapway.Header{{Name: "X-Sum", Value: "1"}}
	rec := Append(nil, ex)
	recordtest.Validate(t, rec)
	want := `"response_headers":{"Set-Cookie":"a=1, 2\nb=2","X-A":"\"café\"","X-B":"2, 1","X-C":"é"}`
	if !bytes.Contains(rec, []byte(want)) {
		t.Errorf("%s\nlacks %s", rec, want)
	}
	if !bytes.HasSuffix(rec, []byte(`,"request_trailers":{"X-Sum":"1"}}`)) {
		t.Errorf("the trailers are not last: %s", rec)
	}
	if got := again(t, rec); len(got.ResponseHeader) != 5 || got.ResponseHeader[1].Value != "b=2" {
		t.Errorf("read back: %v", got.ResponseHeader)
	}
}

// Header floods take the other way of sorting.
func TestManyHeaders(t *testing.T) {
	for _, n := range []int{63, 64, 65, 1000} {
		ex := example()
		ex.RequestHeader = nil
		for i := range n {
			ex.RequestHeader = append(ex.RequestHeader, tapway.Field{Name: fmt.Sprintf("X-%04d", i/2), Value: fmt.Sprint(i % 2)})
		}
		want := Append(nil, ex)
		recordtest.Validate(t, want)
		rand.Shuffle(n, func(i, j int) {
			h := ex.RequestHeader
			if h[i].Name != h[j].Name && h[i].Value == h[j].Value {
				h[i], h[j] = h[j], h[i]
			}
		})
		// Values of one name may have changed places: compare the names only.
		got := Append(nil, ex)
		if len(got) != len(want) || !bytes.Contains(got, []byte(`{"X-0000":`)) {
			t.Errorf("%d headers: %s", n, got)
		}
	}
}

func TestMinimal(t *testing.T) {
	rec := Append(nil, &tapway.Exchange{})
	recordtest.Validate(t, rec)
	for _, want := range []string{`"status":0`, `"front":"server"`, `"origin":"gateway"`, `"trace_id":null`, `"route":null`, `"client_ip":null`, `"fidelity":[]`, `"api":null`, `"sha256":null`, `"first_byte_ms":null`} {
		if !bytes.Contains(rec, []byte(want)) {
			t.Errorf("no %s in %s", want, rec)
		}
	}
	again(t, rec)
}

func TestAppendMillis(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-1: "0", 0: "0", 499: "0", 500: "0.001", 999_499: "0.999", 999_500: "1", 1_000_000: "1", 1_010_000: "1.01",
		1_234_567: "1.235", time.Hour: "3600000", 1<<63 - 1: "9223372036854.776",
	} {
		if got := string(appendMillis(nil, d)); got != want {
			t.Errorf("%d ns: %s, want %s", d, got, want)
		}
	}
}

func TestMessage(t *testing.T) {
	ex := example()
	rec := Append(nil, ex)
	framed := &tapway.Message{ID: testID, Seq: 7, Frame: tapway.AppendFrame(nil, ex)}
	recorded := &tapway.Message{ID: testID, Seq: 7, Record: rec}
	for name, m := range map[string]*tapway.Message{"frame": framed, "record": recorded} {
		got, err := FromMessage([]byte("x"), m)
		if err != nil || string(got) != "x"+string(rec) {
			t.Errorf("%s: %v %s", name, err, got)
		}
		back, err := Exchange(m)
		if err != nil || back.ID != testID || back.Query != ex.Query || string(back.Request.Bytes) != string(ex.Request.Bytes) {
			t.Errorf("%s: %v %+v", name, err, back)
		}
	}
	bad := &tapway.Message{ID: testID, Frame: framed.Frame[:20]}
	if _, err := FromMessage(nil, bad); !errors.Is(err, tapway.ErrFrame) {
		t.Errorf("FromMessage: %v", err)
	}
	if _, err := Exchange(bad); !errors.Is(err, tapway.ErrFrame) {
		t.Errorf("Exchange: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	good := string(Append(nil, example()))
	for name, c := range map[string][2]string{
		"version 2":         {`"version":1`, `"version":2`},
		"version as text":   {`"version":1`, `"version":"1"`},
		"no version":        {`"version":1,`, ``},
		"status as text":    {`"status":201`, `"status":"201"`},
		"negative status":   {`"status":201`, `"status":-1`},
		"id":                {`01938f00-`, `x1938f00-`},
		"time":              {`2026-11-20T`, `2026-11-20 `},
		"duration":          {`"duration_ms":12.4`, `"duration_ms":-12.4`},
		"headers":           {`"request_headers":{`, `"request_headers":[],"x":{`},
		"header value":      {`"[REDACTED]"`, `["[REDACTED]"]`},
		"encoding":          {`"encoding":"json"`, `"encoding":"xml"`},
		"text not a string": {`"encoding":"json"`, `"encoding":"text"`},
		"sha256":            {`"sha256":"`, `"sha256":"0`},
		"no info":           {`"body_info"`, `"info"`},
		"fidelity":          {`["query-order"]`, `[1]`},
		"not UTF-8":         {`POST`, "\xff"},
		"cut":               {`"proto":"HTTP/1.1"}`, `"proto":"HTTP/1.1"`},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, c[0], c[1], 1)
			if bad == good {
				t.Fatal("the case changes nothing")
			}
			if ex, err := Parse([]byte(bad)); !errors.Is(err, ErrRecord) {
				t.Errorf("%v %v", ex, err)
			}
		})
	}
	for _, bad := range []string{"", "null", "[]", "1", nested(100_000)} {
		if _, err := Parse([]byte(bad)); !errors.Is(err, ErrRecord) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func TestParseTakesUnknownFields(t *testing.T) {
	rec := strings.Replace(string(Append(nil, example())), `{"from"`, `{"later":{"x":[1]},"from"`, 1)
	if ex, err := Parse([]byte(rec)); err != nil || ex.Status != 201 {
		t.Errorf("%v %v", ex, err)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10} {
		ex := benchExchange(size)
		frame := tapway.AppendFrame(nil, ex)
		dst := make([]byte, 0, 64<<10)
		b.Run(fmt.Sprintf("exchange/2x%dKiB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = Append(dst[:0], ex)
			}
		})
		b.Run(fmt.Sprintf("frame/2x%dKiB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			m := tapway.Message{Frame: frame}
			for b.Loop() {
				dst, _ = FromMessage(dst[:0], &m)
			}
		})
		b.Run(fmt.Sprintf("summed, text/2x%dKiB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			text := benchExchange(size)
			text.RequestHeader[0].Value, text.ResponseHeader[0].Value = "text/plain", "text/plain"
			text.Request.Summed, text.Response.Summed = true, true
			for b.Loop() {
				dst = Append(dst[:0], text)
			}
		})
		rec := Append(nil, ex)
		b.Run(fmt.Sprintf("parse/2x%dKiB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(rec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchExchange(size int) *tapway.Exchange {
	ex := example()
	var s strings.Builder
	s.WriteString(`{"items":[`)
	for i := 0; s.Len() < size-80; i++ {
		if i > 0 {
			s.WriteByte(',')
		}
		fmt.Fprintf(&s, `{"id":%d,"name":"user %d","active":true,"tags":["a","b"]}`, i, i)
	}
	s.WriteString(`]}`)
	ex.Request, ex.Response = body(s.String()), body(s.String())
	for _, name := range []string{"User-Agent", "Accept", "Accept-Encoding", "X-Forwarded-For", "X-Request-Id", "Content-Length"} {
		ex.RequestHeader = append(ex.RequestHeader, tapway.Field{Name: name, Value: "some value of usual length"})
		ex.ResponseHeader = append(ex.ResponseHeader, tapway.Field{Name: name, Value: "some value of usual length"})
	}
	return ex
}

func TestPlausible(t *testing.T) {
	const original = `{"from":"h","endpoint":"/","method":"GET","body":null,"request_headers":{},"response":null,"response_headers":{},"status":200}`
	nested := func(depth int) string {
		return `{"endpoint":"/","method":"GET","status":200,"body":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`
	}
	for text, want := range map[string]bool{
		original: true, string(Append(nil, &tapway.Exchange{})): true, nested(500): true,
		nested(501): false, "[" + original + "]": false, original[:len(original)-1]: false, `{"endpoint":"/","method":"GET"}`: false,
		"": false, "null": false, `"endpoint"`: false, strings.Repeat("[", 1<<20): false,
	} {
		if got := Plausible([]byte(text)); got != want {
			t.Errorf("%.60s: %v, want %v", text, got, want)
		}
	}
}
