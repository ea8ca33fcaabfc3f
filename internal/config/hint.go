package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// fewKeys is how many keys are few enough to be named in one line.
const fewKeys = 12

// readHint says what to do when a configuration file cannot be read.
func readHint(file string, err error) string {
	target, _ := os.Readlink(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && target != "":
		return "; it is a link to " + target + ", which is not there"
	case errors.Is(err, fs.ErrNotExist):
		return "; write one with `tapway config init > tapway.yaml`"
	case errors.Is(err, fs.ErrPermission):
		return "; the user who runs tapway must be allowed to read it, and to enter the directories above it"
	case errors.Is(err, syscall.EISDIR):
		return "; name the file in it, such as " + filepath.Join(file, "tapway.yaml")
	}
	return ""
}

// syntaxProblem takes place and reason out of the parser's "[line:column] reason\n<source>".
func syntaxProblem(file string, err error) Problem {
	p := Problem{File: file, Message: err.Error()}
	first, _, _ := strings.Cut(err.Error(), "\n")
	if n, _ := fmt.Sscanf(first, "[%d:%d]", &p.Line, &p.Column); n == 2 {
		_, p.Message, _ = strings.Cut(first, "] ")
	}
	for _, known := range syntaxHints {
		if strings.Contains(p.Message, known.says) {
			p.Hint = known.hint
			break
		}
	}
	p.Message = "not valid YAML: " + p.Message
	return p
}

// syntaxHints are what people have written when the parser says this.
var syntaxHints = []struct{ says, hint string }{
	{"character '\t'", "indent with spaces, not with tabs"},
	{"is not allowed in this context", "is it indented as the lines around it are? A value with a colon and a space in it wants quotation marks"},
	{"already defined", "remove one of them"},
	{"',' or '}' must be", "a value with a brace or a comma in it wants quotation marks"},
	{"',' or ']' must be", "a value with a bracket or a comma in it wants quotation marks"},
	{"end character of", "the closing quotation mark is missing"},
	{"reserved character", "put the value into quotation marks"},
	{"unexpected scalar value type", "a value that begins with * or & wants quotation marks"},
	{"end token '}'", "the closing } is missing"},
	{"end token ']'", "the closing ] is missing"},
	{"flow map content", "JSON has no comments, and YAML's begin with #"},
}

// mappingHint says what to do where n stands and a mapping should.
func mappingHint(n ast.Node) string {
	text, ok := n.(*ast.StringNode)
	if !ok {
		if _, list := n.(*ast.SequenceNode); list {
			return "remove the dash, or the brackets"
		}
		return ""
	}
	if key, value, ok := strings.Cut(text.Value, ":"); ok && made(key, small+"_", 1, 64) && !strings.HasPrefix(value, "//") {
		return "a space is missing behind the colon of " + key + ":"
	}
	if key, _, ok := strings.Cut(text.Value, "="); ok && made(strings.TrimSpace(key), small+"_", 1, 64) {
		return "write " + strings.TrimSpace(key) + ": … with a colon"
	}
	return ""
}

// keyHint says what an unknown key may have been meant to be: a key that is written a little
// otherwise, or one that has another place.
func keyHint(name string, known []string) string {
	plain := strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII {
			return -1
		}
		return r
	}, name)
	if plain != name {
		return "it has a character in it that only looks like a quotation mark or a space; type it anew"
	}
	if best := didYouMean(name, known); best != "" {
		return best
	}
	if len(known) <= fewKeys {
		return "the keys here are " + strings.Join(known, ", ")
	}
	if at := placesOf()[name]; len(at) > 0 && len(at) <= 4 {
		return "it belongs below " + strings.Join(at, ", or ") + "; is it indented so?"
	}
	return ""
}

// placesOf gives for the name of every key below the top the keys that it stands below.
var placesOf = sync.OnceValue(func() map[string][]string {
	places := map[string][]string{}
	var walk func(t reflect.Type, key string)
	walk = func(t reflect.Type, key string) {
		for _, f := range fieldsOf(t) {
			if key != "" && !slices.Contains(places[f.name], key) {
				places[f.name] = append(places[f.name], key)
			}
			below, inner := join(key, f.name), f.typ
			for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
				if inner.Kind() == reflect.Slice {
					below += "[]"
				}
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct {
				walk(inner, below)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return places
})

// anchorsIn remembers the anchors in what is not read, so that an alias of one is not a second
// problem.
func (d *decoder) anchorsIn(n ast.Node) { ast.Walk(anchors{d}, n) }

type anchors struct{ d *decoder }

func (a anchors) Visit(n ast.Node) ast.Visitor {
	if anchor, ok := n.(*ast.AnchorNode); ok {
		a.d.node(anchor)
	}
	return a
}

// unbraced reports whether a word of a text looks like a variable as shells write it: $SIEM_TOKEN.
func unbraced(text string) bool {
	return slices.ContainsFunc(strings.Fields(text), func(word string) bool {
		name, ok := strings.CutPrefix(word, "$")
		return ok && made(name, capitals+"0123456789_", 2, 64) && made(name[:1], capitals, 1, 1)
	})
}
