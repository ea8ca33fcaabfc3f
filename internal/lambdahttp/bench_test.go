package lambdahttp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

func jsonBody(size int) string {
	const item = `{"id":"01938f00-0000-7000-8000-000000000000","name":"mörpheus","tags":["a","b"],"n":12345.678},`
	return "[" + strings.Repeat(item, size/len(item)) + "0]"
}

// BenchmarkDoor is the door's own cost: an event in, the request's body read, a response of the
// same size out as the reply. The last lines are what encoding/json needs for reading the same
// event and writing the same reply, without making a request of it.
func BenchmarkDoor(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		body := jsonBody(size)
		r := eventtest.Request{Method: "POST", Target: "/api/v1/users?a=b&c=d", Body: []byte(body), Header: fields("Content-Type", "application/json",
			"Accept", "application/json", "User-Agent", "bench/1", "Authorization", "Bearer "+strings.Repeat("x", 200), "Cookie", "a=b; c=d", "Accept-Encoding", "gzip, br")}
		d := &Door{Log: quiet(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Etag", `"1"`)
			io.WriteString(w, body)
		})}
		for _, f := range eventtest.Fronts {
			event, err := f.Event(r)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%v/%dKiB", f, size>>10), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(event) + len(body)))
				for b.Loop() {
					if reply, err := d.Serve(context.Background(), event); err != nil || reply.Wait() != nil {
						b.Fatal(err)
					}
				}
			})
		}
		event, _ := eventtest.REST.Event(r)
		b.Run(fmt.Sprintf("encoding-json/%dKiB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(event) + len(body)))
			for b.Loop() {
				var e struct {
					Resource, Path, HTTPMethod, Body                   string
					Headers, QueryStringParameters                     map[string]string
					MultiValueHeaders, MultiValueQueryStringParameters map[string][]string
					IsBase64Encoded                                    bool
					RequestContext                                     struct{ APIID, Stage, RequestID, DomainName, Path, Protocol string }
				}
				if err := json.Unmarshal(event, &e); err != nil {
					b.Fatal(err)
				}
				if _, err := json.Marshal(map[string]any{"statusCode": 200, "multiValueHeaders": e.MultiValueHeaders, "body": body, "isBase64Encoded": false}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
