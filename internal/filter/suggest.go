package filter

import "strings"

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
	if s := closest(word, append(strings.Fields(k.operators()), "and", "or")); s != "" {
		return `; did you mean "` + s + `"?`
	}
	return "; there are " + k.operators()
}

func suggest(word string, known []string) string {
	if s := closest(word, known); s != "" {
		return `; did you mean "` + s + `"?`
	}
	return "; there are " + strings.Join(known, ", ")
}

// closest gives the known word nearest to what was typed, "" if none is near: at most a
// third of its letters may differ.
func closest(word string, known []string) string {
	best, most := "", len(word)+1
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < most && 3*d <= max(len(k), 3) {
			best, most = k, d
		}
	}
	return best
}

// distance counts the edits between two words; exchanging two neighbours is one edit
// (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 32 {
		return len(a)
	}
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
