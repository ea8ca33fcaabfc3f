package lambdaapp

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/attach/apitest"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
	"github.com/tapway/tapway/internal/route"
)

const usersARN = "arn:aws:lambda:us-east-1:123456789012:function:users"

// lambda is Lambda's Invoke API.
type lambda struct {
	t      *testing.T
	answer func(w http.ResponseWriter, r *http.Request, event []byte)

	mu     sync.Mutex
	events [][]byte
	arns   []string
}

func (l *lambda) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	event, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if strings.HasPrefix(r.URL.Path, "/2015-03-31/event-source-mappings/") { // the forwarder, which may not ask
		w.WriteHeader(http.StatusForbidden)
		return
	}
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/2015-03-31/functions/")
	path, whole := strings.CutSuffix(path, "/invocations")
	arn, _ := url.PathUnescape(path)
	region := "eu-west-1"
	if strings.Contains(arn, ":us-east-1:") {
		region = "us-east-1"
	}
	if auth := r.Header.Get("Authorization"); !ok || !whole || r.Method != "POST" || strings.ContainsAny(path, ":/") || r.Header.Get("X-Amz-Invocation-Type") != "RequestResponse" ||
		!strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=AKID/") || !strings.Contains(auth, "/"+region+"/lambda/aws4_request") {
		l.t.Errorf("%s %s %v", r.Method, r.URL.EscapedPath(), r.Header)
	}
	l.mu.Lock()
	l.events, l.arns = append(l.events, event), append(l.arns, arn)
	l.mu.Unlock()
	l.answer(w, r, event)
}

// invoked are the events and functions so far.
func (l *lambda) invoked() (events [][]byte, arns []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events), slices.Clone(l.arns)
}

func (l *lambda) count() int {
	events, _ := l.invoked()
	return len(events)
}

// withLambda adds Lambda to a world.
func (w *world) withLambda(answer func(http.ResponseWriter, *http.Request, []byte)) *lambda {
	l := &lambda{t: w.t, answer: answer}
	w.env["AWS_ENDPOINT_URL_LAMBDA"] = w.serve(w.guard(l))
	w.env["TAPWAY_BACKEND"] = ""
	w.env["TAPWAY_ROUTES"] = "s3://objects/routes/"
	return l
}

func replies(text string) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) { io.WriteString(w, text) }
}

// functionTable is a route table with one function for every method of /users/{id}.
func functionTable(integration string) []byte {
	return []byte(`{"openapi":"3.0.1","paths":{"/users/{id}":{"x-amazon-apigateway-any-method":{"x-amazon-apigateway-integration":{` + integration + `}}}}}`)
}

const (
	restFunction = `"type":"aws_proxy","httpMethod":"POST","uri":"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/` + usersARN + `/invocations"`
	httpFunction = `"type":"aws_proxy","uri":"` + usersARN + `","payloadFormatVersion":"2.0"`
)

// userCall is a call of the function that is tapped, as a front delivers it.
func userCall(t *testing.T, front eventtest.Front) (eventtest.Request, []byte) {
	t.Helper()
	r := eventtest.Request{Method: "POST", Target: "/users/7?a=b", Resource: "/users/{id}", Body: []byte(`{"name":"morpheus","password":"hunter2"}`),
		Header: []tapway.Field{{Name: "Content-Type", Value: "application/json"}}}
	event, err := front.Event(r)
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]any{}
	if front == eventtest.HTTP2 {
		members["routeKey"] = "ANY /users/{id}"
	} else {
		members["resource"] = "/users/{id}"
	}
	return r, append(replaced(t, event, members), ' ', '\n') // as it came, to the last byte
}

