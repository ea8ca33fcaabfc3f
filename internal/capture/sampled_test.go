package capture

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// Sampled hears of what is left out in Observe's place, and then nothing is redacted.
func TestSampled(t *testing.T) {
	for _, decision := range []Decision{Drop, Keep} {
		var told, observed []tapway.Meta
		rec := &Recorder{
			Decide: func(*tapway.Exchange) Decision { return decision },
			Redact: func(*tapway.Exchange) {
				if decision == Drop {
					t.Error("redacted for nobody")
				}
			},
			Observe: func(ex *tapway.Exchange, _ error, _ time.Duration) { observed = append(observed, ex.Meta) },
			Ended: func(*tapway.Call, *tapway.Exchange) {
				if decision == Drop {
					t.Error("ended")
				}
			},
			Sampled: func(ex *tapway.Exchange) { told = append(told, ex.Meta) },
		}
		s := serve(t, rec, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }, true)
		if _, body, err := s.raw("GET", "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); err != nil || body != "hello" {
			t.Errorf("%q, %v", body, err)
		}
		s.settled()
		heard, other := told, observed
		if decision == Keep {
			heard, other = observed, told
		}
		if len(heard) != 1 || len(other) != 0 || heard[0].ResponseSize != 5 || heard[0].Status != 200 || heard[0].Duration <= 0 || s.queue.dropped["sampled"] != len(told) {
			t.Errorf("decision %v: sampled %+v, observed %+v, dropped %v", decision, told, observed, s.queue.dropped)
		}
	}
}
