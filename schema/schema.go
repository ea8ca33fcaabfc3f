// Package schema holds the published JSON Schemas, so that programs carry the very files
// that stand in the repository.
//
// A file's name ends in its version. What a newcomer gets wrong: a published version is
// only ever added to, never changed, because strangers validate against it.
package schema

import _ "embed"

//go:embed exchange.v1.json
var exchangeV1 []byte

// ExchangeV1 is the JSON Schema (draft 2020-12) of the record, version 1. The caller may
// keep and change the copy.
func ExchangeV1() []byte { return append([]byte(nil), exchangeV1...) }
