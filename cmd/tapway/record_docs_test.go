package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/tapway/tapway/internal/record/recordtest"
	"github.com/tapway/tapway/schema"
)

// exampleRecord is the example of docs/record.md: it has every field that there is.
const exampleRecord = `{
  "from": "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com", "endpoint": "/api/v1/users", "method": "POST",
  "body": {"name": "morpheus", "job": "leader", "password": "[REDACTED]"},
  "request_headers": {"Authorization": "[REDACTED]", "Content-Type": "application/json"},
  "response": {"id": "573", "name": "morpheus"},
  "response_headers": {"Content-Encoding": "gzip", "Content-Type": "application/json; charset=utf-8"},
  "status": 201,
  "version": 1, "id": "01a1fd2a-5c50-7ce0-a9cb-debef73ec230", "time": "2026-11-20T10:00:00.123Z", "duration_ms": 12.4, "overhead_ms": 0.2,
  "query": "a=b&a=c&token=[REDACTED]", "client_ip": "203.0.113.7", "front": "rest", "origin": "backend", "route": "POST /api/v1/users",
  "body_info": {"encoding": "json", "size": 57, "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "truncated": false},
  "response_info": {"encoding": "json", "size": 61, "sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
    "truncated": false, "content_encoding": "gzip", "decoded": true, "first_byte_ms": 9.1},
  "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
  "api": {"id": "a1b2c3d4e5", "stage": "prod", "request_id": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"},
  "fidelity": ["query-order"], "error": null, "connect_ms": 1.7, "access_ms": 0.1, "proto": "HTTP/1.1",
  "request_trailers": {"X-Checksum": "1b2c"}, "response_trailers": {"Grpc-Status": "0"}
}
`

func TestExampleRecord(t *testing.T) {
	var line bytes.Buffer
	if err := json.Compact(&line, []byte(exampleRecord)); err != nil {
		t.Fatal(err)
	}
	recordtest.Validate(t, line.Bytes())
	reference := recordReference()
	if n, absent := strings.Count(reference, "\n| `"), strings.Count(reference, "| absent |"); n < 40 || absent != 2 || strings.Contains(reference, "<nil>") { // the request's body has no coding
		t.Errorf("%d fields, %d without an example:\n%s", n, absent, reference)
	}
}

// recordReference is docs/record.md, made from the schema.
func recordReference() string {
	var s, example yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(schema.ExchangeV1(), &s, yaml.UseOrderedMap()); err != nil {
		panic(err) // the schema is part of the program
	}
	if err := yaml.UnmarshalWithOptions([]byte(exampleRecord), &example, yaml.UseOrderedMap()); err != nil {
		panic(err)
	}
	r := recordDoc{defs: object(s, "$defs")}
	headers := fmt.Sprint(member(object(r.defs, "headers"), "description"))
	r.WriteString("# The record\n\nEvery field of a record, made from [`schema/exchange.v1.json`](../schema/exchange.v1.json) by a test.\n\n" +
		"A record is one HTTP request and the response it got, as the client saw them, after redaction: one JSON object, on one line where records are stored or sent.\n\n" +
		"- The first eight fields are the oldest and never change their shape. Version 1 only gains fields: pass over those that you do not know.\n" +
		"- `id` is the same in every attempt to deliver. Use it to tell a record that comes twice.\n" +
		"- A body stands in the record as `body_info.encoding` and `response_info.encoding` say. `size` and `sha256` are of the bytes that passed, before redaction and decoding.\n" +
		"- **Headers**: " + headers + "\n" +
		"- [CloudEvents](https://cloudevents.io) have the record as `data`; HAR has what HAR can hold of it.\n\n" +
		"```json\n" + exampleRecord + "```\n\n" +
		"| field | type | always | meaning | example |\n|---|---|---|---|---|\n")
	r.rows("", s, example)
	return r.String()
}

type recordDoc struct {
	strings.Builder
	defs yaml.MapSlice
}

// rows writes a line for each property of a schema, and below it those of its properties.
func (r *recordDoc) rows(prefix string, of, example yaml.MapSlice) {
	required, _ := member(of, "required").([]any)
	for _, p := range object(of, "properties") {
		name, s := p.Key.(string), p.Value.(yaml.MapSlice)
		always := "yes"
		if !slices.Contains(required, any(name)) {
			always = "no"
		}
		meaning, full := member(s, "description"), r.resolve(s)
		shown := "absent"
		if slices.ContainsFunc(example, func(item yaml.MapItem) bool { return item.Key == name }) {
			shown = "`" + jsonText(member(example, name)) + "`"
		}
		if len(object(full, "properties")) > 0 {
			shown = "below"
		}
		fmt.Fprintf(r, "| `%s%s` | %s | %s | %s | %s |\n", prefix, name, typeOf(full), always, strings.ReplaceAll(fmt.Sprint(meaning), "|", `\|`), shown)
		inner, _ := member(example, name).(yaml.MapSlice)
		r.rows(prefix+name+".", full, inner)
	}
}

func jsonText(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(plainValue(v)); err != nil {
		panic(err)
	}
	return strings.TrimSpace(b.String())
}

// resolve joins a schema with what it refers to.
func (r *recordDoc) resolve(s yaml.MapSlice) yaml.MapSlice {
	all, _ := member(s, "allOf").([]any)
	out := slices.Clone(s)
	for _, part := range append([]any{s}, all...) {
		ref, ok := member(part.(yaml.MapSlice), "$ref").(string)
		if !ok {
			continue
		}
		def := object(r.defs, strings.TrimPrefix(ref, "#/$defs/"))
		properties := append(slices.Clone(object(def, "properties")), object(s, "properties")...)
		required, _ := member(def, "required").([]any)
		more, _ := member(s, "required").([]any)
		out = append(yaml.MapSlice{{Key: "properties", Value: properties}, {Key: "required", Value: append(slices.Clone(required), more...)}}, out...)
		out = append(out, def...)
	}
	return out
}

// typeOf says what values a schema takes.
func typeOf(s yaml.MapSlice) string {
	if c := member(s, "const"); c != nil {
		return fmt.Sprintf("always `%v`", c)
	}
	if enum, ok := member(s, "enum").([]any); ok {
		var words []string
		for _, e := range enum {
			words = append(words, fmt.Sprintf("`%v`", e))
		}
		return "one of " + strings.Join(words, ", ")
	}
	switch t := member(s, "type").(type) {
	case []any:
		var words []string
		for _, one := range t {
			words = append(words, fmt.Sprint(one))
		}
		return strings.Join(words, " or ")
	case string:
		if items := object(s, "items"); items != nil {
			return fmt.Sprintf("%s of %vs", t, member(items, "type"))
		}
		if also := object(s, "additionalProperties"); also != nil {
			return fmt.Sprintf("%s of %vs", t, member(also, "type"))
		}
		return t
	}
	return "any JSON value"
}

func member(m yaml.MapSlice, key string) any {
	for _, item := range m {
		if item.Key == key {
			return item.Value
		}
	}
	return nil
}

func object(m yaml.MapSlice, key string) yaml.MapSlice {
	inner, _ := member(m, key).(yaml.MapSlice)
	return inner
}

// plainValue is a value without the order of its keys, as encoding/json takes it.
func plainValue(v any) any {
	m, ok := v.(yaml.MapSlice)
	if !ok {
		return v
	}
	out := map[string]any{}
	for _, item := range m {
		out[item.Key.(string)] = plainValue(item.Value)
	}
	return out
}
