package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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
		rate float64
		want string
	}{{199, "**no**"}, {200, "yes"}} {
		r := &report{outcomes: []*outcome{{cell: cell{"POST", 1 << 10, 64}, samples: map[string][]sample{nameTapway: at(c.rate, 10), nameCaddy: at(100, 20)}}}}
		var b strings.Builder
		r.targets(&b)
		var got string
		for line := range strings.Lines(b.String()) {
			if strings.Contains(line, "twice Caddy") {
				got = line
			}
			if strings.Contains(line, "three times Tyk") && !strings.Contains(line, "not measured") {
				t.Errorf("Tyk was not there: %s", line)
			}
		}
		if !strings.HasSuffix(strings.TrimSpace(got), "| "+c.want+" |") {
			t.Errorf("at %.0f to 100: %s, want %s", c.rate, got, c.want)
		}
	}
}
