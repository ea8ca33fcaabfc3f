package configschema

import (
	"encoding/json"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/tapway/tapway/internal/config"
)

// TestSchema: the schema takes the sample and refuses what the loader refuses.
func TestSchema(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	schema, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text string
		good bool
	}{
		{config.Sample(), true},
		{"backend: http://a\nproxy: {timeout: 11s, no_headers: true, filtered_paths: [/a]}\n", true},
		{"backend: http://a\ndestinations: [{name: a, url: http://b, signing_secret: [x, y], batch: {max_records: 5}}]\n", true},
		{"backend: http://a\nproxy: {no_headers: \"${X}\"}\n", true},
		{"backend: http://a\nproxi: {}\n", false},
		{"backend: http://a\ncapture: {durability: maybe}\n", false},
		{"backend: http://a\ndestinations: [{name: a}]\n", false},
		{"backend: http://a\nproxy: {no_headers: perhaps}\n", false},
	} {
		var v any
		if err := yaml.Unmarshal([]byte(tt.text), &v); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); (err == nil) != tt.good {
			t.Errorf("schema says %v of:\n%s", err, tt.text)
		}
	}
}
