package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Sample is a tapway.yaml with every key and its explanation, made from the struct. Only
// backend and one destination are set; everything else stands commented out at its default.
func Sample() string {
	var b strings.Builder
	b.WriteString("# tapway.yaml — every key with its default. `tapway config check` tells what is wrong with it.\n")
	b.WriteString("# ${NAME} reads the environment, ${NAME:-default} with a fallback, ${file:/path} a file.\n")
	b.WriteString("# ${aws-secretsmanager:NAME#FIELD} and ${aws-ssm:/PATH/NAME} are values kept in AWS.\n")
	for _, f := range fieldsOf(reflect.TypeFor[Config]()) {
		b.WriteByte('\n')
		switch f.name {
		case "backend":
			comment(&b, "", f.doc)
			b.WriteString("backend: http://127.0.0.1:8081\n")
		case "destinations":
			comment(&b, "", f.doc)
			b.WriteString("destinations:\n  - name: default\n    url: http://127.0.0.1:8082/in\n")
			sampleStruct(&b, f.typ.Elem(), "    ", "#", "name url")
		default:
			sampleField(&b, f, "", "#")
		}
	}
	return b.String()
}

func comment(b *strings.Builder, indent, doc string) {
	if doc != "" {
		fmt.Fprintf(b, "%s# %s\n", indent, doc)
	}
}

// sampleStruct writes the keys of a struct. mark is "#" where each key is commented out by
// itself, "" inside a block that is commented out as a whole.
func sampleStruct(b *strings.Builder, t reflect.Type, indent, mark, without string) {
	for _, f := range fieldsOf(t) {
		if !strings.Contains(" "+without+" ", " "+f.name+" ") {
			sampleField(b, f, indent, mark)
		}
	}
}

func sampleField(b *strings.Builder, f field, indent, mark string) {
	doc := f.doc
	if len(f.enum) > 0 {
		doc += " One of: " + strings.Join(f.enum, ", ") + "."
	}
	if len(f.env) > 0 {
		doc += " Environment: " + strings.Join(f.env, ", ") + "."
	}
	comment(b, indent, doc)
	t := f.typ
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Struct:
		fmt.Fprintf(b, "%s%s%s:\n", indent, mark, f.name)
		sampleStruct(b, t, indent+mark+"  ", "", "")
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		fmt.Fprintf(b, "%s%s%s:\n%s%s  - {", indent, mark, f.name, indent, mark)
		sep := ""
		for _, item := range fieldsOf(t.Elem()) {
			if item.example != "" {
				fmt.Fprintf(b, "%s%s: %q", sep, item.name, item.example)
				sep = ", "
			}
		}
		b.WriteString("}\n")
	case t.Kind() == reflect.Slice:
		fmt.Fprintf(b, "%s%s%s: [%s]\n", indent, mark, f.name, quoted(f.example))
	case t.Kind() == reflect.Map:
		fmt.Fprintf(b, "%s%s%s: {}\n", indent, mark, f.name)
	default:
		value := f.def
		if value == "" {
			value = f.example
		}
		switch {
		case t.Kind() == reflect.Bool && value == "":
			value = "false"
		case t.Kind() == reflect.String:
			value = quoted(value)
		}
		fmt.Fprintf(b, "%s%s%s: %s\n", indent, mark, f.name, value)
	}
}

func quoted(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf("%q", s)
}
