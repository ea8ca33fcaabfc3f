package lambdaapp

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
	"github.com/tapway/tapway/internal/lambdaruntime/runtimetest"
)

const (
	ownRoot  = "Root=1-5759e988-bd862e3fe1be46a994272793"
	ownID    = "5759e988bd862e3fe1be46a994272793"
	own      = ownRoot + ";Parent=53995c3f42cd8ad8;Sampled=1"
	w3cID    = "4bf92f3577b34da6a3ce929d0e0e4736"
	w3c      = "00-" + w3cID + "-00f067aa0ba902b7-01"
	frontsID = "6a5145a8536f3e792f6be9b44c1f46fa" // of eventtest.Trace
)

// TestTrace: through every front, what arrives goes to the backend and into the record; without
// any trace there is Lambda's; and where there is none at all, none is made up.
func TestTrace(t *testing.T) {
	for _, front := range eventtest.Fronts {
		t.Run(front.String(), func(t *testing.T) {
			w := newWorld(t)
			p := w.start(Proxy)
			for _, tt := range []struct {
				name   string
				client http.Header // what arrives; without X-Amzn-Trace-Id the front adds none
				lambda string      // the Runtime API's
				amzn   string      // what the backend gets
				id     string
			}{
				{"nothing at all", nil, "", "", ""},
				{"nothing arrives", nil, own + ";Lineage=1:a87bd80c:0", own, ownID},
				{"nothing arrives, not sampled", nil, ownRoot + ";Parent=53995c3f42cd8ad8;Sampled=0", ownRoot + ";Parent=53995c3f42cd8ad8;Sampled=0", ownID},
				{"nothing arrives, Lambda's has only a root", nil, ownRoot, ownRoot, ownID},
				{"nothing arrives, Lambda's is not one", nil, "Root=1-x", "", ""},
				{"W3C", http.Header{"traceparent": {w3c}, "tracestate": {"a=b"}}, own, "", w3cID},
				{"W3C and X-Ray", http.Header{"traceparent": {w3c}, "tracestate": {"a=b"}, "X-Amzn-Trace-Id": {eventtest.Trace}}, own, eventtest.Trace, w3cID},
				{"another trace", http.Header{"X-Amzn-Trace-Id": {eventtest.Trace}}, own, eventtest.Trace, frontsID},
				{"the front's, without Lambda's", http.Header{"X-Amzn-Trace-Id": {eventtest.Trace}}, "", eventtest.Trace, frontsID},
				{"the root of Lambda's", http.Header{"X-Amzn-Trace-Id": {ownRoot}}, own, own, ownID},
				{"the root of Lambda's, with the load balancer's", http.Header{"X-Amzn-Trace-Id": {"Self=1-67891234-12456789abcdef012345678;" + ownRoot}}, own, "Self=1-67891234-12456789abcdef012345678;" + own, ownID},
				{"with a parent of its own", http.Header{"X-Amzn-Trace-Id": {ownRoot + ";Parent=00f067aa0ba902b7;Sampled=0"}}, own, ownRoot + ";Parent=00f067aa0ba902b7;Sampled=0", ownID},
				{"sampled by the front", http.Header{"X-Amzn-Trace-Id": {ownRoot + ";Sampled=0"}}, own, ownRoot + ";Sampled=0;Parent=53995c3f42cd8ad8", ownID},
			} {
				w.asks = nil
				event := untraced(t, front, tt.client)
				result := p.Do(t.Context(), runtimetest.Call{Event: event, TraceID: tt.lambda})
				if result.Err != nil || result.Error != nil || len(w.asks) != 1 {
					t.Fatalf("%s: %v %v, %d calls", tt.name, result.Err, result.Error, len(w.asks))
				}
				p.settled(t)
				got := w.asks[0].Header
				same(t, tt.name+": to the backend", strings.Join(got["X-Amzn-Trace-Id"], ","), tt.amzn)
				for _, name := range []string{"traceparent", "tracestate"} {
					same(t, tt.name+": "+name, strings.Join(got.Values(name), ","), strings.Join(tt.client[name], ","))
				}
				messages := w.sqs.Messages("records")
				rec := gjson.Parse(messages[len(messages)-1].Body)
				same(t, tt.name+": recorded", rec.Get("trace_id"), tt.id)
				arrived := ""
				rec.Get("request_headers").ForEach(func(name, value gjson.Result) bool {
					if strings.EqualFold(name.String(), "X-Amzn-Trace-Id") {
						arrived = value.String()
					}
					return true
				})
				same(t, tt.name+": the record's header is the one that arrived", arrived, strings.Join(tt.client["X-Amzn-Trace-Id"], ","))
			}
		})
	}
}

// untraced is an event with header and without the trace that the front adds.
func untraced(t *testing.T, front eventtest.Front, header http.Header) []byte {
	t.Helper()
	r := eventtest.Request{Target: "/a"}
	for _, name := range []string{"traceparent", "tracestate"} {
		for _, value := range header[name] {
			r.Header = append(r.Header, tapway.Field{Name: name, Value: value})
		}
	}
	text, err := front.Event(r)
	if err != nil {
		t.Fatal(err)
	}
	var event map[string]any
	if err := json.Unmarshal(text, &event); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"headers", "multiValueHeaders"} {
		m, _ := event[key].(map[string]any)
		for name := range m {
			if !strings.EqualFold(name, "X-Amzn-Trace-Id") {
				continue
			}
			if delete(m, name); header["X-Amzn-Trace-Id"] == nil {
				continue
			}
			if m[name] = header["X-Amzn-Trace-Id"][0]; key == "multiValueHeaders" {
				m[name] = header["X-Amzn-Trace-Id"]
			}
		}
	}
	if text, err = json.Marshal(event); err != nil {
		t.Fatal(err)
	}
	return text
}

// Without the client's headers its trace does not go along, and no other does.
func TestTraceWithoutHeaders(t *testing.T) {
	w := newWorld(t)
	p := w.start(Proxy, "NO_HEADERS=yes")
	p.Do(t.Context(), runtimetest.Call{Event: urlEvent("GET", "/a", "", "traceparent", w3c), TraceID: own})
	p.Do(t.Context(), runtimetest.Call{Event: urlEvent("GET", "/a", ""), TraceID: own})
	p.settled(t)
	for _, r := range w.asks {
		if r.Header.Get("X-Amzn-Trace-Id") != "" || r.Header.Get("Traceparent") != "" {
			t.Errorf("the backend gets %v", r.Header)
		}
	}
	messages := w.sqs.Messages("records")
	same(t, "records", len(messages), 2)
	same(t, "the first's trace", gjson.Get(messages[0].Body, "trace_id"), w3cID)
	same(t, "the second's trace", gjson.Get(messages[1].Body, "trace_id"), ownID)
}
