package lambdahttp

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

// The API stage and a custom domain's base path are the API's, not the backend's; everything
// else of the path stays.
func TestBaseAndStage(t *testing.T) {
	tests := []struct {
		name       string
		front      eventtest.Front
		r          eventtest.Request
		path, base string
	}{
		{"stage", eventtest.REST, eventtest.Request{Target: "/users/1"}, "/users/1", "/prod"},
		{"two leading slashes", eventtest.REST, eventtest.Request{Target: "//users"}, "//users", "/prod"},
		{"inner and trailing slashes", eventtest.REST, eventtest.Request{Target: "/a//b/"}, "/a//b/", "/prod"},
		{"a path that begins like the stage", eventtest.REST, eventtest.Request{Target: "/prod/x"}, "/prod/x", "/prod"},
		{"custom domain without base path", eventtest.REST, eventtest.Request{Custom: true, Target: "/users/"}, "/users/", ""},
		{"custom domain", eventtest.REST, eventtest.Request{Base: "/shop", Target: "/users/1"}, "/users/1", "/shop"},
		{"trailing slash", eventtest.REST, eventtest.Request{Base: "/shop", Target: "/users/1/"}, "/users/1/", "/shop"},
		{"escapes", eventtest.REST, eventtest.Request{Base: "/shop", Target: "/a%2Fb/c%20d"}, "/a%2Fb/c%20d", "/shop"},
		{"base path of two levels", eventtest.REST, eventtest.Request{Base: "/shop/v1", Target: "/users"}, "/users", "/shop/v1"},
		{"base path and path are alike", eventtest.REST, eventtest.Request{Base: "/a", Target: "/a/a"}, "/a/a", "/a"},
		{"root", eventtest.REST, eventtest.Request{Base: "/shop", Target: "/"}, "/", "/shop"},
		{"root of the domain", eventtest.REST, eventtest.Request{Custom: true, Target: "/"}, "/", ""},
		{"fixed template", eventtest.REST, eventtest.Request{Base: "/shop", Target: "/users/1", Resource: "/users/{id}"}, "/users/1", "/shop"},
		{"fixed template, trailing slash", eventtest.REST, eventtest.Request{Base: "/shop", Target: "/users/1/", Resource: "/users/{id}"}, "/users/1/", "/shop"},
		{"greedy below a fixed part", eventtest.REST, eventtest.Request{Base: "/shop", Target: "/v1/a/b", Resource: "/v1/{rest+}"}, "/v1/a/b", "/shop"},
		{"escaped literal", eventtest.REST, eventtest.Request{Base: "/shop", Target: "/%75sers/1", Resource: "/users/{id}"}, "/%75sers/1", "/shop"},
		{"two leading slashes, custom domain", eventtest.REST, eventtest.Request{Custom: true, Target: "//users"}, "//users", ""},
		{"two leading slashes, base path", eventtest.REST, eventtest.Request{Base: "/shop", Target: "//users/"}, "//users/", "/shop"},
		{"several trailing slashes", eventtest.REST, eventtest.Request{Base: "/shop", Target: "/users//"}, "/users//", "/shop"},
		{"fixed template, several trailing slashes", eventtest.REST, eventtest.Request{Base: "/shop", Target: "/users/1//", Resource: "/users/{id}"}, "/users/1//", "/shop"},
		{"a template that does not fit", eventtest.REST, eventtest.Request{Base: "/shop", Target: "/users/1", Resource: "/people/{id}"}, "/shop/users/1", ""},
		{"$default", eventtest.HTTP2, eventtest.Request{Target: "/users"}, "/users", ""},
		{"named stage", eventtest.HTTP2, eventtest.Request{Stage: "dev", Target: "/users"}, "/users", "/dev"},
		{"named stage, root", eventtest.HTTP2, eventtest.Request{Stage: "dev", Target: "/"}, "/", "/dev"},
		{"named stage, path begins like it", eventtest.HTTP2, eventtest.Request{Stage: "dev", Target: "/devices"}, "/devices", "/dev"},
		{"named stage, custom domain", eventtest.HTTP2, eventtest.Request{Stage: "dev", Custom: true, Target: "/dev"}, "/dev", ""},
		{"payload 1.0, named stage", eventtest.HTTP1, eventtest.Request{Stage: "dev", Target: "/a%20b"}, "/a%20b", "/dev"},
		{"payload 1.0, encoded again", eventtest.HTTP1, eventtest.Request{Target: "/%C3%A9"}, "/%C3%A9", ""},
		{"encoded again", eventtest.HTTP2, eventtest.Request{Target: "/a%20b/(c)"}, "/a%20b/(c)", ""},
		{"URL", eventtest.FunctionURL, eventtest.Request{Target: "/a%2fb"}, "/a%2fb", ""},
		{"URL without path", eventtest.FunctionURL, eventtest.Request{Target: "?a=b"}, "/", ""},
		{"balancer", eventtest.ALBMulti, eventtest.Request{Target: "//a%2fb/"}, "//a%2fb/", ""},
		{"all of the server", eventtest.ALB, eventtest.Request{Method: "OPTIONS", Target: "*"}, "*", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			call := decode(t, tt.front, tt.r)
			if got, _, _ := cutQuery(call.Request.RequestURI); got != tt.path || call.Base != tt.base {
				t.Errorf("path %q, base %q; want %q, %q", got, call.Base, tt.path, tt.base)
			}
			if call.Request.URL.EscapedPath() != tt.path {
				t.Errorf("URL %q", call.Request.URL.EscapedPath())
			}
		})
	}
}

