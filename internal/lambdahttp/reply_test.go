package lambdahttp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

func TestDecodeReply(t *testing.T) {
	for _, tt := range []struct{ reply, one, two string }{ // by payload 1.0 and REST, and by 2.0
		{`{"statusCode":201,"headers":{"x-a":"1","content-type":"text/plain"},"body":"hi"}`, `201 map[Content-Type:[text/plain] X-A:[1]] "hi"`, ""},
		{`{"statusCode":"404"}`, `404 map[Content-Type:[application/json]] ""`, ""},
		{`{"statusCode":200,"headers":{"N":1,"B":true,"Z":null},"multiValueHeaders":{"Set-Cookie":["a","b"],"n":["1","2"]},"body":null}`, `200 map[B:[true] Content-Type:[application/json] N:[1 2] Set-Cookie:[a b]] ""`, ""},
		{`{"statusCode":200,"body":"aGk=","isBase64Encoded":true}`, `200 map[Content-Type:[application/json]] "hi"`, ""},
		{`{"statusCode":200,"cookies":["a=1","b=2"],"body":"\u00fc\n"}`, `200 map[Content-Type:[application/json] Set-Cookie:[a=1 b=2]] "ü\n"`, ""},
		{`{}`, `200 map[Content-Type:[application/json]] ""`, `200 map[Content-Type:[application/json]] "{}"`},
		{` "hello" `, "error", `200 map[Content-Type:[application/json]] "\"hello\""`},
		{`[1, 2]`, "error", `200 map[Content-Type:[application/json]] "[1, 2]"`},
		{`null`, "error", `200 map[Content-Type:[application/json]] "null"`},
		{`{"message":"hi"}`, "error", `200 map[Content-Type:[application/json]] "{\"message\":\"hi\"}"`},
		{`{"statusCode":200,"extra":{"a":[1]}}`, "error", `200 map[Content-Type:[application/json]] ""`},
		{`{"statusCode":199}`, "error", "error"},
		{`{"statusCode":600}`, "error", "error"},
		{`{"statusCode":{}}`, "error", "200 map[Content-Type:[application/json]] \"{\\\"statusCode\\\":{}}\""},
		{`{"statusCode":200,"body":{"a":1}}`, "error", "error"},
		{`{"statusCode":200,"body":"%","isBase64Encoded":true}`, "error", "error"},
		{`{"statusCode":200,"headers":[]}`, "error", "error"},
		{`{"statusCode":200`, "error", "error"},
		{``, "error", "error"},
	} {
		if tt.two == "" {
			tt.two = tt.one
		}
		for i, want := range []string{tt.one, tt.two} {
			got := "error"
			r, err := DecodeReply([]byte(tt.reply), i == 1)
			if err == nil {
				got = fmt.Sprintf("%d %v %q", r.Status, r.Header, r.Body)
			} else if strings.Contains(err.Error(), "extra") || strings.Contains(err.Error(), "hello") {
				t.Errorf("%s: the error quotes it: %v", tt.reply, err)
			}
			if got != want {
				t.Errorf("%s, payload %d: %s, want %s (%v)", tt.reply, i+1, got, want, err)
			}
		}
	}
}

// What a function says reaches the front as it is, and what the handler wrote does not, unless somebody has
// answered something else meanwhile.
func TestVerbatim(t *testing.T) {
	const own = ` {"statusCode": 201, "body":"as \u0069t is"} `
	for _, front := range eventtest.Fronts {
		for status, want := range map[int]string{201: own, 503: "refused"} {
			d := &Door{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tapway.FactsFrom(r.Context()).Verbatim = &tapway.Verbatim{Status: 201, Reply: []byte(own)}
				w.Header().Set("Content-Length", "3") // more comes, and it does not count
				w.WriteHeader(status)
				if status == 201 {
					if n, err := w.Write([]byte("for the capture")); n != 15 || err != nil {
						t.Error(n, err)
					}
				} else {
					w.Header().Del("Content-Length")
				}
			})}
			if status == 503 {
				d.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					tapway.FactsFrom(r.Context()).Verbatim = &tapway.Verbatim{Status: 201, Reply: []byte(own)}
					http.Error(w, "refused", status)
				})
			}
			event, err := front.Event(eventtest.Request{})
			if err != nil {
				t.Fatal(err)
			}
			reply, err := d.Serve(t.Context(), event)
			if err != nil || reply.Wait() != nil {
				t.Fatal(err, reply.Wait())
			}
			if got := string(reply.Body); status == 201 && got != want || !strings.Contains(got, want) {
				t.Errorf("%v %d: %s", front, status, got)
			}
		}
	}
}

// FuzzDecodeReply: whatever a function says, what can be read of it is a response, and encoding/json agrees.
func FuzzDecodeReply(f *testing.F) {
	f.Add([]byte(`{"statusCode":200,"headers":{"a":"b"},"multiValueHeaders":{"c":["d"]},"cookies":["e"],"body":"x","isBase64Encoded":false}`), true)
	f.Add([]byte(`{"statusCode":"200","body":"aGk","isBase64Encoded":true}`), false)
	f.Fuzz(func(t *testing.T, text []byte, inferred bool) {
		r, err := DecodeReply(text, inferred)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is no JSON, and gives %+v", text, r)
		}
		if r.Status < 200 || r.Status > 599 || len(r.Header["Content-Type"]) == 0 {
			t.Fatalf("%+v", r)
		}
		var plain struct {
			StatusCode      any
			Body            *string
			IsBase64Encoded bool
		}
		if json.Unmarshal(text, &plain) == nil && plain.Body != nil && plain.StatusCode != nil && !plain.IsBase64Encoded && utf8.Valid(text) && strings.Count(strings.ToLower(string(text)), "body") == 1 && !strings.Contains(string(text), `\u`) {
			if !reflect.DeepEqual([]byte(*plain.Body), append([]byte{}, r.Body...)) && strings.Contains(string(text), `"body"`) {
				t.Fatalf("%s: body %q", text, r.Body)
			}
		}
	})
}
