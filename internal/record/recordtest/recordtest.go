// Package recordtest checks records in tests against the published schema.
//
// What a newcomer gets wrong: it validates what strangers read, so it asks the schema file
// alone and knows nothing of the encoder.
package recordtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/tapway/tapway/schema"
)

var resolved = sync.OnceValues(func() (*jsonschema.Resolved, error) {
	var s jsonschema.Schema
	if err := json.Unmarshal(schema.ExchangeV1(), &s); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	return s.Resolve(nil)
})

// Validate fails the test unless rec is one record of version 1 on one line.
func Validate(t testing.TB, rec []byte) {
	t.Helper()
	if err := Check(rec); err != nil {
		t.Errorf("%v\nrecord: %.2000s", err, rec)
	}
}

// Check tells what is wrong with a record, nil if nothing is.
func Check(rec []byte) error {
	schema, err := resolved()
	if err != nil {
		return err
	}
	if bytes.ContainsAny(rec, "\r\n") {
		return fmt.Errorf("the record is not on one line")
	}
	var value any
	if err := json.Unmarshal(rec, &value); err != nil {
		return fmt.Errorf("the record is not JSON: %w", err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("the record does not satisfy the schema: %w", err)
	}
	return nil
}
