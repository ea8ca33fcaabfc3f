package config

import (
	"strings"
	"testing"
)

// TestCounters: the places that there are, and what is none.
func TestCounters(t *testing.T) {
	for text, want := range map[string]string{
		"auto": "", "local": "", "dynamodb://abc": "", "dynamodb://tap.way_1/shop": "",
		"dynamodb://ab":                          "does not name a DynamoDB table",
		"dynamodb://" + strings.Repeat("a", 255): "",
		"dynamodb://" + strings.Repeat("a", 256): "does not name a DynamoDB table",
		"dynamodb://abc/":                        "what follows the table is no name",
		"dynamodb://abc/a/b":                     "what follows the table is no name",
		"redis://abc":                            "is no place for counters",
		"":                                       "",
	} {
		_, err := load("backend: http://a\naccess: {counters: \"" + text + "\"}\n")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[string][2]string{"auto": {}, "dynamodb://abc": {"abc", ""}, "dynamodb://abc/shop": {"abc", "shop/"}} {
		if table, prefix := (Access{Counters: text}).CounterTable(); table != want[0] || prefix != want[1] {
			t.Errorf("%s: %q %q", text, table, prefix)
		}
	}
}

// TestCeilings: a day's calls and cost, and what is neither.
func TestCeilings(t *testing.T) {
	for text, want := range map[string]string{
		"daily_calls: 0": "", "daily_calls: 1": "", "daily_calls: -1": "limits.daily_calls",
		"daily_cost: 0": "", "daily_cost: 0.000001": "", "daily_cost: 0.0000009": "limits.daily_cost", "daily_cost: 1000000000": "",
		"daily_cost: 1000000001": "limits.daily_cost", "daily_cost: -0.1": "limits.daily_cost", "daily_cost: .nan": "limits.daily_cost",
	} {
		c, err := load("backend: http://a\nlimits: {" + text + "}\n")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && (len(c.Counts()) > 0) != (c.Limits.DailyCalls > 0 || c.Limits.DailyCost > 0) {
			t.Errorf("%q: %v", text, c.Counts())
		}
	}
}
