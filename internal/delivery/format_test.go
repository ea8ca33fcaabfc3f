package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/record"
)

func TestParseFormat(t *testing.T) {
	for name, want := range map[string]Format{"": JSON, "json": JSON, "ndjson": NDJSON, "cloudevents": CloudEvents, "har": HAR, "JSON": "", "xml": "", "json ": ""} {
		got, err := ParseFormat(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", name, got, err)
		}
	}
}

// asRecord turns a message into one that crossed machines.
func asRecord(t *testing.T, m tapway.Message) tapway.Message {
	t.Helper()
	text, err := record.FromMessage(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	m.Record, m.Frame = text, nil
	return m
}

func TestFormats(t *testing.T) {
	frames := messages(2)
	records := []tapway.Message{asRecord(t, frames[0]), asRecord(t, frames[1])}
	one, two := string(records[0].Record), string(records[1].Record)
	event := func(n int, data string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":"%s","source":"//api.example.com","type":"dev.tapway.exchange.v1",`+
			`"time":"2026-11-20T10:00:00%sZ","subject":"POST /users/%d","datacontenttype":"application/json","data":%s}`,
			frames[n].ID, []string{"", ".001"}[n], n, data)
	}
	for _, c := range []struct {
		format      Format
		batched     bool
		contentType string
		bodies      []string
	}{
		{"", false, "application/json", []string{one, two}},
		{JSON, false, "application/json", []string{one, two}},
		{JSON, true, "application/json", []string{"[" + one + "," + two + "]"}},
		{NDJSON, false, "application/x-ndjson", []string{one + "\n", two + "\n"}},
		{NDJSON, true, "application/x-ndjson", []string{one + "\n" + two + "\n"}},
		{CloudEvents, false, "application/cloudevents+json", []string{event(0, one), event(1, two)}},
		{CloudEvents, true, "application/cloudevents-batch+json", []string{"[" + event(0, one) + "," + event(1, two) + "]"}},
	} {
		for source, batch := range map[string][]tapway.Message{"frames": frames, "records": records} {
			t.Run(fmt.Sprintf("%s/%v/%s", c.format, c.batched, source), func(t *testing.T) {
				d := newDestination(t, nil)
				s := &Sender{URL: d.URL, Format: c.format, Transport: transport(t)}
				if c.batched {
					s.Batch.MaxRecords = 2
				}
				s.Send(t.Context(), batch)
				var bodies []string
				for _, r := range d.got() {
					bodies = append(bodies, string(r.body))
					if got := r.header.Get("Content-Type"); got != c.contentType {
						t.Errorf("Content-Type %q", got)
					}
				}
				if !slices.Equal(bodies, c.bodies) {
					t.Errorf("got %q\nwant %q", bodies, c.bodies)
				}
			})
		}
	}
}

