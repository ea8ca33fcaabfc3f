// Package suggest finds the word somebody meant.
//
// What a newcomer gets wrong: it stays silent rather than guess. A suggestion that is far
// from what was typed sends people in the wrong direction.
package suggest

import "strings"

// maxWord is the longest word worth comparing, in bytes.
const maxWord = 64

// Closest gives the known word nearest to what was typed, letter case apart, or "" if none
// is near: at most a third of its letters may differ, but one always may.
func Closest(word string, known []string) string {
	if len(word) > maxWord {
		return ""
	}
	best, least := "", len(word)+1
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < least && 3*d <= max(len(k), 3) {
			best, least = k, d
		}
	}
	return best
}

// distance counts the edits between two words; exchanging two neighbours is one edit
// (optimal string alignment).
func distance(a, b string) int {
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}
