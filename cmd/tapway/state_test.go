package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/record/recordtest"
)

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestDeadLetters is the life of dead letters, through the running process and again on the
// data directory alone.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	for _, offline := range []bool{false, true} {
		t.Run(fmt.Sprintf("offline=%v", offline), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "")
			g := serve(t, w.dir)
			g.calls(t, "/good/1", "/poison/1", "/poison/2", "/poison/3", "/poison/4", "/good/2")
			if l := settled(t, w.dir); l.Destinations[0].Dead != 4 || l.Destinations[0].Delivered != 2 {
				t.Fatalf("ledger %+v", l)
			}
			if offline {
				g.stop(t)
			}
			w.checkList(t)
			w.checkShow(t)
			w.checkResolve(t)
			if !offline {
				g.stop(t)
			}
			g = serve(t, w.dir)
			waitFor(t, "the redriven letter", func() bool { return w.sink.count("/poison/2") == 1 })
			l := settled(t, w.dir)
			if d := l.Destinations[0]; d.Dead != 0 || d.Delivered != 4 || d.Dropped["purged"] != 2 {
				t.Errorf("ledger at the end: %+v", l)
			}
			g.stop(t)
		})
	}
}

func (w *world) checkList(t *testing.T) {
	t.Helper()
	out := must(t, w.dir, "dlq", "list")
	mustContain(t, out, "/poison/1", "/poison/2", "sink: gave up after 1 attempt: 422 Unprocessable Entity; died ")
	if strings.Contains(out, "/good") {
		t.Errorf("what was delivered is listed:\n%s", out)
	}
	letters := jsonLines[admin.DeadLetter](t, must(t, w.dir, "dlq", "list", "--json"))
	if len(letters) != 4 || letters[0].Exchange.Path != "/poison/1" || letters[0].Status != 422 || letters[0].Attempts != 1 || letters[0].Died.IsZero() || letters[0].Destination != "sink" {
		t.Errorf("dlq list --json: %+v", letters)
	}
	if got := jsonLines[admin.DeadLetter](t, must(t, w.dir, "dlq", "list", "--json", "path == '/poison/3'")); len(got) != 1 {
		t.Errorf("the filter found %d", len(got))
	}
	mustContain(t, must(t, w.dir, "dlq", "list", "--limit", "2"), "(the first 2; --limit 0 shows all)")
	mustContain(t, must(t, w.dir, "dlq", "list", "path == '/good/1'"), "No dead letters.")
	if out := must(t, w.dir, "dlq", "list", "--json", "path == '/good/1'"); out != "" {
		t.Errorf("no dead letters in JSON are %q", out)
	}
	fails(t, w.dir, 1, `destination "other": not found`, "dlq", "list", "--destination", "other")
}

func (w *world) checkShow(t *testing.T) {
	t.Helper()
	id := w.idOf(t, "/poison/1")
	mustContain(t, must(t, w.dir, "dlq", "show", id), "sink: dead: gave up after 1 attempt: 422 Unprocessable Entity\n", `"endpoint": "/poison/1"`)
	shown := decode[struct {
		Deliveries []tapway.DeliveryState
		Record     json.RawMessage
	}](t, must(t, w.dir, "dlq", "show", "--json", id))
	var compact bytes.Buffer
	if err := json.Compact(&compact, shown.Record); err != nil {
		t.Fatal(err)
	}
	recordtest.Validate(t, compact.Bytes())
	if len(shown.Deliveries) != 1 || shown.Deliveries[0].State != "dead" {
		t.Errorf("deliveries %+v", shown.Deliveries)
	}
	fails(t, w.dir, 1, "not found", "dlq", "show", "0198c2f0-7c1e-7b3a-9d2e-3f1f7b6a5c4d")
}

func (w *world) idOf(t *testing.T, path string) string {
	t.Helper()
	recs := jsonLines[struct{ ID string }](t, must(t, w.dir, "export", "path == '"+path+"'"))
	if len(recs) == 0 {
		t.Fatalf("no record of %s", path)
	}
	return recs[0].ID
}