func TestHAR(t *testing.T) {
	d := newDestination(t, nil)
	s := &Sender{URL: d.URL, Format: HAR, Version: `1"2`, Batch: Batch{MaxRecords: 5}, Transport: transport(t)}
	batch := messages(3)
	batch[1] = asRecord(t, batch[1])
	for i, o := range s.Send(t.Context(), batch) {
		if o.Verdict != tapway.Delivered {
			t.Errorf("record %d: %+v", i, o)
		}
	}
	var doc struct {
		Log struct {
			Version string
			Creator struct{ Name, Version string }
			Entries []struct {
				Request struct{ Method, URL string }
			}
		}
	}
	if err := json.Unmarshal(d.got()[0].body, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Log.Version != "1.2" || doc.Log.Creator.Version != `1"2` || len(doc.Log.Entries) != 3 {
		t.Errorf("got %+v", doc)
	}
	for i, e := range doc.Log.Entries {
		if e.Request.Method != "POST" || !strings.HasSuffix(e.Request.URL, fmt.Sprintf("/users/%d", i)) {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
}

// An odd host or path cannot break out of an event.
func TestEventEscapes(t *testing.T) {
	ex := tapway.Exchange{Meta: tapway.Meta{ID: tapway.NewID(time.Now()), From: "a\"b\n c", Method: "G\"ET", Path: "/\xff\"<"}}
	m := tapway.Message{ID: ex.ID, Frame: tapway.AppendFrame(nil, &ex)}
	text, err := new(Sender).appendEvent(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	var event map[string]any
	if err := json.Unmarshal(text, &event); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if event["subject"] != "G\"ET /\ufffd\"<" || strings.ContainsAny(event["source"].(string), "\" \n") {
		t.Errorf("got %v", event)
	}
	ex.From = ""
	m.Frame = tapway.AppendFrame(nil, &ex)
	if text, _ = new(Sender).appendEvent(nil, &m); !bytes.Contains(text, []byte(`"source":"/tapway"`)) {
		t.Errorf("without a host: %s", text)
	}
}

// The limit in bytes holds for what is sent, whatever the records' stored size was.
func TestMaxBytes(t *testing.T) {
	size := len(asRecord(t, message(0)).Record)
	for _, c := range []struct {
		limit int
		want  []int // records per request
	}{
		{3*size + 4, []int{3, 3, 1}},
		{3*size + 3, []int{2, 2, 2, 1}},
		{size, []int{1, 1, 1, 1, 1, 1, 1}},
		{1, []int{1, 1, 1, 1, 1, 1, 1}},
		{0, []int{7}},
	} {
		d := newDestination(t, nil)
		s := &Sender{URL: d.URL, Batch: Batch{MaxRecords: 10, MaxBytes: c.limit}, Transport: transport(t)}
		for i, o := range s.Send(t.Context(), messages(7)) {
			if o.Verdict != tapway.Delivered {
				t.Errorf("limit %d, record %d: %+v", c.limit, i, o)
			}
		}
		var got []int
		var ids []string
		for _, r := range d.got() {
			var records []struct{ ID string }
			if err := json.Unmarshal(r.body, &records); err != nil {
				t.Fatal(err)
			}
			got = append(got, len(records))
			for _, rec := range records {
				ids = append(ids, rec.ID)
			}
			if c.limit > size && len(r.body) > c.limit {
				t.Errorf("a request of %d bytes; the limit is %d", len(r.body), c.limit)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("limit %d: got %v, want %v", c.limit, got, c.want)
		}
		if len(ids) != 7 || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 7 {
			t.Errorf("limit %d: sent %v", c.limit, ids)
		}
	}
}

// rejecting answers 422 to every request with one of the poisoned records in it.
func rejecting(poison ...tapway.ID) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, id := range poison {
			if bytes.Contains(body, []byte(id.String())) {
				w.WriteHeader(422)
				return
			}
		}
	}
}

func TestSplit(t *testing.T) {
	batch := messages(100)
	for _, c := range []struct {
		name     string
		poison   []int
		requests int
	}{
		{"none", nil, 1},
		{"first", []int{0}, 13},
		{"last", []int{99}, 15},
		{"two", []int{17, 80}, 27},
		{"neighbours", []int{49, 50}, 27},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ids []tapway.ID
			for _, i := range c.poison {
				ids = append(ids, batch[i].ID)
			}
			d := newDestination(t, rejecting(ids...))
			s := &Sender{URL: d.URL, Format: NDJSON, Batch: Batch{MaxRecords: 100}, Transport: transport(t)}
			for i, o := range s.Send(t.Context(), batch) {
				want := tapway.Delivered
				if slices.Contains(c.poison, i) {
					want = tapway.Retry
				}
				if o.Verdict != want {
					t.Errorf("record %d: %+v", i, o)
				}
			}
			if n := len(d.got()); n > c.requests+2 || n < c.requests-2 {
				t.Errorf("%d requests, about %d expected", n, c.requests)
			}
		})
	}
}

func TestSplitIsBounded(t *testing.T) {
	d := newDestination(t, answering(400))
	s := &Sender{URL: d.URL, Batch: Batch{MaxRecords: 1000}, Transport: transport(t)}
	for i, o := range s.Send(t.Context(), messages(500)) {
		if o.Verdict != tapway.Retry || o.Status != 400 {
			t.Fatalf("record %d: %+v", i, o)
		}
	}
	if n := len(d.got()); n < 10 || n > maxRequests+10 {
		t.Errorf("%d requests", n)
	}
}

// When a request shows that the destination is down, the rest of the batch is not wasted.
func TestRestIsReleased(t *testing.T) {
	for status, want := range map[int]int{503: 1, 410: 1, 500: 3, 404: 3} {
		d := newDestination(t, answering(status))
		s := &Sender{URL: d.URL, Transport: transport(t)}
		released := 0
		for _, o := range s.Send(t.Context(), messages(3)) {
			if o.Verdict == tapway.Released {
				released++
			}
		}
		if n := len(d.got()); n != want {
			t.Errorf("%d: %d requests, want %d", status, n, want)
		}
		if wantReleased := map[int]int{503: 2, 410: 3}[status]; released != wantReleased {
			t.Errorf("%d: %d released, want %d", status, released, wantReleased)
		}
	}
}
