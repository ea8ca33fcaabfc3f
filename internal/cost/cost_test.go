package cost

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) < 0.005*max(math.Abs(b), 0.01) }

func find(t *testing.T, e *Estimate, name string) Line {
	t.Helper()
	for _, l := range e.Lines {
		if l.Component == name {
			return l
		}
	}
	t.Fatalf("no component %q in %+v", name, e.Lines)
	return Line{}
}

// TestReckon checks the bill of 100 calls a second by hand: 259.2 million calls.
func TestReckon(t *testing.T) {
	e, err := Reckon(Load{RPS: 100, Size: 8 << 10, Billed: 40}, Table)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"REST API (yours already)":     259.2 * 3.50,
		"proxy function: requests":     259.2 * 0.20,
		"proxy function: time":         259.2e6 * 0.040 * 0.5 * 0.0000133334,
		"forwarder function: requests": 25.92 * 0.20,
		"forwarder function: time":     25.92e6 * 0.055 * 0.5 * 0.0000133334,
		// one request to send each; a batch of 10 x 8 KiB is two to receive and one to delete; 5 idle pollers
		"SQS": (259.2 + 2*25.92 + 25.92 + 5*30*24*3600/20/1e6) * 0.40,
	} {
		if got := find(t, e, name).Dollars; !near(got, want) {
			t.Errorf("%s: $%.2f, want $%.2f", name, got, want)
		}
	}
	sum := 0.0
	for _, l := range e.Lines {
		sum += l.Dollars
	}
	if !near(sum, e.Total) || !near(e.Total-find(t, e, "REST API (yours already)").Dollars, e.Tapway) || !near(e.PerCall, e.Tapway/259.2) {
		t.Errorf("the sums do not add up: %+v", e)
	}
}

// TestChunks: SQS bills 64 KB begun, HTTP APIs 512.
func TestChunks(t *testing.T) {
	for _, tt := range []struct {
		n, size int64
		want    float64
	}{{0, 65536, 1}, {1, 65536, 1}, {65536, 65536, 1}, {65537, 65536, 2}, {200 << 10, 65536, 4}, {512 << 10, 512 << 10, 1}, {512<<10 + 1, 512 << 10, 2}} {
		if got := chunks(tt.n, tt.size); got != tt.want {
			t.Errorf("%d bytes: %g, want %g", tt.n, got, tt.want)
		}
	}
}

func TestTiers(t *testing.T) {
	for millions, want := range map[float64]float64{0: 0, 1: 3.5, 333: 1165.5, 334: 1165.5 + 2.8, 1000: 1165.5 + 667*2.8, 1001: 1165.5 + 667*2.8 + 2.38} {
		if got := tiered(Table.REST, millions); !near(got, want) {
			t.Errorf("%g million: %g, want %g", millions, got, want)
		}
	}
}

// TestLarge: a record over the queue's limit goes through S3, and its message is small.
func TestLarge(t *testing.T) {
	small, err := Reckon(Load{RPS: 1, Size: 256 << 10}, Table)
	if err != nil {
		t.Fatal(err)
	}
	large, err := Reckon(Load{RPS: 1, Size: 256<<10 + 1}, Table)
	if err != nil {
		t.Fatal(err)
	}
	s3 := find(t, large, "S3: large records").Dollars
	if want := 2.592*5 + 2.592*0.4 + 2.592e6*256/1024/1024*20/30*0.023; !near(s3, want) {
		t.Errorf("S3: $%.2f, want $%.2f", s3, want)
	}
	if a, b := find(t, small, "SQS").Dollars, find(t, large, "SQS").Dollars; a <= b {
		t.Errorf("SQS: $%.2f for whole records, $%.2f for pointers", a, b)
	}
	for _, l := range small.Lines {
		if strings.HasPrefix(l.Component, "S3") {
			t.Errorf("the largest record that fits needs no %s", l.Component)
		}
	}
}

// TestRises: more of anything costs more.
func TestRises(t *testing.T) {
	base := Load{RPS: 50, Size: 40 << 10}
	before, err := Reckon(base, Table)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Load){
		"rps": func(l *Load) { l.RPS *= 2 }, "size": func(l *Load) { l.Size *= 4 }, "memory": func(l *Load) { l.Memory = 1024 }, "x86": func(l *Load) { l.Architecture = "x86_64" },
		"destinations": func(l *Load) { l.Destinations = 2 }, "time": func(l *Load) { l.Billed = 200 }, "delivery": func(l *Load) { l.DeliveryMS = 500 },
		"batch": func(l *Load) { l.Batch = 1 }, "large": func(l *Load) { l.LargeShare = 0.5 }, "logs": func(l *Load) { l.LogBytes = 5000 }, "internet": func(l *Load) { l.Egress = true },
	} {
		l := base
		change(&l)
		after, err := Reckon(l, Table)
		if err != nil {
			t.Fatal(err)
		}
		if after.Tapway <= before.Tapway {
			t.Errorf("%s: $%.2f, before $%.2f", name, after.Tapway, before.Tapway)
		}
	}
	if none, err := Reckon(Load{RPS: 50, Size: 40 << 10, Front: "url"}, Table); err != nil || none.Total != none.Tapway {
		t.Errorf("a Function URL costs nothing besides: %+v, %v", none, err)
	}
}

func TestRefused(t *testing.T) {
	for _, l := range []Load{{}, {RPS: 1}, {RPS: -1, Size: 1}, {RPS: math.NaN(), Size: 1}, {RPS: math.Inf(1), Size: 1}, {RPS: 1, Size: 1, LargeShare: 1.1}, {RPS: 1, Size: 1, Front: "alb"}, {RPS: 1, Size: 1, Architecture: "mips"}, {RPS: 1, Size: 1, Memory: -1}} {
		if e, err := Reckon(l, Table); err == nil {
			t.Errorf("%+v costs $%g", l, e.Total)
		}
	}
}

func TestPrices(t *testing.T) {
	text, err := json.Marshal(Table)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadPrices(text)
	if err != nil || p.SQS != Table.SQS || len(p.REST) != len(Table.REST) || p.Date != Table.Date {
		t.Errorf("the table, written and read: %+v, %v", p, err)
	}
	p, err = ReadPrices([]byte(`{"date": "2027-01-01", "regions": ["eu-west-1"], "sqs_requests": 0.5}`))
	if err != nil || p.SQS != 0.5 || p.LambdaARM != Table.LambdaARM || !p.For("eu-west-1") || p.For("us-east-1") {
		t.Errorf("%+v, %v", p, err)
	}
	for _, wrong := range []string{
		`{`, `{"sqs_requests": 1}`, `{"date": "x", "nope": 1}`, `{"date": "x", "sqs_requests": -1}`, `{"date": "x", "rest_requests": []}`,
		`{"date": "x", "rest_requests": [{"up_to": 10, "price": 1}]}`, `{"date": "x", "rest_requests": [{"up_to": 10, "price": 1}, {"up_to": 9, "price": 1}, {"price": 1}]}`,
	} {
		if _, err := ReadPrices([]byte(wrong)); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}

// TestNotes: prices of another region are not passed off as its own.
func TestNotes(t *testing.T) {
	for region, notes := range map[string]int{"": 0, "us-east-1": 0, "us-west-2": 0, "us-west-1": 1, "eu-west-1": 1} {
		e, err := Reckon(Load{RPS: 1, Size: 1, Region: region}, Table)
		if err != nil || len(e.Notes) != notes {
			t.Errorf("%s: %q, %v", region, e.Notes, err)
		}
	}
}
