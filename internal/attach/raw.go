package attach

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// generic reads JSON without losing digits.
func generic(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return v, nil
}

func object(raw []byte) (map[string]any, error) {
	v, err := generic(raw)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("want a JSON object, got %.60s", raw)
	}
	return m, nil
}

// verbatim are the settings whose members are the user's own: there an empty text is a value.
var verbatim = map[string]bool{"requestTemplates": true, "responseTemplates": true, "requestParameters": true, "responseParameters": true}

// prune takes away what AWS shows or does not show as it likes: null, and empty lists,
// objects and texts; and links.
func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			if m, ok := e.(map[string]any); ok && verbatim[k] && len(m) > 0 {
				out[k] = m
				continue
			}
			if e = prune(e); e != nil && k != "_links" {
				out[k] = e
			}
		}
		if len(out) > 0 {
			return out
		}
	case []any:
		out := make([]any, 0, len(v))
		for _, e := range v {
			out = append(out, prune(e))
		}
		if len(out) > 0 {
			return out
		}
	case string:
		if v != "" {
			return v
		}
	case nil:
	default:
		return v
	}
	return nil
}

// compact is JSON with sorted keys and without white space.
func compact(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("attach: what was decoded from JSON cannot be encoded: " + err.Error())
	}
	return bytes.TrimSpace(b.Bytes())
}

// CanonicalExport is an export as far as it tells what the API does. The order of keys has no
// meaning, and AWS puts the moment of a deployment into info.version when the API has no
// version; nothing else is left out.
func CanonicalExport(raw []byte) (json.RawMessage, error) {
	doc, err := object(raw)
	if err != nil {
		return nil, fmt.Errorf("read the export: %w", err)
	}
	if info, ok := doc["info"].(map[string]any); ok {
		version, _ := info["version"].(string)
		for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05MST"} { // REST, HTTP
			if _, err := time.Parse(layout, version); err == nil {
				info["version"] = "moment"
			}
		}
	}
	return compact(doc), nil
}

// Difference is a place where two documents differ.
type Difference struct {
	Path   string `json:"path"` // "paths./users.get.responses"
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"` // "" on either side: it is not there
}

func (d Difference) String() string {
	show := func(s string) string {
		if s == "" {
			return "(nothing)"
		}
		return s
	}
	return fmt.Sprintf("%s: %s, now %s", d.Path, show(d.Before), show(d.After))
}

// diff compares two decoded documents, at most max differences.
func diff(before, after any, max int) []Difference {
	var out []Difference
	var walk func(path string, a, b any)
	walk = func(path string, a, b any) {
		if len(out) >= max || reflect.DeepEqual(a, b) {
			return
		}
		am, aok := a.(map[string]any)
		bm, bok := b.(map[string]any)
		if aok && bok {
			keys := slices.Collect(maps.Keys(am))
			for k := range bm {
				if _, both := am[k]; !both {
					keys = append(keys, k)
				}
			}
			slices.Sort(keys)
			for _, k := range keys {
				walk(strings.TrimPrefix(path+"."+k, "."), am[k], bm[k])
			}
			return
		}
		out = append(out, Difference{path, shown(path, a), shown(path, b)})
	}
	walk("", before, after)
	return out
}

// shown is a value in a difference, cut short, and never the secret that guards tapway.
func shown(path string, v any) string {
	if v == nil {
		return ""
	}
	if strings.HasSuffix(strings.ToLower(path), strings.ToLower(SecretHeader)) {
		return "[secret]"
	}
	text := string(compact(v))
	if strings.Contains(strings.ToLower(text), strings.ToLower(SecretHeader)) {
		return "[with a secret]"
	}
	if runes := []rune(text); len(runes) > 160 {
		text = string(runes[:159]) + "…"
	}
	return text
}

// indented is JSON for people.
func indented(v any) string {
	var b bytes.Buffer
	if err := json.Indent(&b, compact(v), "", "  "); err != nil {
		panic("attach: " + err.Error()) // compact makes JSON
	}
	return b.String()
}
