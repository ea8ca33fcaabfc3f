package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tapway/tapway/internal/suggest"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	File    string `json:"file"`              // as given; CommandLine, Nowhere or "environment variable X" when it is in none
	Line    int    `json:"line,omitempty"`    // from 1; 0 when the value has no place in the file
	Column  int    `json:"column,omitempty"`  // from 1, in characters
	Key     string `json:"key,omitempty"`     // "destinations[0].url"
	Message string `json:"message"`           // what is wrong
	Hint    string `json:"hint,omitempty"`    // what to do about it
	Warning bool   `json:"warning,omitempty"` // it may be meant so: only Check tells it, and nothing fails by it

	blind bool // it quotes nothing of the value, which may be a secret
}

// What stands for the file of a problem that is in none.
const (
	CommandLine = "command line"
	Nowhere     = "configuration" // what is missing, without a file in which it could be
)

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Key != "" {
		b.WriteString(p.Key)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; ")
		b.WriteString(p.Hint)
	}
	return b.String()
}

// Problems is everything wrong with a configuration, in the order of the file.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ps
}

// didYouMean gives `did you mean "x"?` for the nearest of known, or "" when none is near.
func didYouMean(word string, known []string) string {
	if best := suggest.Closest(word, known); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return ""
}
