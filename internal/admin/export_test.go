package admin

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

// damagedStore holds three exchanges, of which the second cannot be read.
type damagedStore struct{ tapway.Store }

func (damagedStore) Search(context.Context, tapway.Search) iter.Seq2[tapway.Meta, error] {
	return func(yield func(tapway.Meta, error) bool) {
		for seq := range uint64(3) {
			if !yield(tapway.Meta{Seq: seq + 1}, nil) {
				return
			}
		}
	}
}

func (damagedStore) LoadSeq(_ context.Context, seq uint64) (*tapway.Exchange, error) {
	if seq == 2 {
		return nil, errors.New("damaged")
	}
	return &tapway.Exchange{Meta: tapway.Meta{Seq: seq, Method: "GET", Path: "/x"}}, nil
}

// A damaged record does not keep the others from being exported, and is not passed over in
// silence.
func TestExportPassesDamage(t *testing.T) {
	var log strings.Builder
	s := &Server{Store: damagedStore{}, Log: slog.New(slog.NewTextHandler(&log, nil))}
	for format, want := range map[string]int{"ndjson": 2, "har": 2} {
		log.Reset()
		w := httptest.NewRecorder()
		func() {
			defer func() { recover() }() // a HAR file is broken off at its end: its reader learns that it is not whole
			s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1/api/v1/export?format="+format, nil))
		}()
		out := w.Body.String()
		name := map[string]string{"ndjson": `"endpoint":`, "har": `"startedDateTime":`}[format]
		if n := strings.Count(out, name); n != want {
			t.Errorf("%s: %d records, want %d: %s", format, n, want, out)
		}
		if format == "ndjson" && !strings.Contains(out, `{"error":"1 records are damaged`) {
			t.Errorf("ndjson does not tell of the damage: %s", out)
		}
		if !strings.Contains(log.String(), "damaged") {
			t.Errorf("%s: the log does not tell of the damage: %s", format, log.String())
		}
	}
}