// The function that an API had is invoked with the event as it came, the client gets its reply as it is, and the
// record has both sides, redacted.
func TestFunctionBackend(t *testing.T) {
	for _, front := range []eventtest.Front{eventtest.REST, eventtest.HTTP1, eventtest.HTTP2} {
		t.Run(front.String(), func(t *testing.T) {
			const reply = `{ "statusCode": 201, "headers": {"Content-Type": "application/json", "X-Func": "\u0031"}, "body": "{\"id\": 573, \"token\": \"hunter2\"}" } `
			w := newWorld(t)
			l := w.withLambda(replies(reply))
			integration := restFunction
			if front != eventtest.REST {
				integration = httpFunction
			}
			w.putObject("routes/a1b2c3d4e5.json", functionTable(integration))
			f := w.start(Proxy)
			w.start(Forwarder)
			_, event := userCall(t, front)
			result := f.Invoke(t.Context(), event)
			if result.Err != nil || result.Error != nil {
				t.Fatal(result.Err, result.Error)
			}
			if string(result.Body) != reply {
				t.Errorf("the front gets %s", result.Body)
			}
			f.settled(t)
			if events, arns := l.invoked(); len(events) != 1 || !bytes.Equal(events[0], event) || arns[0] != usersARN {
				t.Fatalf("invoked %v with %s", arns, events)
			}
			w.pump()
			recs := w.delivered()
			if len(recs) != 1 {
				t.Fatalf("%d records", len(recs))
			}
			for name, want := range map[string]string{
				"status": "201", "origin": "backend", "route": "ANY /users/{id}", "endpoint": "/users/7", "error": "", "response_headers.X-Func": "1",
				"body": `{"name":"morpheus","password":"[REDACTED]"}`, "response.id": "573", "response.token": "[REDACTED]", "body_info.truncated": "false",
			} {
				same(t, name, recs[0].Get(name).String(), want)
			}
			if strings.Contains(recs[0].Raw, "hunter2") {
				t.Errorf("%s", recs[0].Raw)
			}
		})
	}
}

// What API Gateway answers when the function, or its invocation, fails.
func TestFunctionFails(t *testing.T) {
	failed := func(status int, header ...string) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, `{"errorMessage":"password hunter2","errorType":"KeyError","stackTrace":["hunter2"]}`)
		}
	}
	for name, tt := range map[string]struct {
		answer     func(http.ResponseWriter, *http.Request, []byte)
		rest, http int
		reason     string
		log        string
	}{
		"function error":  {failed(200, "X-Amz-Function-Error", "Unhandled"), 502, 500, "the function failed", "KeyError"},
		"throttled":       {failed(429, "X-Amzn-Errortype", "TooManyRequestsException:http://internal/"), 500, 500, "the function is throttled", "TooManyRequestsException"},
		"not permitted":   {failed(403, "X-Amzn-Errortype", "AccessDeniedException"), 500, 500, "no permission to invoke the function", "lambda:InvokeFunction"},
		"no function":     {failed(404, "X-Amzn-Errortype", "ResourceNotFoundException"), 500, 500, "there is no such function", usersARN},
		"Lambda is down":  {failed(503), 500, 500, "Lambda answered with status 503", "503"},
		"malformed reply": {replies(`{"statusCode":200,"body":{"password":"hunter2"}}`), 502, 500, "malformed reply of the function", "malformed"},
		"no answer":       {func(http.ResponseWriter, *http.Request, []byte) { panic(http.ErrAbortHandler) }, 502, 502, "backend closed the connection", ""},
		"slow": {func(_ http.ResponseWriter, r *http.Request, _ []byte) {
			<-r.Context().Done()
		}, 504, 504, "backend timed out", ""},
	} {
		for _, front := range []eventtest.Front{eventtest.REST, eventtest.HTTP2} {
			t.Run(name+" "+front.String(), func(t *testing.T) {
				w := newWorld(t)
				l := w.withLambda(tt.answer)
				integration, want := restFunction, tt.rest
				if front == eventtest.HTTP2 {
					integration, want = httpFunction, tt.http
				}
				timeout := "29000"
				if name == "slow" {
					timeout = "200" // the others may take as long as a busy machine does
				}
				w.putObject("routes/a1b2c3d4e5.json", functionTable(integration+`,"timeoutInMillis":`+timeout))
				f := w.start(Proxy)
				request, event := userCall(t, front)
				result := f.Invoke(t.Context(), event)
				if result.Err != nil || result.Error != nil {
					t.Fatal(result.Err, result.Error)
				}
				f.settled(t)
				if name == "malformed reply" { // API Gateway answers for itself when it gets this
					same(t, "reply", string(result.Body), `{"statusCode":200,"body":{"password":"hunter2"}}`)
				} else {
					resp, err := front.Response(request, result.Body)
					if err != nil {
						t.Fatal(err)
					}
					same(t, "status", resp.Status, want)
					if strings.Contains(string(resp.Body), "hunter2") {
						t.Errorf("the client sees %s", resp.Body)
					}
				}
				rec := gjson.Parse(w.sqs.Messages("records")[0].Body)
				same(t, "record's status", rec.Get("status").Int(), want)
				if reason := rec.Get("error").String(); reason != tt.reason && name != "no answer" || reason == "" {
					t.Errorf("the record says %q, want %q", reason, tt.reason)
				}
				if !strings.Contains(f.log.String(), tt.log) || strings.Contains(rec.Raw, "hunter2") {
					t.Errorf("%s", rec.Raw)
				}
				same(t, "invocations", l.count(), 1)
			})
		}
	}
}

