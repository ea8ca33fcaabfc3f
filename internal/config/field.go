package config

import (
	"reflect"
	"strings"
)

// field is what the tags of one struct field say.
type field struct {
	index    int
	name     string
	def      string
	doc      string
	kind     string
	example  string
	enum     []string
	env      []string
	required bool
	typ      reflect.Type
}

func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, ok := f.Tag.Lookup("yaml")
		if !ok {
			continue
		}
		out = append(out, field{
			index: i, name: name, typ: f.Type,
			def: f.Tag.Get("def"), doc: f.Tag.Get("doc"), kind: f.Tag.Get("kind"), example: f.Tag.Get("example"),
			enum: strings.Fields(f.Tag.Get("enum")), env: strings.Fields(f.Tag.Get("env")),
			required: f.Tag.Get("required") == "true",
		})
	}
	return out
}

// Key is what is known of one key of the file, for those who describe it.
type Key struct {
	Name, Doc     string
	Default       string // as one would write it; "" for none
	Example, Kind string
	Enum          []string // the values allowed; nil: any
	Required      bool
	Type          reflect.Type
}

// Keys are the keys of a configuration's struct, in the order of the file.
func Keys(t reflect.Type) []Key {
	var out []Key
	for _, f := range fieldsOf(t) {
		out = append(out, Key{Name: f.name, Doc: f.doc, Default: f.def, Example: f.example, Kind: f.kind, Enum: f.enum, Required: f.required, Type: f.typ})
	}
	return out
}

func names(fields []field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.name
	}
	return out
}

// setDefaults writes the defaults of the tags into a struct and the structs within it.
func setDefaults(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		return
	}
	for _, f := range fieldsOf(v.Type()) {
		switch to := v.Field(f.index); {
		case to.Kind() == reflect.Struct:
			setDefaults(to)
		case f.def != "":
			if err := setScalar(to, f.def); err != nil {
				panic("config: default of " + f.name + ": " + err.Error())
			}
		}
	}
}

// Default is the configuration of an empty file.
func Default() *Config {
	c := new(Config)
	setDefaults(reflect.ValueOf(c).Elem())
	return c
}
