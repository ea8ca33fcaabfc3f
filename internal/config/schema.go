package config

import (
	"encoding/json"
	"reflect"
	"strconv"

	"github.com/google/jsonschema-go/jsonschema"
)

// Schema is the JSON Schema (2020-12) of the file, made from the struct.
func Schema() ([]byte, error) {
	s := schemaOf(reflect.TypeFor[Config](), field{})
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "tapway.yaml"
	return json.MarshalIndent(s, "", "  ")
}

func schemaOf(t reflect.Type, f field) *jsonschema.Schema {
	s := &jsonschema.Schema{Description: f.doc}
	for _, e := range f.enum {
		s.Enum = append(s.Enum, e)
	}
	reference := &jsonschema.Schema{Type: "string", Pattern: `\$\{.+\}`}
	switch {
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem(), f)
	case t == durationType:
		s.Types, s.Examples = []string{"string", "number"}, []any{"10s"}
	case t == sizeType:
		s.Types, s.Examples = []string{"string", "integer"}, []any{"10MiB"}
	case t.Kind() == reflect.Struct:
		structSchema(s, t)
	case t.Kind() == reflect.Slice:
		item := schemaOf(t.Elem(), field{kind: f.kind})
		if t.Elem().Kind() == reflect.Struct {
			s.Type, s.Items = "array", item
		} else {
			s.AnyOf = []*jsonschema.Schema{{Type: "array", Items: item}, item}
		}
	case t.Kind() == reflect.Map:
		s.Type, s.AdditionalProperties = "object", schemaOf(t.Elem(), field{})
	case t.Kind() == reflect.Bool:
		s.AnyOf = []*jsonschema.Schema{{Type: "boolean"}, reference}
	case t.Kind() == reflect.Int:
		s.AnyOf = []*jsonschema.Schema{{Type: "integer"}, reference}
	case t.Kind() == reflect.Float64:
		s.AnyOf = []*jsonschema.Schema{{Type: "number"}, reference}
	default:
		s.Types = []string{"string", "number", "boolean"}
		if len(f.enum) > 0 {
			s.Types, s.Type = nil, "string"
		}
	}
	if f.def != "" {
		s.Default = defaultJSON(t, f.def)
	}
	if f.example != "" {
		s.Examples = []any{f.example}
	}
	return s
}

func structSchema(s *jsonschema.Schema, t reflect.Type) {
	s.Type = "object"
	s.Properties = map[string]*jsonschema.Schema{}
	s.AdditionalProperties = &jsonschema.Schema{Not: &jsonschema.Schema{}}
	for _, f := range fieldsOf(t) {
		s.Properties[f.name] = schemaOf(f.typ, f)
		s.PropertyOrder = append(s.PropertyOrder, f.name)
		if f.required {
			s.Required = append(s.Required, f.name)
		}
	}
}

func defaultJSON(t reflect.Type, def string) json.RawMessage {
	switch t.Kind() {
	case reflect.Bool:
		return json.RawMessage(def)
	case reflect.Int:
		if t != durationType {
			return json.RawMessage(def)
		}
	}
	return json.RawMessage(strconv.Quote(def))
}
