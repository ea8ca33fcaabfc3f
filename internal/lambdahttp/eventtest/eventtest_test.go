package eventtest

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

// members reads an event and gives some of its members by their path, such as "requestContext.path".
func members(t *testing.T, f Front, r Request, paths ...string) []any {
	t.Helper()
	text, err := f.Event(r)
	if err != nil {
		t.Fatal(err)
	}
	var event any
	if err := json.Unmarshal(text, &event); err != nil {
		t.Fatal(err)
	}
	var out []any
	for _, path := range paths {
		v := event
		for name := range strings.SplitSeq(path, ".") {
			m, _ := v.(map[string]any)
			v = m[name]
		}
		out = append(out, v)
	}
	return out
}

// One request as the six forms have been recorded, or are documented.
func TestRecordedDifferences(t *testing.T) {
	r := Request{Method: "POST", Target: "/capture/space%20value/?repeat=one&repeat=two&redirect=https%3A%2F%2Fe.com&literal=a+b&encoded=a%2Bb&empty=",
		Header: []tapway.Field{{Name: "X-Probe", Value: "first"}, {Name: "X-Probe", Value: "second"}, {Name: "Cookie", Value: "a=1; b=2"}, {Name: "Content-Type", Value: "application/json"}, {Name: "TE", Value: "trailers"}},
		Body:   []byte("{}")}
	list := func(v ...any) []any { return v }
	tests := []struct {
		front Front
		path  string
		want  any
	}{
		{REST, "path", "/capture/space%20value/"},
		{REST, "requestContext.path", "/prod/capture/space%20value/"},
		{REST, "pathParameters.proxy", "capture/space%20value"},
		{REST, "multiValueQueryStringParameters", map[string]any{"repeat": list("one", "two"), "redirect": list("https://e.com"), "literal": list("a b"), "encoded": list("a+b"), "empty": list("")}},
		{REST, "queryStringParameters.repeat", "two"},
		{REST, "headers.X-Probe", "second"},
		{REST, "multiValueHeaders.X-Probe", list("first", "second")},
		{REST, "headers.Cookie", "a=1; b=2"},
		{REST, "headers.TE", nil},
		{REST, "headers.Content-Length", nil},
		{HTTP1, "path", "/capture/space value/"},
		{HTTP1, "multiValueHeaders.x-probe", list("first", "second")},
		{HTTP2, "rawPath", "/capture/space value/"},
		{HTTP2, "rawQueryString", "repeat=one&repeat=two&redirect=https%3A%2F%2Fe.com&literal=a+b&encoded=a%2Bb&empty="},
		{HTTP2, "queryStringParameters.repeat", "one,two"},
		{HTTP2, "headers.x-probe", "first,second"},
		{HTTP2, "headers.cookie", nil},
		{HTTP2, "cookies", list("a=1", "b=2")},
		{HTTP2, "headers.content-length", "2"},
		{FunctionURL, "rawPath", "/capture/space%20value/"},
		{FunctionURL, "requestContext.http.path", "/capture/space value/"},
		{FunctionURL, "headers.cookie", "a=1; b=2"},
		{FunctionURL, "cookies", list("a=1", "b=2")},
		{ALB, "path", "/capture/space%20value/"},
		{ALB, "queryStringParameters.redirect", "https%3A%2F%2Fe.com"},
		{ALB, "queryStringParameters.repeat", "two"},
		{ALB, "headers.x-probe", "second"},
		{ALB, "multiValueHeaders", nil},
		{ALBMulti, "headers", nil},
		{ALBMulti, "multiValueQueryStringParameters.repeat", list("one", "two")},
		{ALBMulti, "multiValueHeaders.x-probe", list("first", "second")},
	}
	for _, tt := range tests {
		if got := members(t, tt.front, r, tt.path)[0]; !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v: %s is %v, want %v", tt.front, tt.path, got, tt.want)
		}
	}
	for f, want := range map[Front]any{REST: nil, HTTP1: nil, HTTP2: nil, FunctionURL: nil, ALB: "", ALBMulti: ""} {
		if got := members(t, f, Request{}, "body")[0]; got != want {
			t.Errorf("%v: an empty body is %v", f, got)
		}
	}
	if _, err := HTTP2.Event(Request{Target: "/percent%25done"}); !errors.Is(err, ErrRejected) {
		t.Error(err)
	}
	if got := members(t, REST, Request{Target: "//a"}, "path", "requestContext.path"); got[0] != "/a" || got[1] != "/prod//a" {
		t.Errorf("%v", got)
	}
}

// Replies are read with the front's own strictness.
func TestReplies(t *testing.T) {
	tests := []struct {
		name  string
		front Front
		r     Request
		reply string
		body  string // "" is an error
	}{
		{"plain", REST, Request{}, `{"statusCode":200,"body":"a"}`, "a"},
		{"member of another front", REST, Request{}, `{"statusCode":200,"body":"a","cookies":[]}`, ""},
		{"no status", REST, Request{}, `{"body":"a"}`, ""},
		{"not JSON", HTTP2, Request{}, `a`, ""},
		{"base64, not wanted", REST, Request{}, `{"statusCode":200,"body":"YQ==","isBase64Encoded":true}`, "YQ=="},
		{"base64, wanted", REST, Request{BinaryMediaTypes: []string{"image/*"}, Header: []tapway.Field{{Name: "accept", Value: "image/png;q=1, */*"}}}, `{"statusCode":200,"body":"YQ==","isBase64Encoded":true}`, "a"},
		{"base64, wanted second", REST, Request{BinaryMediaTypes: []string{"image/*"}, Header: []tapway.Field{{Name: "accept", Value: "*/*, image/png"}}}, `{"statusCode":200,"body":"YQ==","isBase64Encoded":true}`, "YQ=="},
		{"base64", ALB, Request{}, `{"statusCode":200,"body":"YQ==","isBase64Encoded":true}`, "a"},
		{"bad base64", ALB, Request{}, `{"statusCode":200,"body":"*","isBase64Encoded":true}`, ""},
		{"body for HEAD", ALB, Request{Method: "HEAD"}, `{"statusCode":200,"body":"a"}`, ""},
		{"just the limit", ALB, Request{}, `{"statusCode":200,"body":"` + strings.Repeat("x", 1<<20-28) + `"}`, strings.Repeat("x", 1<<20-28)},
		{"over the limit", ALB, Request{}, `{"statusCode":200,"body":"` + strings.Repeat("x", 1<<20-27) + `"}`, ""},
	}
	for _, tt := range tests {
		res, err := tt.front.Response(tt.r, []byte(tt.reply))
		if (err != nil) != (tt.body == "") || err == nil && string(res.Body) != tt.body {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	res, err := REST.Response(Request{}, []byte(`{"statusCode":200,"headers":{"a":"1","date":"x"},"multiValueHeaders":{"A":["2"]}}`))
	if err != nil || len(res.Header["A"]) != 2 || res.Header.Get("X-Amzn-Remapped-Date") != "x" || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v %v", res, err)
	}
	if _, err := REST.StreamResponse(strings.NewReader(`{"statusCode":200}`)); err == nil {
		t.Error("a stream without delimiter")
	}
}
