package tapway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func sampleExchange() *Exchange {
	at := time.Date(2026, 11, 20, 10, 0, 0, 123456789, time.UTC)
	return &Exchange{
		Meta: Meta{
			ID: NewID(at), Time: at, Duration: 12 * time.Millisecond, Overhead: 200 * time.Microsecond, Access: 30 * time.Microsecond,
			Connect: time.Millisecond, FirstByte: 9 * time.Millisecond, Front: FrontServer, Origin: OriginBackend,
			Proto: "HTTP/1.1", From: "api.example.com", Method: "POST", Path: "/api/v1/users", Query: "a=b&a=c",
			Route: "POST /api/v1/users", ClientIP: "203.0.113.7", Status: 201, Error: "", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736",
			RequestSize: 2, ResponseSize: 14,
		},
		RequestHeader:   Header{{"Content-Type", "application/json"}, {"X-Empty", ""}},
		ResponseHeader:  Header{{"Set-Cookie", "[REDACTED]"}, {"Set-Cookie", "[REDACTED]"}},
		ResponseTrailer: Header{{"Grpc-Status", "0"}},
		Request:         Body{Bytes: []byte("{}"), Size: 2},
		Response:        Body{Size: 14, Summed: true, Sum: [32]byte{1, 2, 3}, Withheld: true, Truncated: true, Decoded: true},
		API:             &API{ID: "a1b2c3", Stage: "prod", RequestID: "r"},
		Fidelity:        []string{"query-order", "path-decoded"},
	}
}

func TestFrameRoundTrip(t *testing.T) {
	for name, want := range map[string]*Exchange{"full": sampleExchange(), "empty": {Meta: Meta{Time: time.Unix(0, 0).UTC()}}} {
		frame := AppendFrame([]byte("before"), want)[len("before"):]
		if len(frame) > FrameSize(want) {
			t.Errorf("%s: frame has %d bytes, FrameSize promised at most %d", name, len(frame), FrameSize(want))
		}
		got, err := DecodeFrame(frame)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		meta, err := DecodeMeta(frame)
		if err != nil || meta != want.Meta {
			t.Errorf("%s: DecodeMeta = %+v, %v", name, meta, err)
		}
		for cut := range frame {
			if _, err := DecodeFrame(frame[:cut]); err == nil {
				t.Fatalf("%s: a frame cut at %d of %d decodes", name, cut, len(frame))
			}
		}
		if _, err := DecodeFrame(append(frame, 0)); err == nil {
			t.Errorf("%s: a frame with a byte too many decodes", name)
		}
	}
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add(AppendFrame(nil, sampleExchange()))
	f.Add(AppendFrame(nil, &Exchange{}))
	f.Fuzz(func(t *testing.T, frame []byte) {
		view := *sampleExchange()
		seen := ViewFrame(frame, &view)
		ex, err := DecodeFrame(frame)
		if (err == nil) != (seen == nil) {
			t.Fatalf("decoded: %v, viewed: %v", err, seen)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(ex, &view, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
		again, err := DecodeFrame(AppendFrame(nil, ex))
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if diff := cmp.Diff(ex, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A view says what DecodeFrame says, whatever it was used for before, and lines of one frame never show
// through in another.
func TestViewFrame(t *testing.T) {
	frames := [][]byte{AppendFrame(nil, sampleExchange()), AppendFrame(nil, &Exchange{}), AppendFrame(nil, sampleExchange())}
	var view Exchange
	for i, frame := range frames {
		want, err := DecodeFrame(frame)
		if err != nil {
			t.Fatal(err)
		}
		if err := ViewFrame(frame, &view); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, &view, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("frame %d (-want +got):\n%s", i, diff)
		}
	}
	room := testing.AllocsPerRun(100, func() {
		if err := ViewFrame(frames[1], &view); err != nil {
			t.Fatal(err)
		}
	})
	if room != 0 {
		t.Errorf("%v allocations", room)
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	ex := sampleExchange()
	ex.Request.Bytes = bytes.Repeat([]byte("x"), 1024)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendFrame(buf[:0], ex)
	}
}

func TestID(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 0, 0, 123e6, time.UTC)
	seen := map[ID]bool{}
	for range 1000 {
		id := NewID(at)
		if seen[id] {
			t.Fatalf("%s came twice", id)
		}
		seen[id] = true
		if !id.Time().Equal(at) {
			t.Fatalf("%s says %v", id, id.Time())
		}
		if s := id.String(); s[14] != '7' || (s[19] != '8' && s[19] != '9' && s[19] != 'a' && s[19] != 'b') {
			t.Fatalf("%s is not a UUIDv7 of the RFC's variant", s)
		}
		if back, err := ParseID(id.String()); err != nil || back != id {
			t.Fatalf("ParseID(%s) = %s, %v", id, back, err)
		}
	}
	for _, bad := range []string{"", "x", "01938f000000700080000000000000000000", "0198c2f0-0000-7000-8000-00000000000g"} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("ParseID(%q) took it", bad)
		}
	}
}

func TestSecretNeverPrints(t *testing.T) {
	s := Secret("hunter2")
	js, _ := json.Marshal(map[string]any{"s": s})
	for _, text := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %s %q %x %d %#v %+v", s, s, s, s, s, s, s), fmt.Sprintf("%v", struct{ S Secret }{s}),
		string(js), s.LogValue().String(),
	} {
		if bytes.Contains([]byte(text), []byte("hunter2")) || bytes.Contains([]byte(text), []byte("68756e74657232")) {
			t.Errorf("printed the secret: %s", text)
		}
	}
	if s.Reveal() != "hunter2" {
		t.Error("Reveal does not give the secret")
	}
}

func TestLedgerDifference(t *testing.T) {
	l := LedgerLine{Captured: 10, Delivered: 4, Queued: 3, Dead: 1, Dropped: map[string]uint64{"filtered": 2}}
	if d := l.Difference(); d != 0 {
		t.Errorf("a balanced line differs by %d", d)
	}
	l.Delivered--
	if d := l.Difference(); d != 1 {
		t.Errorf("a lost record shows as %d", d)
	}
}
