package lambdahttp_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdahttp"
)

func ExampleDoor() {
	door := &lambdahttp.Door{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		facts := tapway.FactsFrom(r.Context())
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "%s %s from %s, %v", r.Method, r.RequestURI, r.RemoteAddr, facts.Fidelity)
	})}
	reply, err := door.Serve(context.Background(), []byte(`{
		"version": "2.0", "rawPath": "/users/a b", "rawQueryString": "x=1&y=%20",
		"headers": {"host": "api.example.com"},
		"requestContext": {"http": {"method": "GET", "sourceIp": "203.0.113.7"}, "stage": "$default"}
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(reply.Body))
	_ = reply.Wait() // then send the records, then ask for the next event
	// Output:
	// {"statusCode":200,"headers":{"Content-Type":"text/plain"},"body":"GET /users/a%20b?x=1&y=%20 from 203.0.113.7:0, [header-case path-decoded]","isBase64Encoded":false}
}
