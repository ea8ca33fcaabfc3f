package filter

import (
	"strings"

	nearest "github.com/tapway/tapway/internal/suggest"
)

// suggestField is "; did you mean …?" or nothing.
func suggestField(word string) string {
	word = strings.ToLower(word)
	if name, ok := otherNames[word]; ok {
		return `; did you mean "` + name + `"?`
	}
	names := make([]string, len(fieldDefs))
	for i := range fieldDefs {
		names[i] = fieldDefs[i].name
	}
	return suggest(word, names)
}

// suggestOperator also knows the words that other languages use.
func suggestOperator(word string, k kind) string {
	other := map[string]string{
		"is": "==", "eq": "==", "equals": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
		"like": "contains", "includes": "contains", "has": "contains", "starts": "startsWith", "begins": "startsWith", "ends": "endsWith",
		"match": "matches", "regex": "matches", "between": ">= … && … <=",
	}
	if s, ok := other[strings.ToLower(word)]; ok {
		return `; did you mean "` + s + `"?`
	}
	if s := nearest.Closest(word, append(strings.Fields(k.operators()), "and", "or")); s != "" {
		return `; did you mean "` + s + `"?`
	}
	return "; there are " + k.operators()
}

func suggest(word string, known []string) string {
	if s := nearest.Closest(word, known); s != "" {
		return `; did you mean "` + s + `"?`
	}
	return "; there are " + strings.Join(known, ", ")
}
