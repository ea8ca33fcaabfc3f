package delivery_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/delivery"
)

// A replay is one Send of one message to another address.
func ExampleSender_Send() {
	destination := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.Header.Get("Content-Type"), "attempt", r.Header.Get("X-Tapway-Attempt"))
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer destination.Close()

	ex := tapway.Exchange{Meta: tapway.Meta{ID: tapway.NewID(time.Now()), Method: "GET", Path: "/users"}}
	message := tapway.Message{ID: ex.ID, Attempts: 7, Frame: tapway.AppendFrame(nil, &ex)}

	s := &delivery.Sender{Name: "replay", URL: destination.URL, Transport: &http.Transport{DisableKeepAlives: true}}
	o := s.Send(context.Background(), []tapway.Message{message})[0]
	fmt.Println(o.Verdict, "because:", o.Reason)
	// Output:
	// POST application/json attempt 8
	// dead because: gave up after 8 attempts: 503 Service Unavailable
}
