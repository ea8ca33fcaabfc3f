// Package configschema is the JSON Schema of tapway.yaml.
//
// What a newcomer gets wrong: it stands beside the loader, not in it, because the schema's
// library is not to be linked by everyone who only loads a configuration.
package configschema

import (
	"encoding/json"
	"reflect"
	"strconv"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/tapway/tapway/internal/config"
)

var (
	durationType = reflect.TypeFor[config.Duration]()
	sizeType     = reflect.TypeFor[config.Size]()
	shareType    = reflect.TypeFor[config.Share]()
)

// Schema is the JSON Schema (2020-12) of the file, made from the struct.
func Schema() ([]byte, error) {
	s := schemaOf(reflect.TypeFor[config.Config](), config.Key{})
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "tapway.yaml"
	return json.MarshalIndent(s, "", "  ")
}

func schemaOf(t reflect.Type, f config.Key) *jsonschema.Schema {
	s := &jsonschema.Schema{Description: f.Doc}
	for _, e := range f.Enum {
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
	case t == shareType:
		s.Types, s.Examples = []string{"string", "number"}, []any{"5%"}
	case t.Kind() == reflect.Struct:
		structSchema(s, t)
	case t.Kind() == reflect.Slice:
		item := schemaOf(t.Elem(), config.Key{Kind: f.Kind})
		if t.Elem().Kind() == reflect.Struct {
			s.Type, s.Items = "array", item
		} else {
			s.AnyOf = []*jsonschema.Schema{{Type: "array", Items: item}, item}
		}
	case t.Kind() == reflect.Map:
		s.Type, s.AdditionalProperties = "object", schemaOf(t.Elem(), config.Key{})
	case t.Kind() == reflect.Bool:
		s.AnyOf = []*jsonschema.Schema{{Type: "boolean"}, reference}
	case t.Kind() == reflect.Int:
		s.AnyOf = []*jsonschema.Schema{{Type: "integer"}, reference}
	case t.Kind() == reflect.Float64:
		s.AnyOf = []*jsonschema.Schema{{Type: "number"}, reference}
	default:
		s.Types = []string{"string", "number", "boolean"}
		if len(f.Enum) > 0 {
			s.Types, s.Type = nil, "string"
		}
	}
	if f.Default != "" {
		s.Default = defaultJSON(t, f.Default)
	}
	if f.Example != "" {
		s.Examples = []any{f.Example}
	}
	return s
}

func structSchema(s *jsonschema.Schema, t reflect.Type) {
	s.Type = "object"
	s.Properties = map[string]*jsonschema.Schema{}
	s.AdditionalProperties = &jsonschema.Schema{Not: &jsonschema.Schema{}}
	for _, f := range config.Keys(t) {
		s.Properties[f.Name] = schemaOf(f.Type, f)
		s.PropertyOrder = append(s.PropertyOrder, f.Name)
		if f.Required {
			s.Required = append(s.Required, f.Name)
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
