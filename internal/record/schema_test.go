package record

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/record/recordtest"
)

// The schema is strict enough to notice a wrong record.
func TestSchemaRefuses(t *testing.T) {
	good := string(Append(nil, example()))
	if err := recordtest.Check([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][2]string{
		"line feed":            {`"status":`, "\n\"status\":"},
		"not JSON":             {`"status":201`, `"status":`},
		"field missing":        {`"method":"POST",`, ``},
		"status":               {`"status":201`, `"status":1000`},
		"status as text":       {`"status":201`, `"status":"201"`},
		"version":              {`"version":1`, `"version":2`},
		"id":                   {`01938f00-`, `01938F00-`},
		"time without millis":  {`10:00:00.123Z`, `10:00:00Z`},
		"negative duration":    {`"duration_ms":12.4`, `"duration_ms":-1`},
		"front":                {`"front":"rest"`, `"front":"soap"`},
		"origin":               {`"origin":"backend"`, `"origin":""`},
		"header list":          {`"Authorization":"[REDACTED]"`, `"Authorization":["[REDACTED]"]`},
		"text must be string":  {`"body_info":{"encoding":"json"`, `"body_info":{"encoding":"text"`},
		"none must be null":    {`"response_info":{"encoding":"json"`, `"response_info":{"encoding":"none"`},
		"encoding":             {`"encoding":"json"`, `"encoding":"xml"`},
		"sha256":               {`"sha256":"`, `"sha256":"z`},
		"no first byte":        {`,"first_byte_ms":9.1`, ``},
		"first byte":           {`"first_byte_ms":9.1`, `"first_byte_ms":"9"`},
		"coding alone":         {`"truncated":false`, `"truncated":false,"content_encoding":"gzip"`},
		"trace":                {`"trace_id":"4b`, `"trace_id":"4B`},
		"half an api":          {`"stage":"prod",`, ``},
		"fidelity":             {`["query-order"]`, `"query-order"`},
		"error must not be \"": {`"error":null`, `"error":false`},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if bad == good {
			t.Errorf("%s: the case changes nothing", name)
		}
		if recordtest.Check([]byte(bad)) == nil {
			t.Errorf("%s: passes", name)
		}
	}
	later := strings.Replace(good, `"status":`, `"later":{"x":1},"status":`, 1)
	recordtest.Validate(t, []byte(later))
}

func TestSchema(t *testing.T) {
	file, err := os.ReadFile("../../schema/exchange.v1.json")
	if err != nil || !bytes.Equal(Schema(), file) {
		t.Errorf("the schema is not the file's: %v", err)
	}
	var s struct {
		Required   []string
		Properties map[string]struct{ Description string }
	}
	if err := json.Unmarshal(file, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Required) != 24 || s.Required[7] != "status" {
		t.Errorf("required: %v", s.Required)
	}
	for name, p := range s.Properties {
		if p.Description == "" {
			t.Errorf("%s has no description", name)
		}
	}
	Schema()[0] = 'x'
	if Schema()[0] != '{' {
		t.Error("a caller can change the schema")
	}
}