// A table that was made while tapway was attached would lead it to itself, for ever.
func TestFunctionIsOwn(t *testing.T) {
	w := newWorld(t)
	l := w.withLambda(replies("{}"))
	arn := "arn:aws:lambda:eu-west-1:123456789012:function:test" // runtimetest's
	w.putObject("routes/a1b2c3d4e5.json", functionTable(strings.ReplaceAll(restFunction, usersARN, arn+":live")))
	f := w.start(Proxy)
	request, event := userCall(t, eventtest.REST)
	result := f.Invoke(t.Context(), event)
	f.settled(t)
	resp, err := eventtest.REST.Response(request, result.Body)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "status", resp.Status, 500)
	same(t, "invocations", l.count(), 0)
	same(t, "record", gjson.Get(w.sqs.Messages("records")[0].Body, "error"), "the route leads back to tapway")
}

// Every Lambda function that attach taps is invoked with the event as it came, and the function's role needs to be
// allowed no other than the plan says.
func TestFunctionsOfAttachedAPIs(t *testing.T) {
	w := newWorld(t)
	l := w.withLambda(replies(`{"statusCode":200,"body":"hello"}`))
	f := w.start(Proxy)
	vars := map[string]string{"host": "h.example.com", "link": "link-prod"}
	invoked := 0
	for seed := range uint64(12) {
		s := apitest.New()
		r := rand.New(rand.NewPCG(seed, 3))
		id := s.BuildREST(r, 12)
		if seed%2 == 1 {
			id = s.BuildHTTP(r, 12)
		}
		p := attachable(t, s, id, "prod")
		id = fmt.Sprint(id, seed)
		w.putObject("routes/"+id+".json", p.RouteTable)
		d, err := route.ReadOpenAPI(p.RouteTable, route.OpenAPIOptions{StageVariables: vars, APIID: id, Stage: "prod", Functions: true})
		if err != nil {
			t.Fatal(err)
		}
		tapped := map[string]bool{}
		for _, change := range p.Changes {
			tapped[change.Route] = true
		}
		for _, op := range d.Operations {
			key := op.Method + " " + op.Path
			if op.Path == "/$default" {
				key = "$default"
			}
			if op.Tappable != tapped[key] {
				t.Errorf("seed %d %s: tapped %v; the function can serve it: %v %s", seed, key, tapped[key], op.Tappable, op.Reason)
			}
			if op.Function == "" || !op.Tappable {
				continue
			}
			c := newAttachedCall(p, key, vars)
			front, request, event := c.event(t, id)
			before := l.count()
			result := f.Invoke(t.Context(), event)
			f.settled(t)
			resp, err := front.Response(request, result.Body)
			if err != nil || resp.Status != 200 || string(resp.Body) != "hello" {
				t.Fatalf("seed %d %s: %v %+v", seed, key, err, resp)
			}
			if events, arns := l.invoked(); len(events) != before+1 || !bytes.Equal(events[before], event) || arns[before] != op.Function || !slices.Contains(p.Invokes, op.Function) {
				t.Errorf("seed %d %s: invoked %v", seed, key, arns[before:])
			}
			invoked++
		}
	}
	if invoked < 10 {
		t.Errorf("only %d functions", invoked)
	}
}

// After a pause a connection may be dead without anybody knowing; a call on it must not be made twice, so there is
// a new one.
func TestFunctionConnections(t *testing.T) {
	var mu sync.Mutex
	peers := map[string]bool{}
	w := newWorld(t)
	w.withLambda(func(rw http.ResponseWriter, r *http.Request, _ []byte) {
		mu.Lock()
		peers[r.RemoteAddr] = true
		mu.Unlock()
		io.WriteString(rw, "{}")
	})
	cloud, err := newCloud(func(name string) string { return w.env[name] })
	if err != nil {
		t.Fatal(err)
	}
	fs := newFunctions(cloud.base, cloud.lambdaEndpoint, NewLog(io.Discard, nil))
	way := fs.to(usersARN).(*functionWay)
	for i, idle := range []time.Duration{0, freshFor - time.Second, freshFor + time.Second} {
		fs.last.Add(-int64(idle))
		if _, _, _, err := way.invoke(t.Context(), []byte("{}")); err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("connections after call %d", i), len(peers), []int{1, 1, 2}[i])
	}
}
