package admin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/alarm"
)

// alarmed is a server over alarms of which one fires.
func alarmed(t *testing.T) *Server {
	t.Helper()
	now := time.Now()
	w, err := alarm.New("", now)
	if err != nil {
		t.Fatal(err)
	}
	w.Log = slog.New(slog.DiscardHandler)
	w.Use(alarm.Settings{
		Rules: map[string]alarm.Rule{alarm.DeadLetters: {Severity: alarm.Critical}, alarm.Disk: {Threshold: 1, Severity: alarm.Warning}},
		Targets: []alarm.Target{{Name: "ops", Kind: "webhook", Format: "slack", Send: func(context.Context, *alarm.Message) (string, error) {
			return "200 OK", nil
		}}},
	})
	w.Evaluate(alarm.Reading{Samples: []alarm.Sample{
		{Name: alarm.DeadLetters, Destination: "siem", Value: 3, Detail: func() alarm.Detail {
			return alarm.Detail{LastError: "503", Records: []string{"a", "b", "c"}}
		}},
		{Name: alarm.Disk, Value: 5},
	}}, now)
	return &Server{Alarms: w, Log: slog.New(slog.DiscardHandler)}
}

func askAlarms(t *testing.T, s *Server, method, path, body string) (int, string) {
	t.Helper()
	req := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, req)
	text, err := io.ReadAll(rec.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Code, string(text)
}

// TestAlarmContract: the console goes by these names.
func TestAlarmContract(t *testing.T) {
	s := alarmed(t)
	status, text := askAlarms(t, s, "GET", "/api/v1/alarms", "")
	var l map[string][]map[string]any
	var all map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil || status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	delete(all, "watching")
	rest, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(rest, &l); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	fired := l["alarms"][0]
	for name, want := range map[string]any{"name": "dead_letters", "destination": "siem", "severity": "critical", "state": "firing", "value": 3.0, "threshold": 0.0,
		"unit": "records", "message": "3 records of siem are dead letters, more than 0", "last_error": "503", "command": "tapway dlq list --destination siem"} {
		if fired[name] != want {
			t.Errorf("%s is %v, want %v", name, fired[name], want)
		}
	}
	if _, err := time.Parse(time.RFC3339, fired["since"].(string)); err != nil || len(fired["records"].([]any)) != 3 || fired["acknowledged"] != nil || fired["silenced_until"] != nil {
		t.Errorf("%v", fired)
	}
	if disk := l["alarms"][1]; disk["state"] != "ok" || disk["last_error"] != "" || disk["records"] == nil || disk["destination"] != "" || disk["unit"] != "bytes" {
		t.Errorf("%v", disk)
	}
	if h := l["history"][0]; h["from"] != "ok" || h["to"] != "firing" || h["name"] != "dead_letters" || h["value"] != 3.0 || h["message"] == "" {
		t.Errorf("%v", h)
	}
	if n := l["notify"][0]; n["name"] != "ops" || n["kind"] != "webhook" || n["format"] != "slack" || n["failures"] != 0.0 || n["last_error"] != "" {
		t.Errorf("%v", n)
	}
	if l["silences"] == nil || len(l["silences"]) != 0 {
		t.Errorf("silences %v", l["silences"])
	}
}

func TestAlarmRequests(t *testing.T) {
	s := alarmed(t)
	var silence alarm.Silence
	for _, c := range []struct {
		method, path, body string
		want               int
		says               string
	}{
		{"POST", "/api/v1/alarms/ack", `{"name":"dead_letters","destination":"siem","note":"known"}`, 200, `"acknowledged":{"at":`},
		{"POST", "/api/v1/alarms/ack", `{"name":"disk"}`, 404, "no alarm disk fires"},
		{"POST", "/api/v1/alarms/ack", `{"name":"disc"}`, 400, "is no alarm; they are dead_letters,"},
		{"POST", "/api/v1/alarms/ack", `{"nam":"disk"}`, 400, "not the JSON"},
		{"POST", "/api/v1/alarms/ack", ``, 400, "not the JSON"},
		{"POST", "/api/v1/alarms/ack", `{"name":"disk"}{}`, 400, "something follows"},
		{"POST", "/api/v1/alarms/silence", `{"for":"2h"}`, 200, `"name":"","destination":"","until":`},
		{"POST", "/api/v1/alarms/silence", `{"for":"2 hours"}`, 400, `is not a duration; write 30m, 2h or 7d`},
		{"POST", "/api/v1/alarms/silence", `{"name":"dead_letters"}`, 400, `is not a duration`},
		{"POST", "/api/v1/alarms/silence", `{"for":"-1h"}`, 400, `from a second to a year`},
		{"POST", "/api/v1/alarms/silence", `{"for":"367d"}`, 400, `from a second to a year`},
		{"POST", "/api/v1/alarms/silence", `{"for":"7d","name":"dead_letters","destination":"siem","note":"planned"}`, 200, `"note":"planned"`},
		{"DELETE", "/api/v1/alarms/silence/nobody", ``, 404, "not found"},
		{"POST", "/api/v1/alarms/test", `{"notify":"ops"}`, 200, `[{"name":"ops","error":"","answer":"200 OK"}]`},
		{"POST", "/api/v1/alarms/test", `{}`, 200, `"name":"ops"`},
		{"POST", "/api/v1/alarms/test", `{"notify":"opps"}`, 400, `no \"opps\" in alarms.notify`},
	} {
		status, text := askAlarms(t, s, c.method, c.path, c.body)
		if status != c.want || !strings.Contains(text, c.says) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, status, text)
		}
		if strings.Contains(c.body, "planned") {
			if err := json.Unmarshal([]byte(text), &silence); err != nil {
				t.Fatal(err)
			}
		}
	}
	if status, text := askAlarms(t, s, "DELETE", "/api/v1/alarms/silence/"+silence.ID, ""); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	_, text := askAlarms(t, s, "GET", "/api/v1/alarms", "")
	if !strings.Contains(text, `"silenced_until"`) || strings.Contains(text, silence.ID) {
		t.Errorf("%s", text)
	}
}

// TestNoAlarms: where nobody watches the lists are empty, and nothing can be done.
func TestNoAlarms(t *testing.T) {
	s := newWorld(t).server
	if status, text := askAlarms(t, s, "GET", "/api/v1/alarms", ""); status != http.StatusOK || text != `{"alarms":[],"history":[],"notify":[],"silences":[],"watching":false}`+"\n" {
		t.Errorf("%d %s", status, text)
	}
	for _, path := range []string{"ack", "silence", "test"} {
		if status, _ := askAlarms(t, s, "POST", "/api/v1/alarms/"+path, "{}"); status != http.StatusNotImplemented {
			t.Errorf("%s: %d", path, status)
		}
	}
}
