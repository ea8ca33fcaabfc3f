package spill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/record"
)

func exchange(body int) *tapway.Exchange {
	id, err := tapway.ParseID("0198c2f0-7c1e-7b3a-9d2e-3f1f7b6a5c4d")
	if err != nil {
		panic(err)
	}
	// A quarter to midnight two hours east of Greenwich is still the same day there.
	at := time.Date(2026, 11, 21, 1, 45, 0, 0, time.FixedZone("", 2*3600))
	return &tapway.Exchange{
		Meta:    tapway.Meta{ID: id, Time: at, Method: "POST", Path: "/x", RequestSize: int64(body)},
		Request: tapway.Body{Bytes: bytes.Repeat([]byte("a"), body), Size: int64(body)},
	}
}

// store keeps what is put, and fails for the keys in fail as often as they say.
type store struct {
	tapway.BlobStore
	put  map[string][]byte
	fail map[string]int
}

func (s *store) Put(_ context.Context, key string, body []byte) error {
	if s.fail[key] > 0 {
		s.fail[key]--
		return errors.New("503")
	}
	s.put[key] = body
	return nil
}

func TestPut(t *testing.T) {
	ex := exchange(3)
	a, b := "spill/a/2026/11/20/"+ex.ID.String()+".json", "spill/b/2026/11/20/"+ex.ID.String()+".json"
	for _, tt := range []struct {
		fail map[string]int
		keys []string
		ok   bool
	}{
		{nil, []string{a, b}, true},
		{map[string]int{a: 1}, []string{a, b}, true}, // tried twice
		{map[string]int{b: 2}, []string{a}, false},
	} {
		s := &store{put: map[string][]byte{}, fail: tt.fail}
		keys, err := Put(t.Context(), s, ex, []byte("record"), []string{"a", "b"})
		if !slices.Equal(keys, tt.keys) || (err == nil) != tt.ok || len(s.put) != len(tt.keys) {
			t.Errorf("%v: %v %v", tt.fail, keys, err)
		}
	}
	if _, err := Put(t.Context(), nil, ex, nil, []string{"a"}); !errors.Is(err, ErrNoBucket) {
		t.Errorf("without a bucket: %v", err)
	}
}

func TestLeft(t *testing.T) {
	ex := exchange(3)
	all := []string{"a", "b", "c"}
	some := &sqsqueue.EnqueueError{ID: ex.ID, Failed: map[string]error{"c": errors.New("x"), "b": errors.New("y")}, Record: []byte("r")}
	if text, missing := Left(ex, fmt.Errorf("enqueue: %w", some), all); string(text) != "r" || !slices.Equal(missing, []string{"b", "c"}) {
		t.Errorf("some: %s %v", text, missing)
	}
	if text, missing := Left(ex, errors.New("closed"), all); !bytes.Equal(text, record.Append(nil, ex)) || !slices.Equal(missing, all) {
		t.Errorf("all: %s %v", text, missing)
	}
}

// TestLog: a record goes into the line whole up to the limit, and without its bodies above.
func TestLog(t *testing.T) {
	const near = MaxLogged - 2000
	fits := near + MaxLogged - len(record.Append(nil, exchange(near)))
	if n := len(record.Append(nil, exchange(fits))); n != MaxLogged {
		t.Fatalf("a body of %d makes a record of %d", fits, n)
	}
	for body, want := range map[int]bool{0: true, fits: true, fits + 1: false, 10 * MaxLogged: false} {
		var out bytes.Buffer
		ex := exchange(body)
		whole := Log(slog.New(slog.NewJSONHandler(&out, nil)), ex, record.Append(nil, ex), []string{"a"}, errors.New("q"), errors.New("s"))
		var line struct {
			Whole  bool
			Record json.RawMessage
		}
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		got, err := record.Parse(line.Record)
		if err != nil {
			t.Fatal(err)
		}
		if whole != want || line.Whole != want || (len(got.Request.Bytes) == body) != want || got.Request.Withheld == want && body > 0 || len(ex.Request.Bytes) != body {
			t.Errorf("body of %d: whole %v, %d bytes of it, withheld %v", body, whole, len(got.Request.Bytes), got.Request.Withheld)
		}
	}
	ex := exchange(0)
	ex.RequestHeader = tapway.Header{{Name: "X", Value: strings.Repeat("h", MaxLogged)}}
	var out bytes.Buffer
	if Log(slog.New(slog.NewJSONHandler(&out, nil)), ex, record.Append(nil, ex), nil, errors.New("q"), errors.New("s")) || out.Len() > 4096 || !strings.Contains(out.String(), `"record":null`) {
		t.Errorf("headers too long: %.300s", out.String())
	}
}
