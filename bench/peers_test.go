package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRecordCheck: a record is whole when each body is in it, as JSON or as a string, and not
// when one is missing, short, or differs by a byte.
func TestRecordCheck(t *testing.T) {
	body := string(jsonBody(1 << 10))
	quoted, _ := json.Marshal(body)
	other := strings.Replace(body, "user 1", "user 9", 1)
	short := body[:len(body)/2]
	shortQuoted, _ := json.Marshal(short)
	for _, c := range []struct {
		name           string
		record         string
		bodies         int
		glance, closer bool
	}{
		{"both embedded", `{"body":` + body + `,"response":` + body + `}`, 2, true, true},
		{"both as strings", `{"body":` + string(quoted) + `,"response":` + string(quoted) + `}`, 2, true, true},
		{"one of two", `{"body":` + body + `,"response":null}`, 2, false, false},
		{"one of one", `{"body":null,"response":` + body + `}`, 1, true, true},
		{"one cut short", `{"body":` + body + `,"response":` + string(shortQuoted) + `}`, 2, false, false},
		{"one with another byte", `{"body":` + body + `,"response":` + other + `}`, 2, true, false},
		{"not JSON", `{"body":` + body + `,"response":` + body, 2, true, false},
		{"a body alone", body, 2, false, false},
	} {
		check := recordCheck{[]byte(body), c.bodies}
		if got := check.whole([]byte(c.record), false); got != c.glance {
			t.Errorf("%s: at a glance %v, want %v", c.name, got, c.glance)
		}
		if got := check.whole([]byte(c.record), true); got != c.closer {
			t.Errorf("%s: looked at closely %v, want %v", c.name, got, c.closer)
		}
	}
}

// TestTykTally counts what a fake of Redis holds: records in base64 with bytes before them that
// look like it.
func TestTykTally(t *testing.T) {
	body := jsonBody(1 << 10)
	wire := func(body string) string {
		return "\xda\x05A" + base64.StdEncoding.EncodeToString([]byte("POST / HTTP/1.1\r\nHost: a\r\n\r\n"+body)) + "\xabRawResponse"
	}
	records := []string{
		wire(string(body)) + wire(string(body)),
		wire(string(body)) + wire(""),
		wire(string(body)) + wire(string(body[:500])+string(body[501:])),
	}
	for len(records) < 450 {
		records = append(records, records[0])
	}
	addr := fakeRedis(t, records)
	for _, c := range []struct {
		bodies  int
		closely bool
		want    tally
	}{{2, false, tally{450, 0}}, {2, true, tally{450, 448}}, {1, true, tally{450, 450}}} {
		got, err := tykTally(addr, body, c.bodies, c.closely)
		if err != nil || got != c.want {
			t.Errorf("%d bodies, closely %v: %v (%v), want %v", c.bodies, c.closely, got, err, c.want)
		}
	}
}

