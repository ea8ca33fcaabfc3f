// Package record is the one encoder of the record, version 1: the JSON that leaves the
// machine. It makes it from an exchange or a stored frame, reads it back, and writes HAR.
//
// What a newcomer gets wrong: an exchange holds bodies as they passed and a record holds
// them as a reader wants them. Content codings come off here and nowhere earlier (except
// where redaction had to look inside), JSON is embedded rather than quoted, and size and
// sha256 still speak of the bytes that passed. A record never contains a line feed, so it is a
// line of NDJSON as it stands. The format is published in schema/exchange.v1.json.
package record
