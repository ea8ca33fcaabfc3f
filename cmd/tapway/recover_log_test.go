package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/record"
)

// A record is found in every form in which the AWS CLI gives a function's log.
func TestRecordsInForms(t *testing.T) {
	message := fmt.Sprintf(`{"timestamp":"2026-01-02T03:04:05Z","level":"ERROR","message":"neither","destinations":["siem"],"whole":true,"record":%s}`, record.Append(nil, exchange(1)))
	other := `{"timestamp":"2026-01-02T03:04:05Z","level":"INFO","message":"call"}`
	form := func(indent string, v any) string {
		var text []byte
		var err error
		if indent == "" {
			text, err = json.Marshal(v)
		} else {
			text, err = json.MarshalIndent(v, "", indent)
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	events := map[string]any{"events": []map[string]any{{"logStreamName": "s", "timestamp": 1, "message": other + "\n"}, {"logStreamName": "s", "timestamp": 2, "message": message + "\n", "eventId": "5"}}}
	insights := map[string]any{"results": [][]map[string]string{{{"field": "@timestamp", "value": "2026"}, {"field": "@message", "value": message}}}}
	for name, text := range map[string]string{
		"tail":                       "2026-01-02T03:04:05.000000+00:00 2026/01/02/[$LATEST]abc " + message,
		"tail --format short":        "2026-01-02T03:04:05 " + message,
		"filter-log-events":          form("    ", events),
		"filter-log-events, compact": form("", events),
		"filter-log-events, text":    "EVENTS\t5\t2\ts\t" + message + "\t2",
		"get-query-results":          form("    ", insights),
		"get-query-results, compact": form("", insights),
		"an event of a subscription": form("", map[string]any{"logEvents": []map[string]any{{"id": "1", "message": "2026 " + message}}}),
		"behind a quote without end": `say "` + other + `" and "x ` + message,
		"between what is no JSON":    `[\x ` + form("", message) + `, "\`,
	} {
		var found []logged
		for line := range strings.Lines(text) {
			found = append(found, recordsIn([]byte(line))...)
		}
		if len(found) != 1 || !slices.Equal(found[0].Destinations, []string{"siem"}) {
			t.Errorf("%s: %d records", name, len(found))
		} else if _, err := record.Parse(found[0].Record); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