// fakeRedis knows one list.
func fakeRedis(t *testing.T, records []string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				w := bufio.NewWriter(c)
				for in := bufio.NewScanner(c); in.Scan(); w.Flush() {
					f := strings.Fields(in.Text())
					switch f[0] {
					case "KEYS":
						fmt.Fprint(w, "*1\r\n$30\r\nanalytics-tyk-system-analytics\r\n")
					case "LLEN":
						fmt.Fprintf(w, ":%d\r\n", len(records))
					case "LRANGE":
						var from, to int
						fmt.Sscan(f[2]+" "+f[3], &from, &to)
						page := records[from:min(to+1, len(records))]
						fmt.Fprintf(w, "*%d\r\n", len(page))
						for _, r := range page {
							fmt.Fprintf(w, "$%d\r\n%s\r\n", len(r), r)
						}
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// TestGoReplayTally: a call counts as whole with its request and its response, by their id.
func TestGoReplayTally(t *testing.T) {
	body := jsonBody(1 << 10)
	dir := t.TempDir()
	var file strings.Builder
	payload := func(kind int, id string, body []byte) {
		fmt.Fprintf(&file, "%d %s 1700000000000000000 0\nPOST / HTTP/1.1\r\n\r\n%s\n🐵🙈🙉\n", kind, id, body)
	}
	payload(1, "a", body)
	payload(2, "a", body)
	payload(1, "b", body)
	payload(1, "c", body)
	payload(2, "c", body[:len(body)-1])
	if err := os.WriteFile(filepath.Join(dir, "calls_0.gor"), []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := goreplayTally(dir, body, 2)
	if want := (tally{3, 1}); err != nil || got != want {
		t.Errorf("%v (%v), want %v", got, err, want)
	}
}

// TestConfigurationsAreFilled: no configuration keeps a placeholder, and every contender's are
// there.
func TestConfigurationsAreFilled(t *testing.T) {
	p := &place{had: "/had", dir: t.TempDir(), listen: "127.0.0.1:1001", backend: "127.0.0.1:1002", sink: "127.0.0.1:1003", redis: "127.0.0.1:1004"}
	used := map[string]bool{}
	for _, one := range peerList() {
		for _, f := range one.files {
			used[f[0]] = true
			if err := p.write(f[0], f[1]); err != nil {
				t.Errorf("%s: %v", one.name, err)
				continue
			}
			text, _ := os.ReadFile(filepath.Join(p.dir, f[1]))
			for _, name := range []string{"listen", "port", "backend", "backendport", "sink", "sinkhost", "sinkport", "redis", "dir", "root", "bin"} {
				if strings.Contains(string(text), "{"+name+"}") {
					t.Errorf("%s: %s keeps {%s}", one.name, f[0], name)
				}
			}
		}
	}
	fs.WalkDir(peerFiles, "peers", func(path string, d fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if err == nil && !d.IsDir() && name != "get" && name != "notes.md" && !used[name] {
			t.Errorf("no contender uses %s", path)
		}
		return err
	})
}

// TestReportPairsRounds: a round that one of two did not have is in no ratio.
func TestReportPairsRounds(t *testing.T) {
	at := func(round int, perSec float64) sample { return sample{round: round, result: result{perSec: perSec}} }
	o := &outcome{samples: map[string][]sample{"a": {at(0, 10), at(1, 20), at(2, 30)}, "b": {at(0, 5), at(2, 10)}}}
	if got := o.ratio("a", "b", func(s sample) float64 { return s.perSec }); !slices.Equal(got, []float64{2, 3}) {
		t.Errorf("ratios %v, want 2 and 3", got)
	}
}

// TestTargets: a target holds from its factor on, and one whose peer is missing is not measured.
func TestTargets(t *testing.T) {
	at := func(perSec, cpu float64) []sample { return []sample{{result: result{perSec: perSec, cpu: cpu}}} }
	for _, c := range []struct {
		rate      float64
		sum, cell string
	}{{199, "| ✗ in 1 of 2 kinds of calls | 1.99 to 3.00 | 2.00 to 2.00 |", "✗ 1.99 (1.99–1.99) · CPU 2.00"}, {200, "| ✓ in 2 of 2 kinds of calls | 2.00 to 3.00 | 2.00 to 2.00 |", "✓ 2.00 (2.00–2.00) · CPU 2.00"}} {
		r := &report{outcomes: []*outcome{
			{cell: cell{"POST", 1 << 10, 64}, samples: map[string][]sample{nameTapway: at(c.rate, 10), nameCaddy: at(100, 20)}},
			{cell: cell{"GET", 1 << 10, 64}, samples: map[string][]sample{nameTapway: at(300, 10), nameCaddy: at(100, 20)}},
		}}
		var b strings.Builder
		r.targets(&b)
		text := b.String()
		for _, want := range []string{"twice Caddy's plain proxying " + c.sum, c.cell, "three times Tyk with `detailed_recording` | not measured |"} {
			if !strings.Contains(text, want) {
				t.Errorf("at %.0f to 100: no %q in\n%s", c.rate, want, text)
			}
		}
	}
}

// TestCompleteness: a call without a record and a record without a body are two things.
func TestCompleteness(t *testing.T) {
	for _, c := range []struct {
		expected, records, whole int
		want                     string
	}{
		{100, 100, 100, "all 100"}, {100, 102, 100, "all 100"}, {100, 100, 99, "99.00 %: 99 of 100 (100 have a record)"},
		{100, 97, 90, "90.00 %: 90 of 100 (97 have a record)"}, {100, 98, 0, "none of 100 (98 without the answer)"},
	} {
		if got := completeness([]sample{{expected: c.expected, tally: tally{c.records, c.whole}}}); got != c.want {
			t.Errorf("%d records, %d whole, of %d: %q, want %q", c.records, c.whole, c.expected, got, c.want)
		}
	}
}

// TestForms: each form has the calls that the page says it has, and time is asked for in the right place.
func TestForms(t *testing.T) {
	defer func(name string) { *formName = name }(*formName)
	for _, c := range []struct {
		name  string
		cells int
		has   []cell
		bound time.Duration
	}{
		{"quick", 3, []cell{{"POST", 10 << 10, 64}, {"GET", 1 << 10, 64}}, 12 * time.Minute},
		{"middle", 10, []cell{{"POST", 100 << 10, 64}, {"GET", 100 << 10, 64}, {"GET", 1 << 10, 16}, {"POST", 1 << 10, 256}}, 30 * time.Minute},
		{"full", 18, []cell{{"GET", 100 << 10, 256}, {"POST", 10 << 10, 16}}, 0},
	} {
		*formName = c.name
		f, err := chosenForm()
		if err != nil || f.name != c.name || len(f.cells) != c.cells || f.limit != c.bound {
			t.Errorf("%s: %+v (%v)", c.name, f, err)
		}
		for _, want := range c.has {
			if !slices.Contains(f.cells, want) {
				t.Errorf("%s is without %s", c.name, want)
			}
		}
	}
	*formName = "long"
	if _, err := chosenForm(); err == nil {
		t.Error("a form that there is not was taken")
	}
	f := form{limit: time.Minute}
	if now := time.Now(); !f.left(now, 30*time.Second) || f.left(now, 61*time.Second) || f.left(now.Add(-time.Hour), time.Second) {
		t.Error("time is left where there is none, or none where there is")
	}
	if now := time.Now(); !(form{}).left(now.Add(-time.Hour), time.Hour) {
		t.Error("a form without a limit ended")
	}
}

// TestResume: a run goes on after its last whole line, and never with another tapway or form.
func TestResume(t *testing.T) {
	name := filepath.Join(t.TempDir(), "run.jsonl")
	want := header{Form: "quick", Rounds: 2, Seconds: 1, Tapway: "ab"}
	s, err := openState(name, want, true) // nothing is there yet
	if err != nil {
		t.Fatal(err)
	}
	c := cell{"POST", 1 << 10, 64}
	full := sample{result: result{calls: 7, perSec: 6, cpu: 5, p50: 4, p99: 3, failed: 2}, round: 1, store: 9, peak: 8, expected: 11, tally: tally{12, 10}, lag: 13, others: 0.5}
	written := []line{lineOf(peer{name: "one"}, c, full, time.Second, nil), lineOf(peer{name: "two"}, c, sample{round: 1}, time.Second, errGone)}
	for _, l := range written {
		if err := s.add(l); err != nil {
			t.Fatal(err)
		}
	}
	s.file.WriteString(`{"Peer":"three","Meth`)
	s.close()

	if s, err = openState(name, want, true); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.lines, written) {
		t.Errorf("read %+v, want %+v", s.lines, written)
	}
	if got := s.lines[0].sample(); got != full {
		t.Errorf("the sample came back as %+v, want %+v", got, full)
	}
	if err := s.add(written[0]); err != nil {
		t.Fatal(err)
	}
	s.close()
	if s, err = openState(name, want, true); err != nil || len(s.lines) != 3 {
		t.Fatalf("after going on: %v", err)
	}
	s.close()

	r := &report{form: form{rounds: 2}, outcomes: []*outcome{{cell: c, samples: map[string][]sample{}}}}
	for _, l := range s.lines[:2] {
		r.take(l)
	}
	o := r.outcomes[0]
	if !o.done("one", 1) || o.done("one", 0) || !o.done("two", 1) || o.done("three", 1) || r.gone("two") {
		t.Error("what is done is not what was measured")
	}
	if list := []peer{{name: "one"}, {name: "two"}}; !r.complete(list, o, 1) || r.complete(list, o, 0) {
		t.Error("a round is complete where it is not, or the other way round")
	}
	if r.take(written[1]); !r.gone("two") {
		t.Error("what failed twice is measured again")
	}

	for _, other := range []header{{"middle", 2, 1, "", "ab", time.Time{}}, {"quick", 3, 1, "", "ab", time.Time{}}, {"quick", 2, 1, "", "cd", time.Time{}}} {
		if _, err := openState(name, other, true); !errors.Is(err, errOtherRun) {
			t.Errorf("%+v went on with another run: %v", other, err)
		}
	}
	if s, err = openState(name, want, false); err != nil || len(s.lines) != 0 {
		t.Errorf("a new run begins with %d lines: %v", len(s.lines), err)
	}
	s.close()
}

// TestExact: a peer is taken for good when it answers twice over one connection with the backend's bytes.
func TestExact(t *testing.T) {
	body := jsonBody(1 << 10)
	other := append([]byte(nil), body...)
	other[len(other)/2]++
	for _, c := range []struct {
		name   string
		answer func(w http.ResponseWriter)
		good   bool
	}{
		{"the very bytes", func(w http.ResponseWriter) { w.Write(body) }, true},
		{"a byte differs", func(w http.ResponseWriter) { w.Write(other) }, false},
		{"a byte less", func(w http.ResponseWriter) { w.Write(body[1:]) }, false},
		{"another status", func(w http.ResponseWriter) { w.WriteHeader(http.StatusCreated); w.Write(body) }, false},
		{"the connection ends", func(w http.ResponseWriter) { w.Header().Set("Connection", "close"); w.Write(body) }, false},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.answer(w) }))
		err := exact(s.Listener.Addr().String(), post(1<<10), body)
		s.Close()
		if (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestPage: the page names its form, what was left out for want of time, and ends with the notes.
func TestPage(t *testing.T) {
	c := cell{"POST", 1 << 10, 64}
	r := &report{form: form{name: "quick", about: "a part", rounds: 4, cells: []cell{c}, limit: 12 * time.Minute}, cut: 2, missing: map[string]string{"tyk": "no `git`"},
		outcomes: []*outcome{{cell: c, samples: map[string][]sample{nameHTTPUtil: {{result: result{perSec: 1, cpu: 1}, others: 0.25}}}}}}
	text := r.markdown(r.choose(peerList()))
	notes, _ := peerFiles.ReadFile("peers/notes.md")
	for _, want := range []string{"the form `quick`: a part.", "2 of the 4 rounds", "took 25 % of", "- tyk: `no 'git'`", "| Caddy | – |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if strings.Contains(text, "| "+nameTyk+" |") || !strings.HasSuffix(text, string(notes)) {
		t.Error("a peer that is missing has a line, or the notes are not at the end")
	}
}