// checkResolve leaves no dead letter of the four: one is redriven, one goes elsewhere, two
// are purged.
func (w *world) checkResolve(t *testing.T) {
	t.Helper()
	mustContain(t, must(t, w.dir, "dlq", "redrive", "--dry-run"), "4 would be redriven.")
	if p := decode[admin.Progress](t, must(t, w.dir, "dlq", "redrive", "--dry-run", "--json", "path == '/poison/2'")); p.Matched != 1 || p.OK != 0 || !p.Done {
		t.Errorf("dry run: %+v", p)
	}

	elsewhere := newSink(t)
	fails(t, w.dir, 1, "", "dlq", "redrive", "--to", elsewhere.URL, "path == '/poison/1'") // it is as strict
	elsewhere.set(func(s *sink) { s.strict = false })
	mustContain(t, must(t, w.dir, "dlq", "redrive", "--to", elsewhere.URL, "--rate", "1000", "--id", w.idOf(t, "/poison/1")), "1 of 1 redriven.")
	if elsewhere.count("/poison/1") != 1 {
		t.Error("the record did not go elsewhere")
	}
	fails(t, w.dir, 2, "to: not a URL", "dlq", "redrive", "--to", "elsewhere")
	fails(t, w.dir, 2, "is not an exchange id", "dlq", "redrive", "--id", "zzz")

	w.sink.set(func(s *sink) { s.strict = false })
	mustContain(t, must(t, w.dir, "dlq", "redrive", "path == '/poison/2'"), "1 of 1 redriven.")
	fails(t, w.dir, 1, `destination "nobody": not found`, "dlq", "redrive", "--destination", "nobody")

	for answer, want := range map[string]string{"": "nothing purged; --yes purges without asking", "no\n": "nothing purged"} {
		out, errOut, code := executeWith(t, w.dir, answer, "dlq", "purge", "path startsWith '/poison/3'")
		if code != 1 || !strings.Contains(errOut, "Purge 1 dead letter for good? [y/N]") || !strings.Contains(errOut, want) {
			t.Errorf("purge answered %q: exit %d\n%s%s", answer, code, out, errOut)
		}
	}
	if out, errOut, code := executeWith(t, w.dir, "y\n", "dlq", "purge", "path startsWith '/poison/3'"); code != 0 || !strings.Contains(out, "1 of 1 purged.") {
		t.Errorf("purge: exit %d\n%s%s", code, out, errOut)
	}
	mustContain(t, must(t, w.dir, "dlq", "purge", "--dry-run"), "1 would be purged.")
	mustContain(t, must(t, w.dir, "dlq", "purge", "--yes"), "1 of 1 purged.")
	mustContain(t, must(t, w.dir, "dlq", "purge"), "No dead letters match.")
}

// TestQueue: stats, check, pause, resume and forget.
func TestQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	mustContain(t, must(t, w.dir, "queue", "stats"), "0 records stored, ", "DESTINATION  QUEUED", "sink         0       0         0     -       delivering")
	g.calls(t, "/1", "/poison")
	settled(t, w.dir)
	mustContain(t, must(t, w.dir, "queue", "pause", "sink"), "sink paused.")
	g.calls(t, "/2", "/3", "/4")
	mustContain(t, must(t, w.dir, "queue", "stats"), "5 records stored", "paused: by an operator", "(limit 10.0 GiB)")
	q := decode[admin.QueueState](t, must(t, w.dir, "queue", "stats", "--json"))
	if q.Records != 5 || len(q.Live) != 1 || q.Live[0].State != "paused" || q.Destinations[0].Queued != 3 || q.Destinations[0].Dead != 1 {
		t.Errorf("queue stats --json: %+v", q)
	}
	if r := decode[tapway.CheckReport](t, must(t, w.dir, "queue", "check", "--json")); r.Records != 5 || len(r.Damage) != 0 {
		t.Errorf("check: %+v", r)
	}
	mustContain(t, must(t, w.dir, "queue", "check"), "5 records in 1 segment", "all sound.")
	mustContain(t, must(t, w.dir, "queue", "resume", "sink"), "sink resumed.")
	settled(t, w.dir)
	fails(t, w.dir, 1, `destination "nobody": not found`, "queue", "pause", "nobody")
	fails(t, w.dir, 2, `destination "sink" is in use; remove it from the configuration first`, "queue", "forget", "sink", "--yes")
	g.stop(t)

	// The same on the data directory alone.
	mustContain(t, must(t, w.dir, "queue", "stats"), "5 records stored", "not being delivered to")
	mustContain(t, must(t, w.dir, "queue", "check"), "all sound.")
	fails(t, w.dir, 1, "sink", "queue", "pause", "sink")
	out, errOut, code := executeWith(t, w.dir, "n\n", "queue", "forget", "sink")
	if code != 1 || !strings.Contains(errOut, "Give up the 0 queued and 1 dead records of sink for good? [y/N]") {
		t.Errorf("forget: exit %d\n%s%s", code, out, errOut)
	}
	mustContain(t, must(t, w.dir, "queue", "forget", "sink", "--yes"), "sink forgotten.")
	fails(t, w.dir, 1, `destination "sink": not found`, "queue", "forget", "sink")
	mustContain(t, must(t, w.dir, "ledger"), "5 calls, 5 recorded")
}

