package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/alarm"
)

// TestAlarmCommands: the commands against a running gateway, one destination of which refuses.
func TestAlarmCommands(t *testing.T) {
	chat := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if strings.HasPrefix(r.URL.Path, "/gone") {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, "no_team at "+r.URL.Path)
			return
		}
		fmt.Fprint(w, "ok")
	}))
	t.Cleanup(chat.Close)
	w := newWorld(t, fmt.Sprintf(`
alarms:
  disk: {off: true}
  notify:
    - {name: chat, webhook: "%s/hooks/0123456789abcdef", format: slack}
    - {name: old, webhook: "%[1]s/gone/0123456789abcdef", severity: critical}
`, chat.URL))
	g := serve(t, w.dir)
	mustContain(t, must(t, w.dir, "alarm", "history"), "No alarm has fired.")
	must(t, w.dir, "alarm", "list", "--check")
	mustContain(t, must(t, w.dir, "alarm", "ack"), "No such alarm fires.")
	fails(t, w.dir, 1, "no alarm dead_letters of sink fires", "alarm", "ack", "dead_letters", "--destination", "sink")
	fails(t, w.dir, 2, "is no alarm", "alarm", "ack", "dead_leters")
	g.calls(t, "/poison/1")
	waitFor(t, "the alarm", func() bool { return strings.Contains(must(t, w.dir, "alarm", "list"), "FIRING") })

	out := must(t, w.dir, "alarm", "list")
	mustContain(t, out, "FIRING  dead_letters", "dead_letters of sink: 1 record of sink is a dead letter", "last error  422 Unprocessable Entity", "see         tapway dlq list --destination sink", "webhook (slack)")
	l := decode[alarm.Listing](t, must(t, w.dir, "alarm", "list", "--json"))
	if l.Alarms[0].State != alarm.Firing || !l.Watching {
		t.Errorf("%+v", l)
	}
	if out, _, code := execute(t, w.dir, "alarm", "list", "--check"); code != 1 || !strings.Contains(out, "FIRING") {
		t.Errorf("--check: exit %d\n%s", code, out)
	}
	mustContain(t, must(t, w.dir, "alarm", "history"), "fires   dead_letters of sink: 1 record")
	mustContain(t, must(t, w.dir, "alarm", "ack", "dead_letters", "--note", "known"), "dead_letters of sink: acknowledged.")
	mustContain(t, must(t, w.dir, "alarm", "list"), "FIRING (acknowledged)", "known       since", ": known")
	s := decode[alarm.Silence](t, must(t, w.dir, "alarm", "silence", "--for", "2h", "--destination", "sink", "--note", "planned", "--json"))
	mustContain(t, must(t, w.dir, "alarm", "list"), "FIRING (silenced)", "silence "+s.ID+": every alarm of sink until", ": planned")
	mustContain(t, must(t, w.dir, "alarm", "silence", "--remove", s.ID), "The silence has ended.")
	mustContain(t, must(t, w.dir, "alarm", "silence", "--for", "1d", "--name", "disk"), "No messages of disk until", "tapway alarm silence --remove ")
	fails(t, w.dir, 1, "not found", "alarm", "silence", "--remove", s.ID)
	fails(t, w.dir, 2, "say how long", "alarm", "silence")
	fails(t, w.dir, 2, "is not a duration", "alarm", "silence", "--for", "soon")
	fails(t, w.dir, 2, "is no alarm", "alarm", "silence", "--for", "1h", "--name", "disc")
	mustContain(t, must(t, w.dir, "alarm", "test", "--notify", "chat"), "chat: sent; the answer was: 200 OK: ok")
	fails(t, w.dir, 2, `no "nobody" in alarms.notify`, "alarm", "test", "--notify", "nobody")
	out, errOut, code := execute(t, w.dir, "alarm", "test")
	if code != 1 || !strings.Contains(out, "old: not sent: ") || !strings.Contains(out, "404 Not Found: no_team at [REDACTED]") || !strings.Contains(out, "chat: sent") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	_, metrics := get(t, "http://"+g.admin+"/metrics")
	mustContain(t, metrics, `tapway_alarm_firing{destination="sink",name="dead_letters",severity="critical"} 1`, `tapway_alarm_notifications_total{notify="old",result="sent"} 0`)
	g.stop(t)
	if strings.Contains(g.log.String()+out, "0123456789abcdef") {
		t.Error("the webhook's URL is in the log or the output")
	}

	if _, errOut, code := execute(t, w.dir, "alarm", "list"); code != 0 || !strings.Contains(errOut, "nobody watches alarms here") {
		t.Errorf("without a gateway: exit %d\n%s", code, errOut)
	}
	fails(t, w.dir, 1, "nobody watches alarms here", "alarm", "list", "--check")
	fails(t, w.dir, 1, "no process watches alarms here", "alarm", "test")
}