func cutQuery(s string) (path, query string, ok bool) {
	for i := range len(s) {
		if s[i] == '?' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// A custom domain's base path never ends with a slash, and how many slashes pathParameters keeps does not matter.
func TestBaseAndSlashes(t *testing.T) {
	for _, tt := range []struct{ path, resource, proxy, want, base string }{
		{"/shop/a//", "/{proxy+}", "a", "/a//", "/shop"},
		{"/shop/a//", "/{proxy+}", "a/", "/a//", "/shop"},
		{"/shop/a//", "/{proxy+}", "a//", "/a//", "/shop"},
		{"/shop//a", "/{proxy+}", "a", "//a", "/shop"},
		{"/shop//a", "/{proxy+}", "/a", "//a", "/shop"},
		{"//a", "/{proxy+}", "a", "//a", ""},
		{"/shop/a//b", "/{proxy+}", "a//b", "/a//b", "/shop"},
		{"/shop//", "/", "", "//", "/shop"},
		{"/shop", "/", "", "/", "/shop"},
		{"/", "/", "", "/", ""},
		{"/shop/ab", "/{proxy+}", "b", "/shop/ab", ""},
	} {
		event := fmt.Sprintf(`{"resource":%q,"path":%q,"httpMethod":"GET","pathParameters":{"proxy":%q},"requestContext":{"domainName":"api.example.com","stage":"prod"}}`, tt.resource, tt.path, tt.proxy)
		call, err := Decode(t.Context(), []byte(event))
		if err != nil || call.Request.RequestURI != tt.want || call.Base != tt.base {
			t.Errorf("%s of %s, proxy %q: %v %q, base %q; want %q, %q", tt.path, tt.resource, tt.proxy, err, call.Request.RequestURI, call.Base, tt.want, tt.base)
		}
	}
	call, err := Decode(t.Context(), []byte(`{"resource":"/","path":"/","httpMethod":"GET","requestContext":{"domainName":"a.execute-api.x","stage":"prod","path":"/prod"}}`))
	if err != nil || call.Request.RequestURI != "/" || call.Base != "/prod" {
		t.Errorf("the root of a stage: %v %q, base %q", err, call.Request.RequestURI, call.Base)
	}
}

// What HTTP APIs have been seen to do to paths, and what becomes of it here.
func TestHTTPAPIPaths(t *testing.T) {
	for sent, want := range map[string]string{
		"/c/plain":                        "/c/plain",
		"/c/space%20value":                "/c/space%20value",
		"/c/question%3Fvalue":             "/c/question",
		"/c/percent%25done":               "",
		"/c/hash%23value":                 "/c/hash%23value",
		"/c/slash%2Fvalue":                "/c/slash/value",
		"/c/unicode-%CE%BB-%E4%B8%96":     "/c/unicode-%CE%BB-%E4%B8%96",
		"/c/literal%252Fvalue":            "/c/literal/value",
		"/c/literal%253Fvalue":            "/c/literal%3Fvalue",
		"/c/literal%2525value":            "/c/literal%25value",
		"/c/sub-delims!$&'()*+,;=:@value": "/c/sub-delims!$&'()*+,;=:@value",
	} {
		event, err := eventtest.HTTP2.Event(eventtest.Request{Target: sent})
		if errors.Is(err, eventtest.ErrRejected) {
			if want != "" {
				t.Errorf("%s was refused", sent)
			}
			continue
		}
		call, err := Decode(t.Context(), event)
		if err != nil || call.Request.RequestURI != want {
			t.Errorf("%s: %v %q, want %q", sent, err, call.Request.RequestURI, want)
		}
	}
}

// What cannot stand in a request line is encoded, wherever it comes from.
func TestTargetsAreLegal(t *testing.T) {
	for event, want := range map[string]string{
		`{"requestContext":{"elb":{}},"httpMethod":"GET","path":"/a b?c#d\r\n","queryStringParameters":{"x":"1 2#3","y":"\u0000?"}}`:       "/a%20b%3Fc%23d%0D%0A?x=1%202%233&y=%00?",
		`{"version":"2.0","requestContext":{"http":{"method":"GET"},"accountId":"anonymous"},"rawPath":"/é%zz","rawQueryString":"a=é\n#"}`: "/é%zz?a=é%0A%23",
		`{"version":"2.0","requestContext":{"http":{"method":"GET"}},"rawPath":"/é%zz?\n"}`:                                                "/%C3%A9%25zz%3F%0A",
		`{"version":"1.0","requestContext":{},"httpMethod":"GET","path":"/a%20b%2Fc"}`:                                                     "/a%20b%2Fc",
		`{"version":"1.0","requestContext":{},"httpMethod":"GET","path":"/a%2"}`:                                                           "/a%252",
		`{"version":"1.0","requestContext":{},"httpMethod":"GET","path":"/a%20b c"}`:                                                       "/a%2520b%20c",
		`{"resource":"/","requestContext":{},"httpMethod":"GET","path":"/","multiValueQueryStringParameters":{"b":["1 +&","2"],"a":[""]}}`: "/?b=1+%2B%26&b=2&a=",
	} {
		call, err := Decode(t.Context(), []byte(event))
		if err != nil || call.Request.RequestURI != want {
			t.Errorf("%s\n%v %q, want %q", event, err, call.Request.RequestURI, want)
		}
	}
}

// Base64 counts with and without padding.
func TestBase64(t *testing.T) {
	for text, want := range map[string]string{"": "", "YQ==": "a", "YQ": "a", "YWI=": "ab", "YWI": "ab", "YWJj": "abc", `YWJj\u002f\/8`: "abc\xff\xff", "_w": "?", "A": "?"} {
		call, err := Decode(t.Context(), []byte(`{"requestContext":{"elb":{}},"httpMethod":"PUT","path":"/","isBase64Encoded":true,"body":"`+text+`"}`))
		if want == "?" {
			if err == nil {
				t.Errorf("%q was taken", text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if body := see(t, call.Request).body; body != want || call.Request.ContentLength != int64(len(want)) {
			t.Errorf("%q: %q", text, body)
		}
	}
}
