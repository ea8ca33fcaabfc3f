package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/record/recordtest"
)

// settleWithin is how long what is queued may take when everything is well again, if nothing
// moves meanwhile.
const settleWithin = time.Minute

// settle makes everything well, waits until nothing is queued and looks whether the promises held.
func (w *world) settle(ctx context.Context) error {
	for _, k := range w.sinks {
		k.set(func(k *sink) { k.share, k.down = 0, false })
	}
	last := life{no: w.lives, conf: conf{guest: true}}
	w.api = nil
	w.mu.Lock()
	w.current = last
	w.mu.Unlock()
	if err := errors.Join(w.configure(last.conf), w.moveClock(0)); err != nil {
		return err
	}
	p, err := start(w.o.Command(w.o.Dir, "serve"), servingLine)
	if err != nil {
		return err
	}
	defer p.kill()
	for _, k := range w.sinks { // a pause outlives the process
		if _, err := p.ask(ctx, "POST", "/api/v1/destinations/"+k.name+"/resume"); err != nil {
			return err
		}
	}
	if _, err := run(w.o.Command(w.o.Dir, "dlq", "redrive", "--destination", "wild", "--admin", p.admin)); err != nil {
		return err
	}
	ledger, err := w.emptied(ctx, p)
	if err != nil {
		return err
	}
	w.judge(ledger)
	if err := w.askAll(ctx, p); err != nil {
		return err
	}
	if err := p.stop(); err != nil {
		return err
	}
	w.readLog(p)
	return w.offline(ledger)
}

// emptied waits until nothing is queued.
func (w *world) emptied(ctx context.Context, p *process) (l admin.LedgerState, err error) {
	var before uint64
	for since := time.Now(); ; {
		if l, err = get[admin.LedgerState](ctx, p, "/api/v1/ledger"); err != nil {
			return l, err
		}
		var queued uint64
		for _, d := range l.Destinations {
			queued += d.Queued
		}
		if queued == 0 {
			return l, nil
		}
		if queued != before {
			before, since = queued, time.Now()
		}
		if time.Since(since) > settleWithin {
			return l, fmt.Errorf("%d records stay queued: %+v", queued, l.Destinations)
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return l, ctx.Err()
		}
	}
}

// judge compares what clients, destinations and the ledger have counted.
func (w *world) judge(l admin.LedgerState) {
	dead := w.deadPaths()
	missing := map[string]int{}
	stories := 0
	story := func(path string) string { // of the first few: it takes long
		if stories++; stories > problemsOfAKind {
			return ""
		}
		return "; the logs:\n" + w.story(path)
	}
	for _, c := range w.calls.ended {
		if why := w.unrecorded(c, w.calm, nil); why != "" {
			if c.excuse() == "" {
				w.problem("a call that ended has no record at calm", "%s %s in life %d: %s%s", c.method, c.path, c.life, why, story(c.path))
			}
			missing[c.excuse()]++
			continue
		}
		if c.torn {
			continue // calm may have had it before it was torn, and the others not
		}
		if why := w.unrecorded(c, w.wild, dead); why != "" {
			w.problem("a record was neither delivered to wild nor is it dead", "%s %s in life %d: %s%s", c.method, c.path, c.life, why, story(c.path))
		}
		if strings.HasPrefix(c.path, "/a/") != (len(w.picky.find(c.path)) > 0) {
			w.problem("a record went the wrong way at picky", "%s %s in life %d", c.method, c.path, c.life)
		}
	}
	w.judgeAPI(dead)
	w.o.Log("calls that ended without a record, by why they may: %v; dropped by the ledger: %v", missing, l.Dropped)
	w.judgeLedger(l, missing)
}

// judgeLedger compares the ledger with the rest.
func (w *world) judgeLedger(l admin.LedgerState, missing map[string]int) {
	if l.Difference != 0 {
		w.problem("the ledger", "differs by %d: %+v", l.Difference, l)
	}
	for _, d := range l.Destinations {
		if d.Difference() != 0 {
			w.problem("the ledger", "the line of %s differs by %d: %+v", d.Destination, d.Difference(), d)
		}
		// Without lost accounts and lost records every record is settled once, delivered or not.
		if d.Destination == "calm" && w.stateLost == 0 && w.torn == 0 && d.Delivered != uint64(w.calm.distinct()) {
			w.problem("the ledger", "%d delivered to calm, which has %d records", d.Delivered, w.calm.distinct())
		}
	}
	_, ended := w.calls.count()
	if kept := ended - missing["sampled"] - missing["torn"] - missing["disk full"] - missing["limit reached"]; l.Stored < uint64(kept) {
		w.problem("the ledger", "%d stored, %d calls have records", l.Stored, kept)
	}
	// A count of dropped calls survives a kill after 100 ms at the latest.
	slack := uint64(w.killed * clients * 20)
	if n := uint64(missing["sampled"]); n > l.Dropped["sampled"]+slack {
		w.problem("the ledger", "%d sampled calls are not counted: %v", n, l.Dropped)
	}
	var lost uint64
	for reason, n := range l.Dropped {
		switch reason {
		case "disk-full", "queue-full", "canceled", "disk-error":
			lost += n
		case "sampled":
		default:
			w.problem("the ledger", "%d calls were dropped as %q, which nothing here causes", n, reason)
		}
	}
	if n := uint64(missing["torn"]); n > uint64(w.torn)+lost { // some of them may not have fitted
		w.problem("more was lost than was torn", "%d calls, at most %d records", n, w.torn)
	}
	if n := uint64(missing["disk full"] + missing["limit reached"]); n > lost+slack+uint64(w.torn) { // some had room, and were torn
		w.problem("the ledger", "%d calls could not be stored and are not counted: %v", n, l.Dropped)
	}
}

