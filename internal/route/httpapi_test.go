package route

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

// httpRouteOf reads an HTTP API's integration of GET /users/{id}/{rest+}; more are its further members.
func httpRouteOf(t *testing.T, request, response string) (*Table, string) {
	t.Helper()
	doc := fmt.Sprintf(`{"openapi":"3.0.1","paths":{"/users/{id}/{rest+}":{"get":{"x-amazon-apigateway-integration":{"type":"http_proxy","httpMethod":"ANY",
		"uri":"https://h/v1/{id}?own=1","payloadFormatVersion":"1.0","requestParameters":%s,"responseParameters":%s}}}}}`, request, response)
	d, err := ReadOpenAPI([]byte(doc), OpenAPIOptions{StageVariables: map[string]string{"v": "blue"}, APIID: "a1", Stage: "prod"})
	if err != nil {
		t.Fatal(err)
	}
	table, err := NewTable(d.Routes())
	if err != nil {
		t.Fatal(err)
	}
	return table, d.Operations[0].Reason
}

func TestHTTPAPIRequestMapping(t *testing.T) {
	for _, tt := range []struct {
		mapping string // without braces
		want    string // path?query, then the headers set and removed; or what the reason or error says
	}{
		{``, "/v1/7?own=1&q=a&q=b"},
		{`"append:header.x-a":"two"`, `/v1/7?own=1&q=a&q=b X-A:"one" X-A:"two"`},
		{`"append:header.x-new":"1"`, `/v1/7?own=1&q=a&q=b X-New:"1"`},
		{`"overwrite:header.x-a":"$context.stage"`, `/v1/7?own=1&q=a&q=b X-A:"prod"`},
		{`"overwrite:header.x-a":"${context.apiId}-${stageVariables.v}/${request.path.id}"`, `/v1/7?own=1&q=a&q=b X-A:"a1-blue/7"`},
		{`"overwrite:header.x-a":"$request.header.x-b"`, `/v1/7?own=1&q=a&q=b X-A:"b1,b2"`},
		{`"overwrite:header.x-a":"$request.header.missing"`, `/v1/7?own=1&q=a&q=b`},
		{`"overwrite:header.x-a":"<${request.header.missing}>"`, `/v1/7?own=1&q=a&q=b X-A:"<>"`},
		{`"overwrite:header.x-a":"$context.routeKey"`, `/v1/7?own=1&q=a&q=b X-A:"GET /users/{id}/{rest+}"`},
		{`"remove:header.x-a":"''"`, `/v1/7?own=1&q=a&q=b -X-A`},
		{`"append:querystring.q":"c d"`, `/v1/7?own=1&q=a&q=b&q=c%20d`},
		{`"overwrite:querystring.q":"$request.path.rest"`, `/v1/7?own=1&q=x%2Fy%20z`},
		{`"remove:querystring.q":"''"`, `/v1/7?own=1`},
		{`"overwrite:path":"/v2"`, `/v2?own=1&q=a&q=b`},
		{`"overwrite:path":"v2 x"`, `/v2%20x?own=1&q=a&q=b`},
		{`"overwrite:path":"$request.path"`, `/users/7/x/y%20z?own=1&q=a&q=b`},
		{`"overwrite:path":"/new/${request.path.id}/${request.path.rest}"`, `/new/7/x/y%20z?own=1&q=a&q=b`},
		{`"overwrite:path":"/h/${request.header.x-b}"`, `/h/b1%2Cb2?own=1&q=a&q=b`},
		{`"overwrite:path":"$request.header.missing"`, `/v1/7?own=1&q=a&q=b`},
		{`"overwrite:path":"/h/${request.header.x-dots}"`, "leads out of its place"},

		{`"overwrite:header.x":"$request.body.a"`, "reads the body"},
		{`"overwrite:header.x":"$context.authorizer.claims.sub"`, "is not known here"},
		{`"overwrite:header.x":"$stageVariables.nope"`, "is not given"},
		{`"overwrite:header.x":"$request.path.nope"`, "the template lacks"},
		{`"overwrite:header.x":"$response.header.a"`, "no part of"},
		{`"overwrite:header.x":"${context.stage"`, "no end"},
		{`"overwrite:header.x":"a\nb"`, "control character"},
		{`"overwrite:header.Authorization":"x"`, "cannot be mapped"},
		{`"append:header.x-amzn-trace-id":"x"`, "cannot be mapped"},
		{`"append:path":"/x"`, "is not understood"},
		{`"overwrite:statuscode":"200"`, "is not understood"},
		{`"replace:header.x":"1"`, "neither appends"},
		{`"append:header.x":"1","overwrite:header.X":"2"`, "mapped twice"},
		{`"integration.request.header.x":"'1'"`, "neither appends"},
		{`"overwrite:header.x":1`, "is not text"},
	} {
		table, reason := httpRouteOf(t, "{"+tt.mapping+"}", "{}")
		got := reason
		if reason == "" {
			const path = "/users/7/x/y%20z"
			r, params, _ := table.Match("GET", path)
			target, err := r.Target(&Request{Method: "GET", Path: path, Query: "q=a&q=b", HasQuery: true, Call: new(tapway.Call),
				Header: http.Header{"X-A": {"one"}, "X-B": {"b1", "b2"}, "X-Dots": {"../../admin"}}}, params)
			got = target.Path + "?" + target.Query
			for _, f := range target.SetHeader {
				got += fmt.Sprintf(" %s:%q", f.Name, f.Value)
			}
			for _, name := range target.RemoveHeader {
				got += " -" + name
			}
			if err != nil {
				got = err.Error()
			}
		}
		if got != tt.want && (strings.HasPrefix(tt.want, "/") || !strings.Contains(got, tt.want)) {
			t.Errorf("%s:\n%s, want\n%s", tt.mapping, got, tt.want)
		}
	}
}

