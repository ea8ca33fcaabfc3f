package waf

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/tidwall/gjson"
)

// JSON is read by us: what a call costs goes by how many values the rules are asked about, and Coraza makes one of every element
// of every array, with a name of its own. Here the elements of an array have one name, a value that is there twice is asked about
// once, and numbers, true, false and null, which cannot be an attack, only by their names.
func init() {
	plugins.RegisterBodyProcessor("json", func() plugintypes.BodyProcessor { return jsonReader{} })
}

// everyLiteral is the variable of TX that has rules asked about numbers, true and false as well: somebody's own may compare them.
const everyLiteral = "tapway_json_literals"

type jsonReader struct{}

var errDeep = errors.New("the JSON is nested too deeply")

// ProcessRequest is plugintypes.BodyProcessor.
func (jsonReader) ProcessRequest(body io.Reader, v plugintypes.TransactionVariables, o plugintypes.BodyProcessorOptions) error {
	return readJSON(body, v, v.ArgsPost(), "json_request_body", o.RequestBodyRecursionLimit, o.ArgumentLimit)
}

// ProcessResponse is plugintypes.BodyProcessor.
func (jsonReader) ProcessResponse(body io.Reader, v plugintypes.TransactionVariables, o plugintypes.BodyProcessorOptions) error {
	return readJSON(body, v, v.ResponseArgs(), "json_response_body", o.ResponseBodyRecursionLimit, o.ArgumentLimit)
}

// readJSON adds the values of a JSON text to args. Of one that is broken it adds those before the break.
func readJSON(body io.Reader, v plugintypes.TransactionVariables, args collection.Map, whole string, depth, most int) error {
	var text strings.Builder
	if _, err := io.Copy(&text, body); err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	w := &jsonWalk{args: args, room: most, seen: map[[2]string]struct{}{}, name: []byte("json")}
	if most <= 0 {
		w.room = -1
	}
	if tx := v.TX(); tx != nil {
		w.literals = len(tx.Get(everyLiteral)) > 0
		tx.Set(whole, []string{text.String()}) // for @validateSchema
	}
	w.value(gjson.Parse(text.String()), depth)
	if w.full {
		if reached, ok := v.ArgumentsLimitReached().(interface{ Set(string) }); ok {
			reached.Set("1")
		}
	}
	switch {
	case w.deep || nesting(text.String()) > depth: // before gjson.Valid, which takes a stack frame for each level
		return errDeep
	case !gjson.Valid(text.String()):
		return errors.New("it is not JSON")
	}
	return nil
}

// jsonWalk goes through a text.
type jsonWalk struct {
	args     collection.Map
	literals bool
	seen     map[[2]string]struct{}
	name     []byte // of the value that is being read
	room     int    // for values; below 0: no bound
	full     bool   // there were more
	deep     bool
}

func (w *jsonWalk) value(v gjson.Result, depth int) {
	switch v.Type {
	case gjson.String:
		w.add(v.Str)
	case gjson.JSON:
		if depth <= 0 {
			w.deep = true
			return
		}
		before := len(w.name)
		v.ForEach(func(key, value gjson.Result) bool {
			if key.Type == gjson.String { // of an object
				w.name = append(append(w.name[:before], '.'), key.Str...)
			}
			w.value(value, depth-1)
			w.name = w.name[:before]
			return !w.full && !w.deep
		})
	case gjson.Null:
		w.add("")
	default:
		if text := v.Raw; w.literals || !isLiteral(text) {
			w.add(text)
		} else {
			w.add("")
		}
	}
}

func (w *jsonWalk) add(value string) {
	if w.room == 0 {
		w.full = true
		return
	}
	w.room--
	key := [2]string{string(w.name), value}
	if _, there := w.seen[key]; !there {
		w.seen[key] = struct{}{}
		w.args.Add(key[0], value)
	}
}

// isLiteral reports whether a text is a number, true or false, and nothing besides. What is no JSON may be anything.
func isLiteral(text string) bool {
	return text == "true" || text == "false" || strings.Trim(text, "0123456789+-.eE") == ""
}

// nesting is how deep the brackets of a text go.
func nesting(text string) (most int) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
			most = max(most, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return most
}