// unrecorded says why a destination's records do not tell of a call as its client saw it, "" if
// one does. A client may have repeated a call, so there may be others.
func (w *world) unrecorded(c *call, k *sink, dead map[string]bool) string {
	if dead[c.path] {
		return ""
	}
	records := k.find(c.path)
	if len(records) == 0 {
		return "no record"
	}
	why := ""
	for _, t := range records {
		switch {
		case t.Method != c.method || t.Status != c.status:
			why = fmt.Sprintf("%s %d, the client saw %d", t.Method, t.Status, c.status)
		case t.ResponseInfo.Size != c.got || t.ResponseInfo.SHA256 != "" && t.ResponseInfo.SHA256 != c.sumGot:
			why = fmt.Sprintf("a response of %d bytes, sum %s; the client got %d, %s", t.ResponseInfo.Size, t.ResponseInfo.SHA256, c.got, c.sumGot)
		case c.status < 300 && c.sent >= 0 && t.BodyInfo.Size == c.sent && t.BodyInfo.SHA256 != "" && c.sent > 0 && t.BodyInfo.SHA256 != c.sumSent:
			why = fmt.Sprintf("a request body with sum %s, the client sent %s", t.BodyInfo.SHA256, c.sumSent)
		default:
			return ""
		}
	}
	return why
}

// story is what the logs tell of the records of a path, a few lines of it.
func (w *world) story(path string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids, lines []string
	for no, log := range w.logs {
		for line := range strings.Lines(log) {
			if strings.Contains(line, " path="+path+" ") {
				if _, after, ok := strings.Cut(line, " id="); ok {
					id, _, _ := strings.Cut(after, " ")
					ids = append(ids, id)
				}
			} else if !slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(line, id) }) {
				continue
			}
			if len(lines) < 10 {
				lines = append(lines, fmt.Sprintf("process %d: %.400s", no, strings.TrimSpace(line)))
			}
		}
	}
	return strings.Join(lines, "\n")
}

// deadPaths are the calls whose record is a dead letter.
func (w *world) deadPaths() map[string]bool {
	paths := map[string]bool{}
	out, err := run(w.o.Command(w.o.Dir, "dlq", "list", "--json", "--limit", "0", "--destination", "wild"))
	if err != nil {
		w.problem("dead letters", "%v", err)
	}
	for line := range strings.Lines(out) {
		var d admin.DeadLetter
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			w.problem("dead letters", "%v: %s", err, line)
			continue
		}
		paths[d.Exchange.Path] = true
	}
	return paths
}

// askAll looks for secrets in what the admin address answers.
func (w *world) askAll(ctx context.Context, p *process) error {
	if err := w.search(ctx, p); err != nil {
		return err
	}
	list, err := p.ask(ctx, "GET", "/api/v1/exchanges?limit=40")
	if err != nil {
		return err
	}
	n := 0
	for line := range bytes.Lines(list) {
		var e struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(line, &e); err != nil || e.ID == "" {
			return fmt.Errorf("a line of the history: %w: %s", err, line)
		}
		n++
		for _, path := range []string{"", "/detail", "/body/request", "/body/response"} {
			body, err := p.ask(ctx, "GET", "/api/v1/exchanges/"+e.ID+path)
			if err != nil && !strings.HasPrefix(path, "/body") { // not every call has one
				return err
			}
			if where := w.secrets.in(body); where != "" {
				w.problem("a secret in an answer of the admin API", "%s%s: %s", e.ID, path, where)
			}
		}
	}
	if n == 0 {
		w.problem("the history", "is empty")
	}
	return nil
}

// onlyKnown says whether a check found nothing but what was damaged on purpose: indexes, which stay
// as they are until a search needs them, and after its end was torn anything of the log.
func (w *world) onlyKnown(out string) bool {
	for line := range strings.Lines(out) {
		if strings.Contains(line, " at byte ") && !strings.Contains(line, ".idx at byte ") && w.torn == 0 {
			return false
		}
	}
	return strings.Contains(out, "damaged")
}

// offline looks at what is left on the disk.
func (w *world) offline(online admin.LedgerState) error {
	out, err := run(w.o.Command(w.o.Dir, "ledger", "--json"))
	if err != nil {
		return err
	}
	var l admin.LedgerState
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		return err
	}
	if l.Difference != 0 || l.Stored != online.Stored || l.Calls != online.Calls {
		w.problem("the ledger", "is %+v after the end, was %+v", l, online)
	}
	if out, err := run(w.o.Command(w.o.Dir, "queue", "check")); err != nil && !w.onlyKnown(out) {
		w.problem("the store", "%v", err)
	}
	text, err := run(w.o.Command(w.o.Dir, "export"))
	if err != nil && (w.torn == 0 || !strings.Contains(err.Error(), "records are damaged and left out")) {
		return err
	}
	if where := w.secrets.in([]byte(text)); where != "" {
		w.problem("a secret in the export", "%s", where)
	}
	n := 0
	for line := range bytes.Lines([]byte(text)) {
		if n++; n%10 == 0 {
			if err := recordtest.Check(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
				w.problem("a record of the export", "%v", err)
			}
		}
	}
	if n == 0 {
		w.problem("the export", "is empty")
	}
	if n := leftovers(filepath.Join(w.data, "spool")); n > 0 {
		w.problem("the spool", "%d temporary files are left over", n)
	}
	return w.scanFiles()
}