func TestHTTPAPIResponseMapping(t *testing.T) {
	for _, tt := range []struct {
		mapping string
		status  int
		want    string
	}{
		{`{"404":{"overwrite:statuscode":"200","append:header.x-a":"two","remove:header.x-b":"''"}}`, 404, `200 {"X-A":["one","two"]}`},
		{`{"404":{"overwrite:statuscode":"200"}}`, 500, `500 {"X-A":["one"],"X-B":["b"]}`},
		{`{"200":{"overwrite:header.x-a":"${response.header.x-b}/$context.x"}}`, 200, `200 {"X-A":["b/$context.x"],"X-B":["b"]}`},
		{`{"200":{"overwrite:header.x-a":"$response.header.missing"}}`, 200, `200 {"X-A":["one"],"X-B":["b"]}`},
		{`{"200":{"overwrite:header.x-a":"$stageVariables.v"}}`, 200, `200 {"X-A":["blue"],"X-B":["b"]}`},
		{`{"200":{"overwrite:header.x":"$response.body.a"}}`, 0, "no part of"},
		{`{"200":{"overwrite:header.x":"$context.requestId"}}`, 0, "is not known here"},
		{`{"200":{"overwrite:statuscode":"99"}}`, 0, "is not a status"},
		{`{"200":{"append:querystring.x":"1"}}`, 0, "is not understood"},
		{`{"abc":{}}`, 0, "is not understood"},
	} {
		table, reason := httpRouteOf(t, "{}", tt.mapping)
		if reason != "" {
			if tt.status != 0 || !strings.Contains(reason, tt.want) {
				t.Errorf("%s: %s, want %s", tt.mapping, reason, tt.want)
			}
			continue
		}
		h := http.Header{"X-A": {"one"}, "X-B": {"b"}}
		status, ok := table.Routes()[0].Response.Apply(tt.status, h)
		text, _ := json.Marshal(h)
		if got := fmt.Sprintf("%d %s", status, text); !ok || got != tt.want {
			t.Errorf("%s: %s, want %s", tt.mapping, got, tt.want)
		}
	}
}