// TestCheckDamage: a damaged store is told of, with exit 1, and what is sound stays readable.
func TestCheckDamage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	g.calls(t, "/1", "/2", "/3", "/4")
	settled(t, w.dir)
	g.stop(t)
	log := w.dir + "/tapway-data/log/"
	path := log + entries(t, log)[0]
	for _, name := range entries(t, log) {
		if strings.HasSuffix(name, ".seg") {
			path = log + name
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 0xff
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, errOut, code := execute(t, w.dir, "queue", "check")
	if code != 1 || !strings.Contains(out, "damaged") || !strings.Contains(out, ".seg at byte") {
		t.Errorf("check of a damaged store: exit %d\n%s%s", code, out, errOut)
	}
	out, _, code = execute(t, w.dir, "queue", "check", "--json")
	if r := decode[tapway.CheckReport](t, out); code != 1 || len(r.Damage) == 0 {
		t.Errorf("check --json: exit %d, %+v", code, r)
	}
}

// TestLedgerAcrossRestarts: the ledger balances through crashes and stops, and counts on.
func TestLedgerAcrossRestarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "capture: {rules: [{if: \"path == '/sampled'\", sample: 0}]}\n")
	for round := range 3 {
		g := serve(t, w.dir)
		g.calls(t, "/1", "/poison", "/sampled")
		if round == 1 { // half a crash: no farewell
			g.cmd.Process.Kill()
			<-g.log.exited
			continue
		}
		settled(t, w.dir)
		g.stop(t)
	}
	g := serve(t, w.dir)
	l := settled(t, w.dir)
	if d := l.Destinations[0]; l.Calls < 8 || l.Stored != 6 || d.Delivered != 3 || d.Dead != 3 {
		t.Errorf("ledger: %+v", l)
	}
	text := must(t, w.dir, "ledger")
	mustContain(t, text, "6 recorded, not recorded: (", "sampled)", "DESTINATION  CAPTURED  =  DELIVERED  +  QUEUED  +  DEAD  +  DROPPED        DIFFERENCE")
	g.stop(t)
	if after := must(t, w.dir, "ledger"); after != text {
		t.Errorf("offline the ledger reads\n%snot\n%s", after, text)
	}
}

// TestOfflineRemovesNothing: looking at a store whose history is due leaves it as it is.
func TestOfflineRemovesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "storage: {history_age: 24h}\n")
	g := serve(t, w.dir)
	g.calls(t, "/1", "/2", "/3")
	settled(t, w.dir)
	g.stop(t)
	w.configure(t, "backend: http://a\nstorage: {history_age: 1ns, history: 1, limit: 1}\n")
	for range 3 {
		for _, args := range []string{"queue stats", "queue check", "ledger", "dlq list", "tail"} {
			must(t, w.dir, strings.Fields(args)...)
		}
	}
	if n := strings.Count(must(t, w.dir, "export"), "\n"); n != 3 {
		t.Errorf("%d of 3 records are left", n)
	}
}
