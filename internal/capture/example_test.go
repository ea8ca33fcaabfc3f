package capture_test

import (
	"log"
	"net/http"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/capture"
)

func ExampleRecorder() {
	var queue tapway.Queue            // opened before
	var redact func(*tapway.Exchange) // made of the rules

	recorder := &capture.Recorder{
		Queue:  queue,
		Redact: redact,
		Decide: func(ex *tapway.Exchange) capture.Decision {
			if ex.Path == "/healthz" {
				return capture.Drop
			}
			return capture.Keep
		},
	}
	log.Fatal(http.ListenAndServe(":8080", recorder.Wrap(http.FileServer(http.Dir(".")))))
}
